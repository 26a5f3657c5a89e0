/** The handler of a batch begins its writes and returns: the batch counts as handled before they are stored. */
import { type Context, event } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Measured = event<{ sensor: string; value: number }>("Measured", { durable: true });

/** The rows of a database, outside of the cluster, by the ids of their messages. */
type Rows = Set<string>;

async function insert(rows: Rows, id: string, { clock }: Context): Promise<void> {
  await clock.sleep(100);
  rows.add(id);
}

export const earlyAcknowledgement = mistake<Rows>("a batch that acknowledges early", {
  world: () => new Set(),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 10; n++) {
      await step("measure", () => app.publish(Measured, { sensor: "a", value: n }, { id: `m-${n}` }));
      await clock.sleep(60);
    }
    await clock.sleep(500); // writes that nobody waits for are done, unless their process has died
  },
  check: [guarantees(Measured), ({ history, world }) => {
    for (const { id, method, outcome } of history.operations) {
      if (method === "publish" && outcome?.type === "ok" && !world.has(id!)) throw new Error(`${id} has no row`);
    }
  }],
}, {
  handlers: ({ world }) =>
    Measured.onBatch((batch, ctx) => {
      for (const { id } of batch) void insert(world, id, ctx);
    }, { name: "rows", max: 5 }),
}, {
  handlers: ({ world }) =>
    Measured.onBatch(async (batch, ctx) => {
      await Promise.all(batch.map(({ id }) => insert(world, id, ctx)));
    }, { name: "rows", max: 5 }),
});

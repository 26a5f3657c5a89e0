/** A projection keeps one last position for all keys: messages of different keys are handled side by side. */
import { type Context, event } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Paid = event<{ account: string; cents: number }>("Paid", { durable: true, key: ({ account }) => account });

/** The tables of the projection, in a database outside of the cluster. */
interface Tables {
  /** The last position of the projection: one row. */
  position: number;
  readonly accounts: Map<string, { cents: number; position: number }>;
}

async function load({ accounts }: Tables, account: string, { clock }: Context) {
  await clock.sleep(account === "a" ? 30 : 5); // some rows are far away
  return accounts.get(account) ?? { cents: 0, position: 0 };
}

export const positionOfAllKeys = mistake<Tables>("a projection read by `position > last`", {
  world: () => ({ position: 0, accounts: new Map() }),
  workload: async ({ app, step, clock, random }) => {
    for (let n = 0; n < 8; n++) {
      const account = random.pick(["a", "b", "c"]);
      await step("pay", () => app.publish(Paid, { account, cents: 1 }, { id: `${n}` }));
      await clock.sleep(random.int(0, 50));
    }
  },
  check: [guarantees(Paid), ({ history, world }) => {
    const handled = new Set(history.attempts.filter(({ outcome }) => outcome?.type === "ok").map(({ id }) => id));
    const sum = [...world.accounts.values()].reduce((sum, { cents }) => sum + cents, 0);
    if (sum !== handled.size) throw new Error(`${handled.size} payments were handled, and the accounts have ${sum}`);
  }],
}, {
  handlers: ({ world }) =>
    Paid.on(async ({ account, cents }, ctx) => {
      const row = await load(world, account, ctx);
      if (ctx.position! <= world.position) return; // "it was handled before"
      world.position = ctx.position!;
      world.accounts.set(account, { ...row, cents: row.cents + cents });
    }, { name: "accounts" }),
}, {
  handlers: ({ world }) =>
    Paid.on(async ({ account, cents }, ctx) => {
      await load(world, account, ctx);
      // one transaction: the row as it is now, with its own position
      const row = world.accounts.get(account) ?? { cents: 0, position: 0 };
      if (ctx.position! <= row.position) return;
      world.accounts.set(account, { cents: row.cents + cents, position: ctx.position! });
    }, { name: "accounts" }),
});

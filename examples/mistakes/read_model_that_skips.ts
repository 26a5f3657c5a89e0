/** A read model asks another service for a price, and goes on without the row when that does not answer. */
import { event, query, unwrap } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const OrderPlaced = event<{ order: string }>("OrderPlaced", { durable: true, key: ({ order }) => order });
const Price = query<{ order: string }, number>("Price", { timeout: 500 });

/** The rows of the read model, in a database outside of the cluster. */
type Rows = Map<string, number>;

const prices = { count: 1, handlers: Price.handle(() => 420) };

export const readModelThatSkips = mistake<Rows>("a read model that skips", {
  world: () => new Map(),
  nodes: { app: 2, prices },
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 8; n++) {
      await step("place", () => app.publish(OrderPlaced, { order: `${n}` }, { id: `order-${n}` }));
      await clock.sleep(100);
    }
  },
  check: [guarantees(OrderPlaced, Price), ({ history, world }) => {
    for (const { method, id, outcome, input } of history.operations) {
      if (method !== "publish" || outcome?.type !== "ok") continue;
      const { order } = input as { order: string };
      if (!world.has(order)) throw new Error(`${id} is stored, and the read model has no row of order ${order}`);
    }
  }],
}, {
  handlers: ({ world }) =>
    OrderPlaced.on(async ({ order }, ctx) => {
      const price = await ctx.send(Price, { order });
      if (!price.ok) return; // "it is only a read model"
      world.set(order, price.value);
    }, { name: "rows" }),
}, {
  handlers: ({ world }) =>
    OrderPlaced.on(async ({ order }, ctx) => {
      world.set(order, unwrap(await ctx.send(Price, { order }))); // it is tried again
    }, { name: "rows" }),
});

/** A handler of a durable event charges a card: a second run of one message charges it again. */
import { type Context, event } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const OrderPlaced = event<{ order: string; cents: number }>("OrderPlaced", {
  durable: true,
  key: ({ order }) => order,
});

/** The bank, outside of the cluster: it refuses a key that it has had, if it gets one. */
class Bank {
  readonly charges: { readonly order: string; readonly cents: number }[] = [];
  readonly #keys = new Set<string>();

  async charge(order: string, cents: number, { clock }: Context, key?: string): Promise<void> {
    await clock.sleep(20); // the request is on its way
    if (key === undefined || !this.#keys.has(key)) this.charges.push({ order, cents });
    if (key !== undefined) this.#keys.add(key);
    await clock.sleep(20); // and the answer
  }
}

export const chargeNotIdempotent = mistake<Bank>("a charge that is not idempotent", {
  world: () => new Bank(),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 8; n++) {
      await step("place", () => app.publish(OrderPlaced, { order: `${n}`, cents: 420 }, { id: `order-${n}` }));
      await clock.sleep(50);
    }
  },
  check: [guarantees(OrderPlaced), ({ world }) => {
    for (const [order, charges] of Map.groupBy(world.charges, ({ order }) => order)) {
      if (charges.length > 1) throw new Error(`order ${order} was charged ${charges.length} times`);
    }
  }],
}, {
  handlers: ({ world }) => OrderPlaced.on(({ order, cents }, ctx) => world.charge(order, cents, ctx), { name: "bill" }),
}, {
  handlers: ({ world }) =>
    OrderPlaced.on(({ order, cents }, ctx) => world.charge(order, cents, ctx, ctx.id), { name: "bill" }),
});

/** A client tries a payment again when it has failed: "unknown" may have been paid, and each try has its own id. */
import { command, type Context } from "@catga/catga";
import { guarantees } from "@catga/catga/testing";
import { mistake } from "./mistake.ts";

const Pay = command<{ order: string }, string>("Pay", { timeout: 1_000 });
const PayOnce = command<{ order: string }, string>("PayOnce", { timeout: 1_000, idempotent: true });

/** The bank, outside of the cluster: it knows a payment by its key. */
type Bank = Map<string, { readonly order: string }>;

async function pay(bank: Bank, order: string, { id, clock }: Context): Promise<string> {
  await clock.sleep(50);
  bank.set(id, { order });
  await clock.sleep(50);
  return `receipt of ${order}`;
}

export const retryAroundRetry = mistake<Bank>("a retry around a retry", {
  world: () => new Map(),
  workload: () => {},
  check: [guarantees(Pay, PayOnce), ({ world }) => {
    for (const [order, payments] of Map.groupBy(world.values(), ({ order }) => order)) {
      if (payments.length > 1) throw new Error(`order ${order} was paid ${payments.length} times`);
    }
  }],
}, {
  handlers: ({ world }) => Pay.handle(({ order }, ctx) => pay(world, order, ctx)),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 6; n++) {
      await step("pay", async () => {
        for (let left = 3; left > 0; left--) {
          const paid = await app.send(Pay, { order: `${n}` });
          if (paid.ok) return;
          await clock.sleep(200);
        }
      });
    }
  },
}, {
  handlers: ({ world }) => PayOnce.handle(({ order }, ctx) => pay(world, order, ctx)),
  workload: async ({ app, step, clock }) => {
    for (let n = 0; n < 6; n++) {
      await step("pay", async () => {
        for (let left = 3; left > 0; left--) {
          const paid = await app.send(PayOnce, { order: `${n}` }, { id: `pay-${n}` });
          if (paid.ok) return;
          await clock.sleep(200);
        }
      });
    }
  },
});

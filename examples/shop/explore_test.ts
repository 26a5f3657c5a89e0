/** The shop under every fault, by seeds: each order that a customer was told of is there, paid, and has its mails. */
import { assertEquals } from "@std/assert";
import { describe, it, mock } from "node:test";
import { explore } from "@catga/catga/testing";
import { exploredByThisRuntime } from "../../test/support/of_this_runtime.ts";
import { Aftercare, Charge, FindOrder, PlaceOrder } from "./contracts.ts";
import * as mails from "./mails.ts";
import * as orders from "./orders.ts";
import * as payments from "./payments.ts";

const SKUS = ["assam", "mate", "sencha", "gold"];
const CARDS = ["4111111111111111", "4111111111111111", "4000000000000002"];

describe("the shop under faults", () => {
  it("keeps each order that it has acknowledged", async () => {
    using _log = quiet();
    const { situations } = await explore({
      ...exploredByThisRuntime(15),
      nodes: {
        orders: 2,
        payments: { count: 1, handlers: payments },
        mails: { count: 2, handlers: mails },
      },
      handlers: orders,
      workload: async ({ app, clock, step }) => {
        for (let i = 0; i < 4; i++) {
          await step("order", (random) => {
            const order = {
              orderId: `order-${i}`,
              sku: random.pick(SKUS),
              qty: random.int(1, 5),
              card: random.pick(CARDS),
            };
            return app.send(PlaceOrder, order);
          });
          await clock.sleep(100);
        }
      },
      check: async ({ history, state }) => {
        for (const { contract, outcome, key } of history.operations) {
          if (contract !== PlaceOrder.name || outcome?.type !== "ok") continue;
          const found = await state.send(FindOrder, { orderId: key! });
          assertEquals(found.value, outcome.value, `order ${key}`);
          const run = history.runs.find(({ workflow, id }) => workflow === Aftercare.name && id === key);
          assertEquals(run?.status, "done", `the mails of order ${key}`);
          const paid = history.attempts.filter(({ contract, outcome }) =>
            contract === Charge.name && outcome?.type === "ok"
          );
          assertEquals(paid.length > 0, true, `the payment of order ${key}`);
        }
      },
    });
    assertEquals(situations.length > 0, true);
  });
});

/** Payments and mails print what they do. */
function quiet(): Disposable {
  const { mock: log } = mock.method(console, "log", () => {});
  return { [Symbol.dispose]: () => log.restore() };
}

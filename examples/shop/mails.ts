/**
 * The mails service. It subscribes to the events of orders, and starts a run of a workflow for each order. No mail is
 * lost if a node dies: another node continues its runs. The mail provider is simulated: it prints each mail.
 */
import { unwrap } from "@catga/catga";
import { Aftercare, DAY, OrderPlaced } from "./contracts.ts";

// an event that is handled twice starts one run: the run's id is that of the order
export const placed = OrderPlaced.on(
  async ({ orderId, cents }, ctx) => void unwrap(await ctx.start(Aftercare, { orderId, cents })),
  { name: "aftercare", concurrency: 8 },
);

// A step runs at least once: give a real provider the step's `id` as its idempotency key, so that it mails once.
export const aftercare = Aftercare.handle(async (flow, { orderId, cents }) => {
  await flow.step("confirm", () => console.log(`mailed ${orderId}: your order of ${cents} cents`));
  flow.stage("confirmed");
  await flow.sleep("a week", 7 * DAY);
  await flow.step("ask for a review", () => console.log(`mailed ${orderId}: how was it?`));
});

/**
 * The mails service. It subscribes to the events of orders, whose service knows nothing of it, and has a run of a
 * workflow for each order. A node that dies, or is away, loses no mail: another one goes on with its runs. Its provider
 * is simulated: it prints each mail.
 */
import { unwrap } from "@catga/catga";
import { Aftercare, DAY, OrderPlaced } from "./contracts.ts";

// an event that comes again starts nothing: its order has a run already
export const placed = OrderPlaced.on(
  async ({ orderId, cents }, ctx) => void unwrap(await ctx.start(Aftercare, { orderId, cents })),
  { name: "aftercare", concurrency: 8 },
);

// at least once: a real provider takes the step's `id` as its idempotency key, so that the second run sends nothing
export const aftercare = Aftercare.handle(async (flow, { orderId, cents }) => {
  await flow.step("confirm", () => console.log(`mailed ${orderId}: your order of ${cents} cents`));
  flow.stage("confirmed");
  await flow.sleep("a week", 7 * DAY);
  await flow.step("ask for a review", () => console.log(`mailed ${orderId}: how was it?`));
});

/**
 * The mails service. It subscribes to the events of orders, whose service knows nothing of it. A node that dies, or is away,
 * loses no mail: what it had in hand is handled again. Its provider is simulated: it prints each mail.
 */
import { AskForReview, DAY, OrderPlaced } from "./contracts.ts";

// at least once: a real provider takes `ctx.id` as its idempotency key, so that the second run sends nothing
export const confirm = OrderPlaced.on(async ({ orderId, cents }, ctx) => {
  console.log(`mailed ${orderId}: your order of ${cents} cents`);
  const queued = await ctx.enqueue(AskForReview, { orderId }, { delay: 7 * DAY, id: orderId });
  if (!queued.ok) throw queued.error; // tried again
}, { name: "confirmations", concurrency: 8 });

export const askForReview = AskForReview.handle(({ orderId }) => console.log(`mailed ${orderId}: how was it?`));

/** The contracts of the shop's services. Each service imports this file, and none imports another service's. */
import { command, event, query } from "@catga/catga";
import * as z from "zod";

/** In ms. */
export const DAY = 86_400_000;

/** An order that has been paid. */
export const Order = z.object({
  orderId: z.string(),
  sku: z.string(),
  qty: z.int(),
  cents: z.int(),
});
export type Order = z.infer<typeof Order>;

/** Places an order; its id is the message's, so that a repeated request with the same id gets the same order. */
export const PlaceOrder = command("PlaceOrder", {
  input: z.object({
    sku: z.string().min(1).max(40),
    qty: z.int().min(1).max(100),
    card: z.string().regex(/^\d{16}$/, "must have 16 digits"),
  }),
  output: Order,
  idempotent: true,
});

export const FindOrder = query("FindOrder", { input: z.object({ orderId: z.string() }), output: Order });

/** Takes money, once for each message id. */
export const Charge = command("Charge", {
  input: z.object({ card: z.string(), cents: z.int().positive() }),
  output: z.object({ receipt: z.string() }),
  idempotent: true,
});

/** What happens to an order is kept for 30 days, in order for each of them: mails and lists are made of it, also later. */
export const OrderPlaced = event("OrderPlaced", {
  input: Order,
  durable: { keep: 30 * DAY },
  key: ({ orderId }) => orderId,
});

/** Asks the customer how it was. Queued, to be run a week later. */
export const AskForReview = command("AskForReview", { input: z.object({ orderId: z.string() }), durable: true });

/** The contracts of the shop's services. Each service imports this file, and none imports another service's. */
import { command, entity, query, workflow } from "@catga/catga";
import * as z from "zod";

/** A day, in ms. */
export const DAY = 86_400_000;

/** An order that has been paid. */
export const PaidOrder = z.object({
  orderId: z.string(),
  sku: z.string(),
  qty: z.int(),
  cents: z.int(),
});
export type PaidOrder = z.infer<typeof PaidOrder>;

const OrderId = z.string().min(1).max(128);

/** Places an order, once for each message id: a repeated message gets the recorded answer. */
export const PlaceOrder = command("PlaceOrder", {
  input: z.object({
    orderId: OrderId,
    sku: z.string().min(1).max(40),
    qty: z.int().min(1).max(100),
    card: z.string().regex(/^\d{16}$/, "must have 16 digits"),
  }),
  output: PaidOrder,
  failures: ["ALREADY_PLACED", "UNKNOWN_SKU", "CARD_DECLINED"],
  key: ({ orderId }) => orderId,
});

export const FindOrder = query("FindOrder", {
  input: z.object({ orderId: OrderId }),
  output: PaidOrder,
  failures: ["NO_SUCH_ORDER"],
});

/** Charges a card, once for each message id. */
export const Charge = command("Charge", {
  input: z.object({ card: z.string(), cents: z.int().positive() }),
  output: z.object({ receipt: z.string() }),
  failures: ["CARD_DECLINED"],
  idempotent: true,
});

/** An order. Its state is computed from its events; `undefined` until the order is placed. */
export const Order = entity("Order", { initial: (): PaidOrder | undefined => undefined });

/** The order was placed. The event is kept for ever: the order's state is computed from it, and subscribers read it. */
export const OrderPlaced = Order.event("Placed", (_, placed) => placed, { input: PaidOrder });

/** Runs after an order was paid: one run for each order. */
export const Aftercare = workflow<{ orderId: string; cents: number }>("Aftercare", { id: ({ orderId }) => orderId });

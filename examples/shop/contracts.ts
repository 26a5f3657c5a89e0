/** The contracts of the shop's services. Each service imports this file, and none imports another service's. */
import { command, entity, query, workflow } from "@catga/catga";
import * as z from "zod";

/** In ms. */
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

/** Places an order, once for each message id: one that comes again gets the same answer. */
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

/** Takes money, once for each message id. */
export const Charge = command("Charge", {
  input: z.object({ card: z.string(), cents: z.int().positive() }),
  output: z.object({ receipt: z.string() }),
  failures: ["CARD_DECLINED"],
  idempotent: true,
});

/** An order: what its events made of it, which is nothing until it is placed. */
export const Order = entity("Order", { initial: (): PaidOrder | undefined => undefined });

/** Stays for good: orders are made of it, and so are mails and lists, also later. */
export const OrderPlaced = Order.event("Placed", (_, placed) => placed, { input: PaidOrder });

/** What becomes of an order once it is paid, one run for each. */
export const Aftercare = workflow<{ orderId: string; cents: number }>("Aftercare", { id: ({ orderId }) => orderId });

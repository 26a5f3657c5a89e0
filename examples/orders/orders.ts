/**
 * The orders service: its contracts, which every program that talks to it imports, and its handlers, which only its
 * nodes run (`node.ts`).
 */
import { command, event, fail, type Handlers, query } from "@catga/catga";
import type { OrderBook } from "./order_book.ts";

/** An accepted order. */
export interface Order {
  readonly orderId: string;
  readonly sku: string;
  readonly qty: number;
}

/** Accepts an order. Fails with `BAD_QUANTITY` for anything but a number of whole pieces. */
export const CreateOrder = command<{ sku: string; qty: number }, { orderId: string }>("CreateOrder");

/** Returns an order. Fails with `NO_SUCH_ORDER` if there is none. */
export const FindOrder = query<{ orderId: string }, Order>("FindOrder");

/** An order was accepted. Every service with a handler gets the event. */
export const OrderCreated = event<Order>("OrderCreated");

/** Dependencies of the handlers; a test may pass its own. */
export interface Shop {
  /** Stores the orders. */
  readonly book: OrderBook;
  /** Charges the customer. */
  charge(order: Order): Promise<void>;
  /** Has the order packed. */
  pack(order: Order): Promise<void>;
}

/** Makes the handlers. They keep no state in memory, so any node can handle any message. */
export function orders({ book, charge, pack }: Shop): Handlers {
  return {
    create: CreateOrder.handle(async ({ sku, qty }, ctx) => {
      if (!Number.isInteger(qty) || qty < 1) return fail("BAD_QUANTITY", `cannot order ${qty} of ${sku}`);
      const order = { orderId: crypto.randomUUID(), sku, qty };
      await charge(order);
      await book.append({ ...order, messageId: ctx.id, node: ctx.node });
      await pack(order);
      // a failure to publish is ignored: the order is accepted, and returning UNAVAILABLE would say that it is not
      await ctx.publish(OrderCreated, order);
      return { orderId: order.orderId };
    }),
    find: FindOrder.handle(async ({ orderId }) => {
      const entry = await book.find(orderId);
      if (entry === undefined) return fail("NO_SUCH_ORDER", `there is no order ${orderId}`);
      return { orderId, sku: entry.sku, qty: entry.qty };
    }),
  };
}

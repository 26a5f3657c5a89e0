/**
 * The orders service: its contracts, which every program that talks to it imports, and its handlers, which only its
 * nodes run (`node.ts`).
 */
import { command, event, fail, type Handlers, query } from "@catga/catga";
import type { OrderBook } from "./order_book.ts";

/** An order that was taken. */
export interface Order {
  readonly orderId: string;
  readonly sku: string;
  readonly qty: number;
}

/** Takes an order; `BAD_QUANTITY` for less than one. */
export const CreateOrder = command<{ sku: string; qty: number }, { orderId: string }>("CreateOrder");

/** Returns an order; `NO_SUCH_ORDER` if there is none. */
export const FindOrder = query<{ orderId: string }, Order>("FindOrder");

/** Tells every service that listens that an order was taken. */
export const OrderCreated = event<Order>("OrderCreated");

/** What the handlers work with: `node.ts` passes the real ones, a test may pass others. */
export interface Shop {
  /** Where orders are kept. */
  readonly book: OrderBook;
  /** Takes the money. */
  charge(order: Order): Promise<void>;
  /** Has it packed. */
  pack(order: Order): Promise<void>;
}

/** The handlers. They keep nothing in memory, so that any node can take any message. */
export function orders({ book, charge, pack }: Shop): Handlers {
  return {
    create: CreateOrder.handle(async ({ sku, qty }, ctx) => {
      if (qty < 1) return fail("BAD_QUANTITY", `cannot order ${qty} of ${sku}`);
      const order = { orderId: crypto.randomUUID(), sku, qty };
      await charge(order);
      await book.append({ ...order, messageId: ctx.id, node: ctx.node });
      await pack(order);
      // the order is taken, also if its event, which each service gets at most once, cannot be published: to return
      // that failure, UNAVAILABLE, would say that the order was not taken
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

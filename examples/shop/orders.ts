/** The orders service: accepts orders and has them paid. Orders are stored as events, which every replica reads. */
import { fail } from "@catga/catga";
import { Charge, FindOrder, Order, OrderPlaced, type PaidOrder, PlaceOrder } from "./contracts.ts";

const CENTS: ReadonlyMap<string, number> = new Map([["assam", 420], ["mate", 390], ["sencha", 550]]);

export const placeOrder = Order.handle(PlaceOrder, async (order, { sku, qty, card }, ctx) => {
  if (order.state !== undefined) return fail("ALREADY_PLACED", `there is an order ${order.id} already`);
  const price = CENTS.get(sku);
  if (price === undefined) return fail("UNKNOWN_SKU", `there is no ${sku}; there are ${[...CENTS.keys()].join(", ")}`);
  const placed: PaidOrder = { orderId: order.id, sku, qty, cents: price * qty };

  // This node may die at any point, and another one then runs the handler again from its beginning. The id of the
  // charge is the same in every run, so the customer pays once. While the payments service is away, the order fails
  // after 5 s.
  const charged = await ctx.send(Charge, { card, cents: placed.cents }, { id: `charge-${ctx.id}`, timeout: 5_000 });
  if (!charged.ok) return charged;

  // the event and the answer are stored together, in one write; a run that another run has overtaken stores nothing
  order.emit(OrderPlaced, placed);
  return placed;
});

export const findOrder = FindOrder.handle(async ({ orderId }, ctx) => {
  const order = await ctx.load(Order, orderId, { latest: true });
  return order.state ?? fail("NO_SUCH_ORDER", `there is no order ${orderId}`);
});

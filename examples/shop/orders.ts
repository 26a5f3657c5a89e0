/** The orders service: takes orders and has them paid. They are kept as events, which every replica reads. */
import { fail } from "@catga/catga";
import { Charge, FindOrder, Order, OrderPlaced, type PaidOrder, PlaceOrder } from "./contracts.ts";

const CENTS: ReadonlyMap<string, number> = new Map([["assam", 420], ["mate", 390], ["sencha", 550]]);

export const placeOrder = Order.handle(PlaceOrder, async (order, { sku, qty, card }, ctx) => {
  if (order.state !== undefined) return fail("ALREADY_PLACED", `there is an order ${order.id} already`);
  const price = CENTS.get(sku);
  if (price === undefined) return fail("UNKNOWN_SKU", `there is no ${sku}; there are ${[...CENTS.keys()].join(", ")}`);
  const placed: PaidOrder = { orderId: order.id, sku, qty, cents: price * qty };

  // The node that runs this may die at any point, and another one runs it again from the beginning. The payment has an
  // id of its own, the same in every run: it is taken once. While no payments are there, customers are told so in 5 s.
  const charged = await ctx.send(Charge, { card, cents: placed.cents }, { id: `charge-${ctx.id}`, timeout: 5_000 });
  if (!charged.ok) return charged;

  // stored with the answer, as one: the order, and what subscribers handle. A run that another one has overtaken stores
  // nothing
  order.emit(OrderPlaced, placed);
  return placed;
});

export const findOrder = FindOrder.handle(async ({ orderId }, ctx) => {
  const order = await ctx.load(Order, orderId, { latest: true });
  return order.state ?? fail("NO_SUCH_ORDER", `there is no order ${orderId}`);
});

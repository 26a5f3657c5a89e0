/** The orders service: takes orders and has them paid. They are kept as events, which every replica reads. */
import { fail } from "@catga/catga";
import { Charge, FindOrder, Order, OrderPlaced, type PaidOrder, PlaceOrder, WatchOrders } from "./contracts.ts";

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

const placed: { place: number; order: PaidOrder }[] = [];
let news = Promise.withResolvers<void>();

function wake(): void {
  news.resolve();
  news = Promise.withResolvers();
}

/** A read model: every replica has all orders, in the same order. */
export const onPlaced = OrderPlaced.on((order, { position }) => {
  placed.push({ place: position!, order }); // of the log, so that it has one
  wake();
}, { each: "node", from: "start" });

export const watchOrders = WatchOrders.handle(async function* ({ after }, { signal }) {
  signal.addEventListener("abort", wake, { once: true });
  let next = placed.findIndex(({ place }) => place > after);
  if (next < 0) next = placed.length;
  while (!signal.aborted) {
    if (next < placed.length) yield placed[next++];
    else await news.promise;
  }
});

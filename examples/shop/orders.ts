/** The orders service: takes orders, has them paid, and keeps them where every replica finds them. */
import { fail } from "@catga/catga";
import { Charge, FindOrder, type Order, OrderPlaced, PlaceOrder } from "./contracts.ts";

const CENTS: ReadonlyMap<string, number> = new Map([["assam", 420], ["mate", 390], ["sencha", 550]]);

export const placeOrder = PlaceOrder.handle(async ({ sku, qty, card }, ctx) => {
  const price = CENTS.get(sku);
  if (price === undefined) return fail("UNKNOWN_SKU", `there is no ${sku}; there are ${[...CENTS.keys()].join(", ")}`);
  const order: Order = { orderId: ctx.id, sku, qty, cents: price * qty };

  // The node that runs this may die at any point, and another one runs it again from the beginning. The payment has an id
  // of its own, the same in every run: it is taken once. While no payments are there, customers are told so in 5 s.
  const charged = await ctx.send(Charge, { card, cents: order.cents }, { id: `charge-${ctx.id}`, timeout: 5_000 });
  if (!charged.ok) return charged;

  // a run that was paused, and has been replaced by another since, has a smaller fence: its write is refused
  await ctx.cache.set(`order:${order.orderId}`, order, { fence: ctx.fence! });
  // ok: it is stored, and whoever subscribes handles it. If not, the customer is told so, and orders again with the same id
  const published = await ctx.publish(OrderPlaced, order, { id: order.orderId });
  return published.ok ? order : published;
});

export const findOrder = FindOrder.handle(async ({ orderId }, ctx) =>
  await ctx.cache.get<Order>(`order:${orderId}`) ?? fail("NO_SUCH_ORDER", `there is no order ${orderId}`)
);

/**
 * Everything in one process, in memory: no server, no options.
 *
 *   deno run examples/single.ts        bun run examples/single.ts
 */
import { type Behavior, catga, command, event, fail, query } from "@catga/catga";

// Contracts: what a message is called, what goes in, what comes out.
const CreateOrder = command<{ sku: string; qty: number }, { orderId: string }>("CreateOrder");
const CountOrders = query<void, number>("CountOrders");
const OrderCreated = event<{ orderId: string; qty: number }>("OrderCreated");

// Handlers: they return the value, or a failure whose code the sender gets.
const orders = new Map<string, { sku: string; qty: number }>();

const createOrder = CreateOrder.handle(async ({ sku, qty }, ctx) => {
  if (qty < 1) return fail("BAD_QUANTITY", `cannot order ${qty} of ${sku}`);
  const orderId = `${sku}-${orders.size + 1}`;
  orders.set(orderId, { sku, qty });
  const published = await ctx.publish(OrderCreated, { orderId, qty });
  return published.ok ? { orderId } : published;
});
const countOrders = CountOrders.handle(() => orders.size);

// A request has one handler; an event has as many as you like.
const pack = OrderCreated.on(({ orderId, qty }) => console.log(`packing ${qty} for ${orderId}`));
const thank = OrderCreated.on(({ orderId }) => console.log(`thanks for ${orderId}`));

// A behavior wraps every handler, and sees its result.
const log: Behavior = async ({ contract }, next) => {
  const result = await next();
  console.log(`${contract.kind} ${contract.name}: ${result.ok ? "ok" : result.error.code}`);
  return result;
};

await using app = await catga({
  handlers: [createOrder, countOrders, pack, thank],
  behaviors: [log],
});

// Sending never throws for what can go wrong in operation: look at the result.
const created = await app.send(CreateOrder, { sku: "tea", qty: 2 });
if (created.ok) console.log(`created ${created.value.orderId}`);

const refused = await app.send(CreateOrder, { sku: "tea", qty: 0 });
if (!refused.ok) console.log(`refused: ${refused.error.message}`);

const { value } = await app.send(CountOrders);
console.log(`orders: ${value}`);

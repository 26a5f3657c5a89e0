/**
 * How many situations (operation, fault, phase) seeds of `explore` meet, steered to those not met yet and drawn at
 * random: `deno run -A bench/explore_situations.ts 1000`, or with `bun`. A shop of two nodes, a bank and a client; each
 * seed places three orders: an entity, a workflow with steps, a lock and a subscription.
 */
import process from "node:process";
import { command, entity, event, fail, query, workflow } from "../mod.ts";
import { explore, type Explored } from "../src/testing/mod.ts";

const Place = command<{ id: string; qty: number }, number>("Place", { key: ({ id }) => id });
const Charge = command<{ id: string }, string>("Charge", { idempotent: true });
const Refund = command<{ id: string }, string>("Refund", { idempotent: true });
const Stock = query<{ id: string }, number>("Stock");
const Mail = command<{ id: string }, void>("Mail", { durable: true });
const Seen = event<{ id: string }>("Seen");
const Order = entity("Order", { initial: () => ({ qty: 0 }) });
const Placed = Order.event<{ qty: number }>("Placed", (_, { qty }) => ({ qty }));
const Shipped = event<{ id: string }>("Shipped", { durable: true, key: ({ id }) => id });
const Aftercare = workflow<{ id: string }, string>("Aftercare", { id: ({ id }) => id });

const Returned = workflow<{ id: string }, string>("Returned", { id: ({ id }) => id });
const Rated = event<{ id: string }>("Rated", { durable: true });
const Find = query<{ id: string }, number>("Find");

const shop = [
  Find.handle(async ({ id }, ctx) => (await ctx.load(Order, id)).state.qty),
  Rated.on(async ({ id }, ctx) => void await ctx.send(Find, { id }), { name: "ratings" }),
  Order.handle(Place, async (order, { id, qty }, ctx) => {
    const stock = await ctx.send(Stock, { id });
    if (!stock.ok) return stock;
    if (order.state.qty > 0) return fail("ALREADY_PLACED", "it is placed");
    order.emit(Placed, { qty });
    await ctx.publish(Seen, { id });
    return qty;
  }),
  Placed.on(async (_, ctx) => void await ctx.start(Aftercare, { id: ctx.key }), { name: "aftercare" }),
  Aftercare.handle(async (flow, { id }) => {
    await flow.step("reserve", () => id, { undo: () => {} });
    const charged = await flow.send(Charge, { id });
    if (!charged.ok) return charged;
    await flow.sleep("rest", 200);
    await flow.step("ship", () => `shipped ${id}`);
    if (id.endsWith("1")) return fail("SPOILT", "it is spoilt"); // what was reserved is taken back
    await flow.send(Refund, { id });
    return "done";
  }),
  Returned.handle(async (flow, { id }) => {
    await flow.step("pick up", () => id, { undo: () => {} });
    await flow.step("check", () => id);
    const refund = await flow.send(Refund, { id: `${id}-return` });
    return refund.ok ? "back" : refund;
  }),
  Shipped.on(async ({ id }, ctx) => {
    await using _lock = await ctx.lock(`shelf-${id}`);
    await ctx.enqueue(Mail, { id });
  }, { name: "shelf" }),
  Mail.handle(() => {}),
  Seen.on(() => {}),
];
const bank = [Charge.handle(({ id }) => `receipt ${id}`), Refund.handle(({ id }) => id), Stock.handle(() => 7)];

function explored(seeds: number, steer: boolean): Promise<Explored> {
  return explore({
    nodes: { shop: 2, bank: { count: 1, handlers: bank } },
    handlers: shop,
    seeds,
    steer,
    workload: async ({ app, clock, random }) => {
      for (let i = 0; i < 3; i++) {
        await app.send(Place, { id: `order-${i}`, qty: 1 });
        await app.publish(Shipped, { id: `order-${i}` });
        await app.publish(Rated, { id: `order-${i}` });
        if (i === 2) await app.start(Returned, { id: `order-${i}` });
        await clock.sleep(random.int(1, 400));
      }
    },
  });
}

const seeds = Number(process.argv[2] ?? 1_000);
for (const steer of [false, true]) {
  const began = performance.now();
  const { situations, report } = await explored(seeds, steer);
  if (process.argv.includes("--table")) console.log(report);
  const took = ((performance.now() - began) / 1_000).toFixed(0);
  console.log(
    `${seeds} seeds ${steer ? "that are steered" : "at random"} met ${situations.length} situations in ${took} s`,
  );
}

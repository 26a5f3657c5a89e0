/**
 * A package that exports contracts and what an app returns, without any annotation: a build with `declaration` has to
 * be able to name each inferred type. Only its types are built; nothing of it runs.
 *
 * @module
 */
import { type Behavior, catga, command, entity, event, fail, query, type Schema, stream, workflow } from "@catga/catga";
import { logging, metrics, rateLimit, retry, timeout, tracing } from "@catga/catga/behaviors";
import { events, respond } from "@catga/catga/http";
import { recorder, testCluster, VirtualClock } from "@catga/catga/testing";

export declare const sku: Schema<{ sku: string }, { sku: string; parsed: true }>;

export const Ping = command("Ping");
export const CreateOrder = command<{ sku: string; qty: number }, { orderId: string }>("CreateOrder");
export const Coded = command<{ sku: string }, number, "NO">("Coded");
export const Listed = command("Listed", { input: sku, failures: ["GONE", "LATE"] });
export const Idempotent = command<{ id: string }, number>("Idempotent", { idempotent: true, id: ({ id }) => id });
export const Keyed = command<{ id: string }, number>("Keyed", { key: ({ id }) => id });
export const Durable = command<{ id: string }, number>("Durable", { durable: true });
export const DurableKeyed = command<{ id: string }, number>("DurableKeyed", { durable: true, key: ({ id }) => id });
export const CountOrders = query<{ sku?: string } | undefined, number>("orders.Count", { timeout: 2_000 });
export const Seen = event<{ id: string }>("Seen");
export const Placed = event<{ id: string }>("Placed", { durable: true });
export const Tail = stream<{ from: number }, { line: string }>("Tail", {
  resume: ({ from }) => ({ from: from + 1 }),
});

export const Approval = workflow<{ cents: number }, string>("Approval");
export const Refund = workflow<{ cents: number }, string, "DECLINED">("Refund");
export const Approved = Approval.signal<{ by: string }>("Approved");
export const Stopped = Approval.signal("Stopped");

export const Cart = entity("Cart", { initial: () => ({ items: [] as string[] }) });
export const ItemAdded = Cart.event<{ sku: string }>("ItemAdded", (cart, { sku }) => ({ items: [...cart.items, sku] }));
export const ItemParsed = Cart.event("ItemParsed", (cart, { sku }) => ({ items: [...cart.items, sku] }), {
  input: sku,
});
export const forgotten = Cart.forgotten;
export const given = ItemAdded.of({ sku: "tea" });

export const createOrder = CreateOrder.handle(({ sku }) => ({ orderId: sku }));
export const coded = Coded.handle(() => fail("NO", "no"));
export const placed = Placed.on(() => {}, { name: "mails" });
export const batches = Placed.onBatch((batch) => console.log(batch.length));
export const tail = Tail.handle(async function* ({ from }) {
  yield { line: `${from}` };
});
export const keyed = Cart.handle(Keyed, (cart) => cart.version);
export const approval = Approval.handle(async (flow, { cents }) => {
  const answer = await flow.wait(Approved, { timeout: 1_000 });
  return `${cents} ${answer?.by}`;
});

export const timed = (async ({ contract }, next) => {
  const result = await next();
  console.log(contract.name);
  return result;
}) satisfies Behavior;
export const behaviors = [logging(), metrics(), rateLimit({ rate: 1 }), retry(), timeout(1_000), tracing()];

export const openApp = () => catga({ handlers: [createOrder, coded, placed, tail, keyed, approval], behaviors });
export const failure = fail("SOLD_OUT", "sold out", { details: { left: 0 } });
export const tests = { testCluster, recorder, clock: new VirtualClock() };
export const http = { respond, events };

type App = Awaited<ReturnType<typeof openApp>>;
export const uses = {
  sendOrder: (app: App) => app.send(CreateOrder, { sku: "tea", qty: 1 }),
  sendCoded: (app: App) => app.send(Coded, { sku: "tea" }),
  sendAll: (app: App) => app.sendAll(Coded, [{ sku: "tea" }]),
  publish: (app: App) => app.publish(Seen, { id: "a" }),
  broadcast: (app: App) => app.broadcast(CountOrders, {}),
  enqueue: (app: App) => app.enqueue(Durable, { id: "a" }),
  lines: (app: App) => app.stream(Tail, { from: 1 }),
  start: (app: App) => app.start(Approval, { cents: 1 }),
  tell: (app: App, run: string) => app.tell(Approved, run, { by: "ann" }),
  result: (app: App, run: string) => app.result(Refund, run),
  runs: (app: App) => app.runs({ workflow: "Approval" }),
  load: (app: App) => app.load(Cart, "7"),
  decide: () => Cart.decide(keyed, { given: [given], when: { id: "7" } }),
  lead: (app: App) => app.lead("nightly", () => {}),
  watchNodes: (app: App) => app.watchNodes(),
  lock: (app: App) => app.lock("stock"),
  cache: (app: App) => app.cache,
  deadLetters: (app: App) => app.deadLetters(),
  health: (app: App) => app.health(),
  clock: (app: App) => app.clock,
};

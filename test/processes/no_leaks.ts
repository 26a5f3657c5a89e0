/**
 * Apps that do one thing and drain: a test each, of `Deno.test`, which its sanitizers see. Over NATS with the address
 * of a server as argument, else in memory.
 */
import { catga, command, entity, event, query, unwrap, workflow } from "../../mod.ts";
import { edge } from "../../src/http/mod.ts";
import { testCluster } from "../../src/testing/mod.ts";

const [url] = Deno.args;
const place = url === undefined ? {} : { nats: url };

const Twice = command<number, number>("Twice", { idempotent: true });
const twice = Twice.handle((value) => 2 * value);
const Order = workflow<number, number>("Order");
const Go = Order.signal("go");
const order = Order.handle(async (flow, value) => {
  await flow.wait(Go);
  return await flow.step("pay", () => value);
});

Deno.test("a durable handler", async () => {
  const Placed = event<number>("Placed", { durable: true });
  const handled = Promise.withResolvers<void>();
  await using app = await catga({ ...place, handlers: Placed.on(() => handled.resolve(), { name: "mails" }) });
  unwrap(await app.publish(Placed, 1));
  await handled.promise;
});

Deno.test("a queued command, and one that is scheduled", async () => {
  const Mail = command<number, void>("Mail", { durable: true });
  const handled = Promise.withResolvers<void>();
  await using app = await catga({ ...place, handlers: Mail.handle(() => handled.resolve()) });
  unwrap(await app.enqueue(Mail, 1, { id: "later", delay: 3_600_000 }));
  unwrap(await app.enqueue(Mail, 2));
  await handled.promise;
});

Deno.test("a lock", async () => {
  await using app = await catga(place);
  await using _lock = await app.lock("stock");
});

Deno.test("a lock that is waited for", async () => {
  await using app = await catga(place);
  const lock = await app.lock("till");
  const next = app.lock("till");
  await lock.release();
  await (await next).release();
});

Deno.test("leadership", async () => {
  await using app = await catga(place);
  const leading = Promise.withResolvers<void>();
  await using _ = app.lead("billing", () => leading.resolve());
  await leading.promise;
});

Deno.test("an idempotent command", async () => {
  await using app = await catga({ ...place, handlers: twice });
  unwrap(await app.send(Twice, 1, { id: "one" }));
});

Deno.test("a workflow", async () => {
  await using app = await catga({ ...place, handlers: order });
  const run = unwrap(await app.start(Order, 1));
  unwrap(await app.tell(Go, run));
  unwrap(await app.result(Order, run));
});

Deno.test("a workflow that waits", async () => {
  await using app = await catga({ ...place, handlers: order });
  unwrap(await app.start(Order, 1));
});

// without a network every run has its handler in the app that starts it
Deno.test("a signal to a run that no node drives", { ignore: url === undefined }, async () => {
  await using app = await catga(place);
  unwrap(await app.tell(Go, unwrap(await app.start(Order, 1))));
});

Deno.test("an entity", async () => {
  const Cart = entity("Cart", { initial: () => 0 });
  const Added = Cart.event<number>("Added", (sum, n) => sum + n);
  const Add = command<{ id: string; n: number }, number>("Add", { key: ({ id }) => id });
  const counted = Promise.withResolvers<void>();
  const handlers = [
    Cart.handle(Add, (cart, { n }) => {
      cart.emit(Added, n);
      return cart.state;
    }),
    Added.on(() => counted.resolve(), { each: "node", from: "start" }),
  ];
  await using app = await catga({ ...place, handlers });
  unwrap(await app.send(Add, { id: "a", n: 1 }));
  await app.load(Cart, "a");
  await counted.promise;
});

Deno.test("an edge", async () => {
  const Count = query<void, number>("Count");
  const Placed = event<number>("Placed", { durable: true });
  await using app = await catga({ ...place, handlers: Count.handle(() => 7) });
  const handler = edge({ count: Count, placed: Placed }).handler(app, { base: "/api", authorize: () => "anyone" });
  const answer = await handler(new Request("http://shop.example/api/count"));
  if (await answer.json() !== 7) throw new Error("another answer");
  // a tail that its reader leaves, and one that the drain ends
  const tail = () => handler(new Request("http://shop.example/api/placed?from=start"));
  await (await tail()).body!.cancel();
  const open = await tail();
  unwrap(await app.publish(Placed, 1));
  const reader = open.body!.getReader();
  await reader.read();
  reader.releaseLock();
});

Deno.test("a test cluster", async () => {
  await using cluster = await testCluster(2, { handlers: [twice, order] });
  const [first] = cluster.apps;
  unwrap(await first.send(Twice, 1));
  unwrap(await first.tell(Go, unwrap(await first.start(Order, 1))));
});

Deno.test("the cache", async () => {
  await using app = await catga(place);
  await app.cache.set("a", 1);
});

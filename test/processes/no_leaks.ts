/** Apps that do one thing and drain: a test each, of `Deno.test`, which its sanitizers see. */
import { catga, command, event, unwrap, workflow } from "../../mod.ts";
import { testCluster } from "../../src/testing/mod.ts";

const Twice = command<number, number>("Twice", { idempotent: true });
const twice = Twice.handle((value) => 2 * value);
const Order = workflow<number, number>("Order");
const order = Order.handle((flow, value) => flow.step("pay", () => value));

Deno.test("a durable handler", async () => {
  const Placed = event<number>("Placed", { durable: true });
  const handled = Promise.withResolvers<void>();
  await using app = await catga({ handlers: Placed.on(() => handled.resolve(), { name: "mails" }) });
  await app.publish(Placed, 1);
  await handled.promise;
});

Deno.test("a lock", async () => {
  await using app = await catga();
  await using _lock = await app.lock("stock");
});

Deno.test("an idempotent command", async () => {
  await using app = await catga({ handlers: twice });
  unwrap(await app.send(Twice, 1));
});

Deno.test("a workflow", async () => {
  await using app = await catga({ handlers: order });
  unwrap(await app.result(Order, unwrap(await app.start(Order, 1))));
});

Deno.test("a test cluster", async () => {
  await using cluster = await testCluster(2, { handlers: [twice, order] });
  const [first] = cluster.apps;
  unwrap(await first.send(Twice, 1));
});

Deno.test("the cache", async () => {
  await using app = await catga();
  await app.cache.set("a", 1);
});

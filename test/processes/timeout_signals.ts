/**
 * A program that gives `AbortSignal.timeout(60_000)` to everything that takes a signal, prints `{"event":"done"}`, and
 * has nothing else to do then: it ends by itself.
 */
import { MemoryNetwork } from "../../src/testing/mod.ts";
import { catga, command, event, query, stream } from "../../mod.ts";

const Price = query<void, number>("Price");
const Came = event<number>("Came", { durable: true });
const Told = event<number>("Told");
const Mail = command<void, void>("Mail", { durable: true });
const Rows = stream<void, number>("Rows");
const handlers = [
  Price.handle(async (_, ctx) => {
    await ctx.clock.sleep(1, AbortSignal.timeout(60_000));
    return 1;
  }),
  Came.on(() => {}, { name: "desk" }),
  Told.on(() => {}),
  Mail.handle(() => {}),
  Rows.handle(async function* () {
    yield 1;
    yield 2;
  }),
];
/** Each call has a signal of its own. */
const options = () => ({ signal: AbortSignal.timeout(60_000) });
const network = new MemoryNetwork();
const other = await catga({ network, id: "other", service: "other", handlers });
const app = await catga({ network, id: "app", service: "app", handlers: [] });
const alone = await catga({ handlers });
for (const sender of [app, other, alone]) {
  await sender.send(Price, undefined, options());
  await sender.sendAll(Price, [undefined, undefined], options());
  await sender.publish(Told, 1, options());
  for await (const row of sender.stream(Rows, undefined, options())) if (row > 2) break;
  const lock = await sender.lock("a", options());
  await lock.release();
  await sender.cache.getOrSet("k", () => 1, options());
}
for (const sender of [app, other]) {
  await sender.publish(Came, 1, options());
  await sender.enqueue(Mail, undefined, options());
  await sender.broadcast(Price, undefined, options());
  await sender.cache.getOrSet("once", () => 1, { once: true, ...options() });
  for await (const _event of sender.follow(Came, { from: "start", ...options() })) break;
  const changes = sender.watchNodes(options());
  const next = changes.next();
  await changes.return?.();
  await next;
}
for (const each of [app, other, alone]) await each[Symbol.asyncDispose]();
console.log(JSON.stringify({ event: "done" }));

/** Tests of what runs show, over HTTP: the edge's answers, and `watch` of the client. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { catga, fail, unwrap, workflow } from "../../mod.ts";
import { edge } from "../http/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { client, ClientError } from "./mod.ts";

const Order = workflow<{ fails: boolean }, bigint, "LOST">("Order").view<{ parcels: number; on: Date }>();
const More = Order.signal<number>("more");
const order = Order.handle(async (flow, { fails }) => {
  for (;;) {
    const parcels = await flow.wait(More);
    if (parcels === 0) return fails ? fail("LOST", "at sea", { details: { on: new Date(9) } }) : 7n;
    flow.show({ parcels, on: new Date(parcels) });
  }
});
const api = edge({ orders: [Order, { tell: { more: More }, failures: { LOST: 410 } }] });

async function start(cut: (url: string) => boolean = () => false) {
  const app = await catga({ logger: QUIET, handlers: order });
  const actions: string[] = [];
  const handle = api.handler(app, { authorize: (_, { action }) => void actions.push(action), keepAlive: 1_000 });
  const shop = client<typeof api>("http://shop.example", {
    pause: [1, 10],
    fetch: async (url, init) => {
      const response = await handle(new Request(url, init));
      if (response.headers.get("content-type") !== "text/event-stream" || !cut(url)) return response;
      // the connection breaks behind each second event with data
      let events = 0;
      const [first] = response.body!.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(bytes, to) {
            to.enqueue(bytes);
            if (new TextDecoder().decode(bytes).includes("data:") && ++events === 2) to.terminate();
          },
        }),
      ).tee();
      return new Response(first, { headers: response.headers });
    },
  });
  const ask = (path: string, headers: Record<string, string> = {}) =>
    handle(new Request(`http://shop.example/orders/${path}`, { headers }));
  return { app, shop, actions, ask, [Symbol.asyncDispose]: () => app.drain() };
}

describe("what a run shows, over HTTP", () => {
  it("GET says it, with an ETag that changes with it, and 304 for one that is known", async () => {
    await using stage = await start();
    const { app, ask } = stage;
    unwrap(await app.start(Order, { fails: false }, { id: "7" }));
    const watch = app.watch(Order, "7");
    unwrap(await app.tell(More, "7", 2));
    await watch.next();
    for (;;) {
      const open = await ask("7");
      const { status, view } = await open.json();
      assertEquals([open.status, view], [202, { parcels: 2, on: new Date(2).toISOString() }]);
      if (status !== "waiting") {
        await app.clock.sleep(1); // the view is stored, the next wait is not yet
        continue;
      }
      const tag = { "if-none-match": open.headers.get("etag")! };
      assertEquals((await ask("7", tag)).status, 304);
      unwrap(await app.tell(More, "7", 3));
      await watch.next();
      const changed = await ask("7", tag);
      assertEquals([changed.status, (await changed.json()).view.parcels], [202, 3]);
      break;
    }
    unwrap(await app.tell(More, "7", 0));
    unwrap(await app.result(Order, "7"));
    const ended = await ask("7");
    assertEquals([ended.status, await ended.text()], [200, '"7"']);
    assertEquals((await ask("7", { "if-none-match": ended.headers.get("etag")! })).status, 304);
  });

  it("watch: values with their types, each later than the one before, and the end, over lost connections", async () => {
    await using stage = await start(() => true);
    const { app, shop, actions } = stage;
    const run = unwrap(await shop.orders.start({ fails: false }) as never) as { id: string };
    const watch = shop.orders.run(run.id).watch();
    const seen: unknown[] = [];
    for (const parcels of [1, 2, 3, 4, 5]) {
      unwrap(await app.tell(More, run.id, parcels));
      const { value: { view, result } } = await watch.next();
      seen.push(view?.on.getTime(), result);
    }
    assertEquals(seen, [1, 2, 3, 4, 5].flatMap((n) => [n, undefined]));
    unwrap(await app.tell(More, run.id, 0));
    const { value: { view, result } } = await watch.next();
    assertEquals([view?.parcels, result?.value], [5, 7n]);
    assertEquals(await watch.next(), { done: true, value: undefined });
    assertEquals(new Set(actions), new Set(["start", "watch"]));
  });

  it("watch: a failure of the run is its end, with its code, status and details; NO_RUN is thrown", async () => {
    await using stage = await start();
    const { app, shop, ask } = stage;
    unwrap(await app.start(Order, { fails: true }, { id: "8" }));
    unwrap(await app.tell(More, "8", 0));
    const changes = [];
    for await (const { result } of shop.orders.run("8").watch()) changes.push(result);
    const error = changes.at(-1)?.error;
    assertEquals([changes.length, error instanceof ClientError, error?.code, error?.status, error?.details], [
      ...[1, true, "LOST", 410],
      { on: new Date(9) },
    ]);
    const plain = await (await ask("8", { accept: "text/event-stream" })).text();
    assertStringIncludes(plain, '"code":"LOST"');
    assertStringIncludes(plain, "event: end");
    const none = shop.orders.run("none").watch();
    const thrown = await assertRejects(() => none.next(), ClientError);
    assertEquals(thrown.code, "NO_RUN");
  });
});

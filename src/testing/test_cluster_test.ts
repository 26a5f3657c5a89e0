import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { command, event, query, stream, unwrap } from "../../mod.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";
import { testCluster, type TestClusterOptions } from "./mod.ts";

const Who = query<void, string>("Who");
const Do = command<void, string>("Do", { timeout: 10_000 });
const Forever = command<void, void>("Forever", { timeout: 10_000 });
const Told = event<number>("Told");
const who = Who.handle((_, ctx) => ctx.node);
const handlers = [who, Do.handle((_, ctx) => ctx.node), Forever.handle(() => new Promise(() => {}))];

describe("testCluster", () => {
  it("starts nodes that see each other, and drains them", async () => {
    const cluster = await testCluster(3, { handlers });
    const [a, b, c] = cluster.apps;
    assertEquals(cluster.apps.map(({ self }) => self.id), ["node-1", "node-2", "node-3"]);
    for (const app of [a, b, c]) assertEquals(app.nodes().length, 3);
    const answers = (await a.sendAll(Who, [undefined, undefined, undefined])).map(unwrap);
    assertEquals(answers.sort(), ["node-1", "node-2", "node-3"]);
    await cluster.drain();
    assertEquals((await b.send(Who)).error?.code, "CLOSED");
    assertEquals(cluster.apps, []);
  });

  it("starts nodes with ids and options of their own", async () => {
    await using cluster = await testCluster(["shop", "stock"], {
      node: (id) => ({ service: id, ...(id === "stock" ? { handlers } : {}) }),
    });
    assertEquals(unwrap(await cluster.app("shop").send(Who)), "stock");
    assertEquals(cluster.app("stock").self.service, "stock");
  });

  it("a stream between nodes is driven as sends are, from its first item to the end of its iteration", async () => {
    const Count = stream<number, number>("Count");
    let ended = 0;
    const counts = Count.handle(async function* (to, ctx) {
      try {
        for (let n = 1; n <= to; n++) {
          await ctx.clock.sleep(1_000);
          yield n;
        }
      } finally {
        ended++;
      }
    });
    await using cluster = await testCluster(["reader", "feeder"], {
      node: (id) => id === "feeder" ? { handlers: counts } : {},
    });
    const reader = cluster.app("reader");
    const began = cluster.clock.monotonic();
    const read = reader.stream(Count, 3);
    assertEquals(await Array.fromAsync(read), [1, 2, 3]);
    await assertRejects(() => Array.fromAsync(read), TypeError, "stream Count has been read");
    assertEquals(cluster.clock.monotonic() - began, 3_000);
    for await (const n of reader.stream(Count, 9)) if (n === 2) break;
    await cluster.advance(100);
    assertEquals(ended, 2);
    const unread = reader.stream(Count, 9);
    const [first, returned] = await Promise.all([unread.next(), unread.return?.()]);
    assertEquals([first.done, returned?.done], [true, true]);
  });

  it("kill: a command that runs there is OUTCOME_UNKNOWN, the others agree, and it may start again", async () => {
    await using cluster = await testCluster(3, { handlers });
    const [a] = cluster.apps;
    const lost = a.send(Forever, undefined, { node: "node-2" });
    await cluster.advance(10);
    cluster.kill("node-2");
    assertEquals((await lost).error?.code, "OUTCOME_UNKNOWN");
    await cluster.agreed();
    assertEquals(a.nodes().map(({ id }) => id), ["node-1", "node-3"]);
    assertEquals(cluster.apps.length, 2);
    assertThrows(() => cluster.app("node-2"), TypeError, 'no node "node-2" is there; there are node-1, node-3');
    const again = await cluster.start("node-2");
    await cluster.agreed();
    assertEquals(cluster.apps[1], again);
    assertEquals(unwrap(await a.send(Do, undefined, { node: "node-2" })), "node-2");
  });

  it("pause and resume: a query moves to another node, and the node comes back", async () => {
    await using cluster = await testCluster(["a", "b", "client"], {
      node: (id) => (id === "client" ? {} : { handlers }),
    });
    const client = cluster.app("client");
    cluster.pause("a");
    const began = cluster.clock.monotonic();
    assertEquals((await client.sendAll(Who, [undefined, undefined])).map(unwrap), ["b", "b"]);
    assertEquals(cluster.clock.monotonic() - began, 650);
    await cluster.agreed();
    assertEquals(client.nodes().map(({ id }) => id), ["b", "client"]);
    cluster.resume("a");
    await cluster.agreed();
    assertEquals(client.nodes().map(({ id }) => id), ["a", "b", "client"]);
  });

  it("cut and restore: the others forget a node, and find it again", async () => {
    await using cluster = await testCluster(3, { handlers });
    cluster.cut("node-3");
    await cluster.agreed();
    assertEquals(cluster.apps[0].nodes().length, 2);
    assertEquals(cluster.app("node-3").health().status, "disconnected");
    cluster.restore("node-3");
    await cluster.agreed();
    assertEquals(cluster.apps[0].nodes().length, 3);
  });

  it("apps lacks a node that has drained", async () => {
    await using cluster = await testCluster(2, { handlers });
    await cluster.app("node-2").drain();
    await cluster.agreed();
    assertEquals(cluster.apps.map(({ self }) => self.id), ["node-1"]);
  });

  it("virtual time passes while the test awaits sends, locks and the cache", async () => {
    await using cluster = await testCluster(2, { handlers });
    const [a, b] = cluster.apps;
    cluster.network.faults = { delay: 50 };
    const late = await a.send(Forever, undefined, { timeout: 60_000, node: "node-2" });
    assertEquals(late.error?.code, "OUTCOME_UNKNOWN");
    assert(cluster.clock.monotonic() >= 60_000);
    const lock = await a.lock("order:1", { ttl: 3_000 });
    await assertRejects(() => b.lock("order:1", { timeout: 20_000 }), Error, "order:1");
    await lock.release();
    assertEquals(await b.cache.getOrSet("price", () => 4), 4);
    await using next = await b.lock("order:1");
    assert(next.token > lock.token);
  });

  it("virtual time passes while the test, or a handler, sleeps on the clock of an app", async () => {
    const slow = Do.handle(async (_, ctx) => {
      await ctx.clock.sleep(5_000);
      return `after ${ctx.clock.now()}`;
    });
    await using cluster = await testCluster(1, { handlers: slow });
    const [app] = cluster.apps;
    const [wall, start] = [app.clock.now(), cluster.clock.monotonic()];
    assertEquals(unwrap(await app.send(Do)), `after ${wall + 5_000}`);
    await app.clock.sleep(3_600_000);
    assertEquals(cluster.clock.monotonic() - start, 3_605_000);
  });

  it("virtual time stands still while the test awaits something else", async () => {
    await using cluster = await testCluster(2, { handlers });
    const before = cluster.clock.monotonic();
    await readFile(new URL(import.meta.url));
    await wait(20);
    assertEquals(cluster.clock.monotonic(), before);
    unwrap(await cluster.apps[0].send(Who));
    assertEquals(cluster.clock.monotonic(), before); // a request that needs no time takes no virtual time
  });

  it("a handler that waits for a real timer has real time for it", async () => {
    const slow = Do.handle(async (_, ctx) => {
      await wait(30);
      return ctx.node;
    });
    await using cluster = await testCluster(["server", "client"], {
      node: (id) => (id === "server" ? { handlers: slow } : {}),
    });
    assertEquals(unwrap(await cluster.app("client").send(Do)), "server");
  });

  it('time: "manual" passes only in advance and until', async () => {
    await using cluster = await testCluster(["server", "client"], {
      time: "manual",
      node: (id) => (id === "server" ? { handlers } : {}),
    });
    const client = cluster.app("client");
    cluster.pause("server");
    let code: string | undefined;
    const sent = client.send(Do, undefined, { timeout: 5_000 }).then(({ error }) => code = error?.code);
    await cluster.advance(4_999);
    assertEquals(code, undefined);
    await cluster.advance(1_000);
    assertEquals(code, "OUTCOME_UNKNOWN");
    await sent;
    cluster.resume("server");
    assertEquals(unwrap(await cluster.until(client.send(Do))), "server");
  });

  it("until: rejects when the promise has not settled within its limit, and names handlers that run", async () => {
    const Hang = command("Hang");
    const never = Promise.withResolvers<void>();
    await using cluster = await testCluster(2, { handlers: Hang.handle(() => never.promise) });
    const sent = cluster.app("node-1").send(Hang, undefined, { node: "node-2", timeout: 100_000 });
    const error = await assertRejects(() => cluster.until(new Promise(() => {}), 1_000), Error);
    assertMatch(
      error.message,
      /^the promise has not settled within 1000 ms; the handler of Hang on node-2 has not ended/,
    );
    await assertRejects(() => cluster.until(never.promise), Error, "within 60000 ms");
    assertEquals(await cluster.until(Promise.resolve(1), Number.MAX_VALUE), 1);
    await assertRejects(() => cluster.until(Promise.reject(new RangeError("own"))), RangeError, "own");
    await assertRejects(() => cluster.until(never.promise, -1), RangeError, "until: limit");
    never.resolve();
    await sent;
  });

  it('time: "real" is real time', async () => {
    await using cluster = await testCluster(2, { handlers, time: "real" });
    assertEquals(unwrap(await cluster.apps[0].send(Do, undefined, { node: "node-2" })), "node-2");
    const before = performance.now();
    await cluster.advance(20);
    assert(performance.now() - before >= 15);
    const [early, now, late] = [Date.now(), cluster.clock.now(), Date.now()];
    assert(early - 1 <= now && now <= late + 1, `${early}, ${now}, ${late}`);
  });

  it("runs with the same seed are the same, with another seed different", async () => {
    const run = async (seed: number) => {
      const ran: string[] = [];
      const faults = { drop: 0.05, delay: 30, cut: { every: 3_000, lasts: 500 } };
      await using cluster = await testCluster(["client", "a", "b"], {
        seed,
        faults,
        node: (id) => (id === "client" ? {} : { handlers: Do.handle((_, ctx) => `${ran.push(ctx.node)}`) }),
      });
      const client = cluster.app("client");
      const results = [];
      for (let i = 0; i < 20; i++) {
        await cluster.advance(100);
        results.push(await client.send(Do));
      }
      return JSON.stringify([ran, results.map(({ value, error }) => value ?? error?.code), cluster.clock.now()]);
    };
    const first = await run(7);
    assertEquals(await run(7), first);
    assert(await run(8) !== first);
  });

  it("keeps the log of all nodes, and shows errors of handlers", async () => {
    const failing = Do.handle(() => {
      throw new Error("no tea");
    });
    const shown = await consoleErrors(async () => {
      await using cluster = await testCluster(1, { handlers: failing });
      assertEquals((await cluster.apps[0].send(Do)).error?.code, "HANDLER_FAILED");
      assertMatch(cluster.log.at(-1)!, /^error catga node-1: the handler of Do threw .*: Error: no tea$/);
    });
    assertEquals(shown.map(([, error]) => String(error)), ["Error: no tea"]);
  });

  it("rejects for invalid options, and leaves no node behind", async () => {
    await assertRejects(() => testCluster(0), RangeError, "got 0");
    const real: unknown = { nats: "nats://localhost:4222" };
    await assertRejects(() => testCluster(1, real as TestClusterOptions), TypeError, "testCluster takes no nats");
    await assertRejects(() => testCluster(1, { faults: { drop: 2 } }), RangeError, "drop");
    await assertRejects(() => testCluster(1, { timeout: -1 }), RangeError, "timeout");
    await using cluster = await testCluster(1);
    await assertRejects(() => cluster.start("node-1"), TypeError, "is there already");
  });
});

describe("recorder of a cluster", () => {
  it("has records of what was sent, published and handled, with results", async () => {
    const Buy = command<{ sku: string }, string>("Buy");
    const Bought = event<{ sku: string }>("Bought");
    const buy = Buy.handle(async ({ sku }, ctx) => {
      unwrap(await ctx.publish(Bought, { sku }));
      return `${sku} from ${ctx.node}`;
    });
    await using cluster = await testCluster(["shop", "stock"], {
      node: (id) => (id === "stock" ? { handlers: [buy, Bought.on(() => {})] } : {}),
    });
    const { recorder } = cluster;
    unwrap(await cluster.app("shop").send(Buy, { sku: "tea" }, { id: "first", headers: { a: "b" } }));
    const [sent] = recorder.sent(Buy);
    assertEquals([sent.node, sent.payload.sku, sent.id, sent.headers], ["shop", "tea", "first", { a: "b" }]);
    const handled = await recorder.next(Buy);
    assertEquals([handled.node, handled.id, handled.headers.a], ["stock", "first", "b"]);
    assertEquals([handled.result?.value, sent.result?.value], ["tea from stock", "tea from stock"]);
    const published = await recorder.next(Bought);
    assertEquals([published.type, published.node, published.correlationId], ["published", "stock", "first"]);
    assertEquals((await recorder.next(Bought, { type: "handled" })).payload, { sku: "tea" });
    assertEquals(recorder.all.map(({ type, name }) => `${type} ${name}`), [
      "sent Buy",
      "handled Buy",
      "published Bought",
      "handled Bought",
    ]);
    recorder.clear();
    assertEquals(recorder.all, []);
    await cluster.app("shop").broadcast(Buy, { sku: "milk" });
    assertEquals(recorder.broadcast(Buy)[0].result?.value?.map(({ node }) => node), ["stock"]);
  });

  it("next: returns each record once, waits for further ones, and rejects with the last records", async () => {
    await using cluster = await testCluster(2, { handlers: [who, Told.on(() => {})] });
    const [a] = cluster.apps;
    unwrap(await a.publish(Told, 1));
    unwrap(await a.publish(Told, 2));
    const third = cluster.clock.after(5_000, () => void a.publish(Told, 3));
    const told = [
      await cluster.recorder.next(Told),
      await cluster.recorder.next(Told),
      await cluster.recorder.next(Told),
    ];
    assertEquals(told.map(({ payload }) => payload), [1, 2, 3]);
    assertEquals(told[2].at - told[1].at, 5_000);
    third.cancel();
    const none = cluster.recorder.next(Who, { limit: 2_000 });
    await assertRejects(
      () => none,
      Error,
      "no query Who was handled within 2000 ms; recorded last: published Told on node-1, ",
    );
  });
});

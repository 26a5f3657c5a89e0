import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, catga, event, fail, type Result } from "../../../mod.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { rateLimit } from "../../behaviors/mod.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { categorySubject, logSubjects } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";

const Counted = event<{ n: number; key?: string }>("Counted", { durable: true, key: ({ key }) => key ?? "one" });
const Loose = event<{ n: number }>("Loose", { durable: true });
const EACH = { each: "node", from: "start" } as const;

describe("a read model", () => {
  it("has handled what the log had when catga() resolves, and follows what comes", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    await publish(cluster, publisher, 0, 1_000);
    const seen: Record<string, number[]> = { a: [], b: [] };
    for (const id of ["a", "b"]) {
      const app = await cluster.start(id, { handlers: Counted.on(({ n }) => void seen[id].push(n), EACH) });
      assertEquals(seen[id], Array.from({ length: 1_000 }, (_, n) => n));
      assertEquals([app.health().status, app.self.subscriptions], ["ready", undefined]);
    }
    await publish(cluster, publisher, 1_000, 1_001);
    await cluster.clock.advance(100);
    assertEquals([seen.a[1_000], seen.b[1_000]], [1_000, 1_000]);
  });

  it('from "now" handles what is published from when catga() resolves', async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    await publish(cluster, publisher, 0, 10);
    const seen: number[] = [];
    await cluster.start("a", { handlers: Counted.on(({ n }) => void seen.push(n), { each: "node" }) });
    await publish(cluster, publisher, 10, 20);
    await cluster.clock.advance(100);
    assertEquals(seen, [10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  it("a handler that goes on long after its timeout is an alarm of its node, until it ends", async () => {
    // regression: a handler that hangs raised no alarm when its read model was caught up and its oldest message 0 ms
    // old
    await using cluster = new MemoryCluster();
    const ends = Promise.withResolvers<void>();
    const handler = Counted.on(({ n }) => n === 0 ? ends.promise : undefined, { ...EACH, timeout: 1_000 });
    const app = await cluster.start("a", { handlers: handler });
    await publish(cluster, app, 0, 5);
    const seen = () => {
      const { alarms, subscriptions: [{ hanging, oldest }] } = app.health();
      return { alarms: alarms.map(({ kind, count }) => [kind, count]), at: hanging?.node, old: oldest >= 1_000 };
    };
    await cluster.clock.advance(1_900);
    assertEquals(seen(), { alarms: [], at: undefined, old: true });
    await cluster.clock.advance(1_000);
    assertEquals(seen(), { alarms: [["handler-hanging", 1]], at: "a", old: true });
    ends.resolve();
    await cluster.clock.advance(100);
    assertEquals(seen(), { alarms: [], at: undefined, old: false });
  });

  it("handles the messages of a key in order, one at a time, and others beside them", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    for (let n = 0; n < 40; n++) await publish(cluster, publisher, n, n + 1, `k${n % 4}`);
    const running = new Map<string, number>();
    const seen = new Map<string, number[]>();
    let most = 0;
    const handler = Counted.on(async ({ n, key = "" }, ctx) => {
      running.set(key, (running.get(key) ?? 0) + 1);
      assertEquals(running.get(key), 1);
      most = Math.max(most, [...running.values()].reduce((sum, count) => sum + count));
      await ctx.clock.sleep(10);
      running.set(key, running.get(key)! - 1);
      seen.set(key, [...seen.get(key) ?? [], n]);
    }, EACH);
    await cluster.start("a", { handlers: handler });
    for (const [key, numbers] of seen) {
      assertEquals(numbers, Array.from({ length: 10 }, (_, i) => 4 * i + Number(key.slice(1))));
    }
    assertEquals([seen.size, most], [4, 4]);
  });

  it("reads on as soon as there is room, though more wait for a slow key than it takes at once", async () => {
    await using cluster = new MemoryCluster();
    const gate = Promise.withResolvers<void>();
    const others: number[] = [];
    const handlers = Counted.on(async ({ n, key }, ctx) => {
      if (key === "other") others.push(n);
      else await (n > 2 ? gate.promise : ctx.clock.sleep(1_000));
    }, { each: "node" });
    const app = await cluster.start("a", { handlers });
    await publish(cluster, app, 0, 10_001);
    await publish(cluster, app, 10_001, 10_002, "other");
    await cluster.clock.advance(10_000);
    gate.resolve();
    assertEquals(others, [10_001]);
  });

  it("tries what fails again until it succeeds, in order, says so, and lets other keys pass", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const seen: string[] = [];
    let broken = true;
    const handler = Counted.on(({ n, key }, ctx) => {
      if (n === 1 && broken) throw new Error("no database");
      seen.push(`${key}${n}${n === 1 && ctx.attempt > 1 ? " again" : ""}`);
    }, { ...EACH, from: "now", retry: { delay: [1_000, 2_000] } });
    await cluster.start("a", { handlers: handler });
    for (const n of [0, 1, 2]) await publish(cluster, publisher, n, n + 1, "x");
    await publish(cluster, publisher, 3, 4, "y");
    await cluster.clock.advance(10_000);
    assertEquals(seen, ["x0", "y3"]);
    assert(cluster.log.filter((line) => line.includes("Counted")).length >= 3, cluster.log.join("\n"));
    broken = false;
    await cluster.clock.advance(4_000);
    assertEquals(seen, ["x0", "y3", "x1 again", "x2"]);
  });

  it("that cannot take an event does not keep its node from starting, and health() counts what waits", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    for (const [n, key] of ["x", "y", "x", "z"].entries()) await publish(cluster, publisher, n, n + 1, key);
    const seen: string[] = [];
    let broken = true;
    const stuck = new Promise<void>(() => {});
    const handler = Counted.on(({ n, key }) => {
      if (key === "x" && broken) throw new Error("no database");
      seen.push(`${key}${n}`);
      return key === "z" ? stuck : undefined;
    }, { ...EACH, retry: { delay: [1_000, 2_000] }, timeout: 500 });
    const app = await cluster.start("a", { handlers: handler });
    const { status, subscriptions: [{ state, open, retrying }] } = app.health();
    assertEquals([status, state, open, retrying], ["ready", "caught up", 3, 3]);
    assert(cluster.log.some((line) => line.includes("3 messages wait for 2 keys")), cluster.log.join("\n"));
    broken = false;
    await cluster.clock.advance(4_000);
    assertEquals(seen, ["y1", "z3", "x0", "x2"]);
    assertEquals(app.health().subscriptions[0].retrying, 1);
  });

  it("that cannot take an event is an alarm until it can, also in the pauses between its attempts (nothing was wrong)", async () => {
    await using cluster = new MemoryCluster();
    let broken = true;
    const handler = Counted.on(() => {
      if (broken) throw new Error("no database");
    }, { ...EACH, retry: { delay: [1_000, 60_000] } });
    const app = await cluster.start("a", { handlers: handler });
    const alarms = () => app.health().alarms.map(({ kind, about, message }) => `${kind} ${about} ${message}`);
    await publish(cluster, app, 0, 2, "x");
    await cluster.clock.advance(120_000);
    const message =
      "The code that handles Counted fails (HANDLER_FAILED): the read model app/Counted lacks 2 messages.";
    assertEquals(alarms(), [`handler-failing Counted ${message}`]);
    const { contract, code, cause } = app.health().subscriptions[0].lastFailure!;
    assertEquals([contract, code], ["Counted", "HANDLER_FAILED"]);
    // regression: the cause of the failure was only in the node's log lines
    assertMatch(cause!, /^Error: no database\n +at [^]*read_models_test\.ts/);
    assertStringIncludes(app.health().alarms[0].cause!, cause!);
    broken = false;
    await cluster.clock.advance(60_000);
    assertEquals([alarms(), app.health().subscriptions[0].lastFailure], [[], undefined]);
  });

  it("that cannot take an event has no cause with causes: false", async () => {
    await using cluster = new MemoryCluster();
    const handler = Counted.on(() => {
      throw new Error("no database");
    }, EACH);
    const app = await cluster.start("a", { handlers: handler, causes: false });
    await publish(cluster, app, 0, 1, "x");
    await cluster.clock.advance(10_000);
    const { lastFailure } = app.health().subscriptions[0];
    assertEquals([lastFailure?.code, lastFailure && "cause" in lastFailure], ["HANDLER_FAILED", false]);
  });

  it("does not keep its node from starting once an event has failed four times, not three", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    await publish(cluster, publisher, 0, 1);
    const attempts: number[] = [];
    const handlers = Counted.on((_, { attempt }) => {
      attempts.push(attempt);
      throw new Error("no database");
    }, EACH);
    await cluster.start("a", { handlers });
    assertEquals(attempts, [1, 2, 3, 4]);
  });

  it("has handled what waited for a rate limit, or for its turn, when catga() resolves: that is no failure (a node was ready after the first)", async () => {
    // messages begin every 20 ms, so that no run reaches its timeout
    const limits = [{ behaviors: [rateLimit({ rate: 1 })] }, { concurrency: 1, timeout: 399 }];
    for (const limit of limits) {
      await using cluster = new MemoryCluster();
      const publisher = await cluster.start("p");
      for (let n = 0; n < 40; n++) await publish(cluster, publisher, n, n + 1, `k${n}`);
      const seen: number[] = [];
      const attempts = new Set<number>();
      const handlers = Counted.on(async ({ n }, ctx) => {
        await ctx.clock.sleep(20);
        seen.push(n);
        attempts.add(ctx.attempt);
      }, { ...EACH, ...limit, retry: { delay: [100, 1_000] } });
      const app = await cluster.start("a", { handlers });
      assertEquals([seen.length, [...attempts], app.health().subscriptions[0].retrying], [40, [1], 0]);
      assertEquals(cluster.log.filter((line) => line.includes("Counted")), []);
    }
  });

  it("does not keep its node from starting when its one place is held by a run that does not end", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    for (let n = 0; n < 10; n++) await publish(cluster, publisher, n, n + 1, `k${n}`);
    const stuck = new Promise<void>(() => {});
    const handlers = Counted.on(() => stuck, { ...EACH, concurrency: 1, timeout: 500 });
    const app = await cluster.start("a", { handlers });
    const { status, subscriptions: [{ retrying }] } = app.health();
    assertEquals([status, retrying], ["ready", 10]);
    assertEquals(cluster.log.filter((line) => line.includes("handling Counted for")).length, 1);
  });

  it("handles the messages of a key in the order of the log, whatever their contracts, also when one is tried again", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const seen: string[] = [];
    const broken = new Set(["enters x"]);
    const handle = (what: string) => {
      if (broken.delete(what)) throw new Error("no database");
      seen.push(what);
    };
    const Entered = event<{ key: string }>("Entered", { durable: true, key: ({ key }) => key });
    const Left = event<{ key: string }>("Left", { durable: true, key: ({ key }) => key });
    for (const key of ["x", "y"]) {
      for (const each of [Entered, Left]) await cluster.clock.until(publisher.publish(each, { key }));
    }
    const settings = { ...EACH, name: "guests", retry: { delay: [1_000, 2_000] } } as const;
    const handlers = [
      Entered.on(({ key }) => handle(`enters ${key}`), settings),
      Left.on(({ key }) => handle(`leaves ${key}`), settings),
    ];
    await cluster.start("a", { handlers });
    assertEquals(seen, ["enters y", "leaves y", "enters x", "leaves x"]);
  });

  it("gives each attempt the message as it was published, whatever the attempt before did to it", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    await publish(cluster, publisher, 7, 8);
    const seen: number[] = [];
    const handler = Counted.on((payload) => {
      seen.push(payload.n);
      payload.n = -1;
      if (seen.length < 3) throw new Error("no database");
    }, { ...EACH, retry: { delay: [10, 20] } });
    await cluster.start("a", { handlers: handler });
    assertEquals(seen, [7, 7, 7]);
  });

  it("passes over what no attempt can handle, and says so", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const log = cluster.network.connect().log;
    const options = { subjects: logSubjects("default"), replicas: 1, schedules: true };
    const stream = await cluster.clock.until(log.open(streamName("default", "log"), options));
    const subject = categorySubject("default", "Counted");
    for (const text of ["garbage", "[1]", '[9,"a.1",0,0,0,[1]]']) {
      await cluster.clock.until(stream.append(subject, text, { timeout: 1_000 }));
    }
    await publish(cluster, publisher, 0, 3);
    const seen: number[] = [];
    const handler = Counted.on(({ n }) => {
      if (n === 1) return fail("NEVER", "not this one", { final: true });
      seen.push(n);
    }, EACH);
    await cluster.start("a", { handlers: handler });
    assertEquals(seen, [0, 2]);
    assertEquals(cluster.log.filter((line) => line.includes("passes over")).length, 4);
  });

  it("reads a log that was made again from its first message on, and says that it was lost", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    await publish(cluster, publisher, 0, 5);
    const seen: number[] = [];
    await cluster.start("a", { handlers: Counted.on(({ n }) => void seen.push(n), EACH) });
    cluster.network.log.remove(streamName("default", "log"));
    await publish(cluster, publisher, 5, 8);
    await cluster.clock.advance(10_000);
    assertEquals(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
    assertEquals(cluster.log.filter((line) => line.includes("lost")).length, 1, cluster.log.join("\n"));
  });

  it("that has not caught up when the connection is closed for good rejects the start with CLOSED", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    await publish(cluster, publisher, 0, 5);
    const { network } = cluster;
    const connect = network.connect.bind(network);
    const opened: ReturnType<typeof connect>[] = [];
    network.connect = (options) => {
      const connection = connect(options);
      opened.push(connection);
      return connection;
    };
    const handlers = Counted.on(() => opened[0].close(), EACH);
    const start = catga({ network, id: "a", handlers, logger: QUIET });
    const code = await cluster.clock.until(start.then(() => "started", ({ code }) => code));
    assertEquals(code, "CLOSED");
  });

  it("stops reading while too many messages are open, and goes on", async () => {
    await using cluster = new MemoryCluster();
    const publisher = await cluster.start("p");
    const results = Array.from({ length: 12_000 }, (_, n) => publisher.publish(Loose, { n }));
    assertEquals((await cluster.clock.until(Promise.all(results))).every(({ ok }) => ok), true);
    const seen: number[] = [];
    const handler = Loose.on(async ({ n }, ctx) => {
      if (n === 0) await ctx.clock.sleep(30_000); // the messages behind this one wait
      seen.push(n);
    }, { ...EACH, timeout: 600_000 });
    await cluster.start("a", { handlers: handler });
    assertEquals(seen, Array.from({ length: 12_000 }, (_, n) => n));
  });
});

/** Publishes an event for each number from `from` to below `to`. */
async function publish(cluster: MemoryCluster, app: Catga, from: number, to: number, key?: string): Promise<void> {
  const all: Promise<Result<void>>[] = [];
  for (let n = from; n < to; n++) all.push(app.publish(Counted, { n, ...(key === undefined ? {} : { key }) }));
  for (const result of await cluster.clock.until(Promise.all(all))) {
    assertEquals(result, { ok: true, value: undefined });
  }
}

/** Tests of locks, leadership and the cache as a program uses them: through apps of one cluster, and in handlers. */
import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import {
  type Catga,
  catga,
  CatgaError,
  command,
  type Context,
  event,
  fail,
  type Handler,
  type Lock,
  query,
  type Result,
  unwrap,
} from "../../mod.ts";
import { delay } from "../ports/clock.ts";
import type { DeadlockEdge } from "../state/locks/lock_error.ts";
import { localApp } from "../../test/support/local_app.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { StoreOutage } from "../../test/support/store_outage.ts";

const Work = command<string, string>("Work");

describe("a lock while the store fails", () => {
  it("fails with what the store said last of its write, however late that came", async () => {
    await using cluster = new MemoryCluster();
    const outage = new StoreOutage(cluster.network);
    const app = await cluster.start("a");
    const { clock } = cluster;
    await clock.until((await clock.until(app.lock("other"))).release());
    outage.begin();
    const error = await assertRejects(() => clock.until(app.lock("key", { timeout: 20_000 })), CatgaError);
    assertEquals([error.code, error.message], [
      "UNAVAILABLE",
      'the lock "key" could not be taken within 20,000 ms: the store is away',
    ]);
    outage.end();
  });
});

describe("ctx.lock", () => {
  const ends: Record<string, { answer: string; handler: (key: string, ctx: Context) => unknown; options?: object }> = {
    "returns a value": { answer: "done", handler: () => "done" },
    "returns fail()": { answer: "NO", handler: () => fail("NO", "no") },
    "throws": {
      answer: "HANDLER_FAILED",
      handler() {
        throw new Error("broken");
      },
    },
    "ends because its deadline has passed": {
      answer: "OUTCOME_UNKNOWN",
      handler: (_, { signal }) => aborted(signal),
      options: { timeout: 100 },
    },
  };
  for (const [how, { answer, handler, options }] of Object.entries(ends)) {
    it(`is released when its handler ${how}`, async () => {
      const { cluster, a, b } = await pair(Work.handle(async (key, ctx) => {
        await ctx.lock([key, `${key}, too`]);
        return await handler(key, ctx) as string;
      }));
      await using _ = cluster;
      assertEquals(told(await cluster.clock.until(b.send(Work, "k", { node: "a", ...options }))), answer);
      await cluster.clock.advance(20); // the answer does not wait for the release
      assertEquals(await taken(cluster, b, "k", "k, too"), [false, false]);
      assertEquals(a.self.load.inFlight, 0);
    });
  }

  it("is released when its sender gives up, and its handler ends of that", async () => {
    const { cluster, b } = await pair(Work.handle(async (key, ctx) => {
      await ctx.lock(key);
      return await aborted(ctx.signal);
    }));
    await using _ = cluster;
    const giveUp = new AbortController();
    const sent = b.send(Work, "k", { node: "a", signal: giveUp.signal });
    await cluster.clock.advance(10);
    assertEquals(await taken(cluster, b, "k"), [true]);
    giveUp.abort();
    assertEquals(told(await cluster.clock.until(sent)), "CANCELLED");
    await cluster.clock.advance(20);
    assertEquals(await taken(cluster, b, "k"), [false]);
  });

  it("is released by a drain that its handler does not end of: another node has it when that is over", async () => {
    const { cluster, a, b } = await pair(Work.handle(async (key, ctx) => {
      await ctx.lock(key, { ttl: 60_000 });
      return await new Promise<string>(() => {});
    }));
    await using _ = cluster;
    b.send(Work, "k", { node: "a" });
    await cluster.clock.advance(10);
    await cluster.clock.until(a.drain({ timeout: 1_000 }));
    assertEquals(await taken(cluster, b, "k"), [false]);
  });

  it("that its handler waits for ends with the handler's message: TIMEOUT, and never CANCELLED", async () => {
    const { cluster, b } = await pair(Work.handle(async (key, ctx) => {
      await ctx.lock(key);
      return "done";
    }));
    await using _ = cluster;
    await using _held = await cluster.clock.until(b.lock("k"));
    for (const [app, node] of [[b, "a"], [cluster.apps.get("a")!, "a"]] as const) {
      for (let timeout = 100; timeout < 110; timeout++) {
        const result = await cluster.clock.until(app.send(Work, "k", { node, timeout }));
        assertEquals(told(result), "OUTCOME_UNKNOWN");
      }
    }
  });

  it("that a handler asks for and does not await: it is given back, and nothing breaks", async () => {
    const { cluster, b } = await pair(Work.handle((key, ctx) => {
      ctx.lock(key, { ttl: 60_000 });
      return "done";
    }));
    await using _ = cluster;
    assertEquals(told(await cluster.clock.until(b.send(Work, "k", { node: "a" }))), "done");
    assertEquals(told(await cluster.clock.until(cluster.apps.get("a")!.send(Work, "k", { node: "a" }))), "done");
    await cluster.clock.advance(20);
    assertEquals(await taken(cluster, b, "k"), [false]);
  });

  it("that an asynchronous handler does not await: it waits no longer than its handler runs", async () => {
    const waits: Promise<unknown>[] = [];
    const { cluster, b } = await pair(Work.handle(async (key, ctx) => {
      waits.push(ctx.lock(key).catch((error) => error.code));
      await Promise.resolve();
      return "done";
    }));
    await using _ = cluster;
    await using _held = await cluster.clock.until(b.lock("k"));
    assertEquals(told(await cluster.clock.until(b.send(Work, "k", { node: "a" }))), "done");
    const began = cluster.clock.monotonic();
    assertEquals(await cluster.clock.until(Promise.all(waits)), ["LOCK_LOST"]);
    assertLess(cluster.clock.monotonic() - began, 100);
  });

  it("that a handler asks for which is not asynchronous: it waits for none (it did, for 30 s)", async () => {
    const waits: Promise<unknown>[] = [];
    const { cluster } = await pair(Work.handle((key, ctx) => {
      waits.push(ctx.lock(key).catch((error) => error.code));
      return "done";
    }));
    await using _ = cluster;
    const [a] = cluster.apps.values();
    await using _held = await cluster.clock.until(a.lock("k"));
    for (const options of [undefined, {}]) {
      assertEquals(told(await cluster.clock.until(a.send(Work, "k", options))), "done");
    }
    const began = cluster.clock.monotonic();
    assertEquals(await cluster.clock.until(Promise.all(waits)), ["LOCK_LOST", "LOCK_LOST"]);
    assertEquals(cluster.clock.monotonic(), began);
  });

  it("that an idempotent command took is free before it waits for another attempt's result (they waited for each other)", async () => {
    const Pay = command<void, string>("Pay", { idempotent: true });
    const cluster = new MemoryCluster();
    await using _ = cluster;
    const { clock, network } = cluster;
    const runs: string[] = [];
    for (const node of ["a", "b"]) {
      await cluster.start(node, {
        handlers: Pay.handle(async (_, ctx) => {
          runs.push(node);
          await ctx.lock("till", { ttl: 120_000, timeout: 100_000 });
          if (node === "a") await delay(network.clockOf("a"), 1_000);
          return `paid by ${node}`;
        }),
      });
    }
    const client = await cluster.start("client", { handlers: [] });
    const began = clock.monotonic();
    const own = cluster.apps.get("a")!.send(Pay, undefined, { id: "1", node: "a", timeout: 100_000 });
    await clock.advance(100);
    network.pause("a");
    const other = client.send(Pay, undefined, { id: "1", node: "b", timeout: 100_000 });
    await clock.advance(20_000);
    network.resume("a");
    assertEquals((await clock.until(Promise.all([own, other]), 100_000)).map(told), ["paid by b", "paid by b"]);
    assertLess(clock.monotonic() - began, 30_000);
    assertEquals(runs, ["a", "b"]);
  });

  it("the token of each acquisition is greater than that of the last, in whichever node", async () => {
    const Take = command<void, number>("Take");
    const { cluster, a, b } = await pair(Take.handle(async (_, ctx) => (await ctx.lock("k")).token));
    await using _ = cluster;
    let last = 0;
    for (const [app, node] of [[a, "b"], [b, "a"], [a, "a"], [b, "b"]] as const) {
      const token = unwrap(await cluster.clock.until(app.send(Take, undefined, { node })));
      assertGreater(token, last);
      last = token;
    }
  });
});

describe("DEADLOCK", () => {
  const Outer = command<string, string>("Outer");
  const Inner = command<string, string>("Inner");
  const Told = event<string>("Told");

  for (const node of ["a", "b"]) {
    it(`at once: a handler takes what the one that waits for it holds (${node === "a" ? "same" : "other"} node)`, async () => {
      const { cluster, b } = await pair(
        Outer.handle(async (key, ctx) => {
          await using _lock = await ctx.lock(key);
          return await ctx.send(Inner, key, { node }) as Result<never> & { ok: false };
        }),
        Inner.handle(async (key, ctx) => (await ctx.lock(key), "done")),
      );
      await using _ = cluster;
      const began = cluster.clock.monotonic();
      const result = await cluster.clock.until(b.send(Outer, "k", { node: "a" }));
      assertEquals([told(result), cluster.clock.monotonic() - began], ["DEADLOCK", 0]);
      assertEquals(result.error?.retryable, false);
      assertEquals(cycleOf(result.error), [[node, "k", "a"]]);
      assertEquals(await taken(cluster, b, "k"), [false]);
    });
  }

  it("at once: also over a third handler in between, and for one of several keys", async () => {
    const Middle = command<string, string>("Middle");
    const { cluster, b } = await pair(
      Outer.handle(async (key, ctx) => {
        await ctx.lock(["x", key]);
        return unwrap(await ctx.send(Middle, key, { node: "b" }));
      }),
      Middle.handle(async (key, ctx) => unwrap(await ctx.send(Inner, key, { node: "a" }))),
      Inner.handle(async (key, ctx) => (await ctx.lock([key, "y"]), "done")),
    );
    await using _ = cluster;
    assertEquals(told(await cluster.clock.until(b.send(Outer, "k", { node: "a" }))), "DEADLOCK");
    await cluster.clock.advance(20);
    assertEquals(await taken(cluster, b, "k", "x", "y"), [false, false, false]);
  });

  it("at once: a handler takes what it holds already", async () => {
    const { cluster, b } = await pair(Outer.handle(async (key, ctx) => {
      await ctx.lock(key);
      await ctx.lock(key);
      return "done";
    }));
    await using _ = cluster;
    assertEquals(told(await cluster.clock.until(b.send(Outer, "k", { node: "a" }))), "DEADLOCK");
  });

  it("within a second: two handlers on two nodes take two keys in opposite order; one fails, the other does not", async () => {
    const Both = command<[string, string], string>("Both");
    const { cluster, a, b } = await pair(Both.handle(async ([one, two], ctx) => {
      await ctx.lock(one);
      await delay(cluster.network.clockOf(ctx.node), 100);
      await ctx.lock(two);
      return "done";
    }));
    await using _ = cluster;
    const { clock } = cluster;
    const began = clock.monotonic();
    const sent = [a.send(Both, ["k1", "k2"], { node: "b" }), b.send(Both, ["k2", "k1"], { node: "a" })];
    const results = await clock.until(Promise.all(sent));
    assertEquals(results.map(told).sort(), ["DEADLOCK", "done"]);
    assertLess(clock.monotonic() - began, 1_200);
    const victim = results.find(({ ok }) => !ok)!;
    assertEquals(victim.error?.retryable, true);
    const cycle = cycleOf(victim.error);
    assertEquals(cycle.sort(), [["a", "k1", "b"], ["b", "k2", "a"]]);
    await clock.advance(20);
    assertEquals(await taken(cluster, a, "k1", "k2"), [false, false]);
  });

  for (const where of ["in a cluster", "in one app"]) {
    it(`not: who published an event waits for nothing that its handlers wait for (${where})`, async () => {
      const heard: string[] = [];
      const cluster = new MemoryCluster();
      await using _ = cluster;
      const handlers = [
        Outer.handle(async (key, ctx) => {
          await using _lock = await ctx.lock(key);
          unwrap(await ctx.publish(Told, key));
          await delay(clock, 1_000);
          return "done";
        }),
        Told.on((key, ctx) => ctx.lock(key).then(() => heard.push("lock"), (error) => heard.push(error.code))),
      ];
      const alone = where === "in one app" ? localApp({ handlers }) : undefined;
      const clock = alone?.clock ?? cluster.clock;
      const app = alone?.app ?? await cluster.start("a", { handlers });
      assertEquals(told(await clock.until(app.send(Outer, "k"))), "done");
      await clock.until(app.drain());
      assertEquals(heard, ["lock"]);
    });
  }

  for (const where of ["in a cluster", "in one app"]) {
    it(`not: a load of the cache waits for no handler of an event that it publishes (${where}; it was, in one app)`, async () => {
      const heard: unknown[] = [];
      await using cluster = new MemoryCluster();
      const load = async (): Promise<string> => {
        unwrap(await app.publish(Told, "k"));
        await delay(clock, 1_000);
        return "loaded";
      };
      const getOrLoad = (from: Pick<Catga, "cache">) => from.cache.getOrSet("k", load).catch(({ code }) => code);
      const handlers = [
        Told.on(async (_, ctx) => void heard.push(await getOrLoad(ctx))),
        Told.on(async () => void heard.push(await getOrLoad(app)), { each: "node" }),
      ];
      const alone = where === "in one app" ? localApp({ handlers }) : undefined;
      const clock = alone?.clock ?? cluster.clock;
      const app = alone?.app ?? await cluster.start("a", { handlers });
      assertEquals(await clock.until(getOrLoad(app)), "loaded");
      await clock.until(app.drain());
      assertEquals(heard, ["loaded", "loaded"]);
    });
  }

  it("not: several handlers of a broadcast event in one node wait for each other's locks as anybody does", async () => {
    const heard: string[] = [];
    const hear = (name: string) =>
      Told.on(async (key, ctx) => {
        await ctx.lock(key);
        await delay(cluster.network.clockOf(ctx.node), 100);
        heard.push(`${name} on ${ctx.node}`);
      });
    const { cluster, a } = await pair(hear("one"), hear("two"));
    await using _ = cluster;
    const results = await cluster.clock.until(a.broadcast(Told, "k"));
    assertEquals(results.map(({ result }) => told(result)), [undefined, undefined]);
    assertEquals(heard.sort(), ["one on a", "one on b", "two on a", "two on b"]);
  });

  it("not: a send that nobody awaits gets the lock when its sender has ended", async () => {
    const codes: unknown[] = [];
    const { cluster, b } = await pair(
      Outer.handle(async (key, ctx) => {
        await ctx.lock(key);
        ctx.send(Inner, key, { node: "b" }).then((result) => codes.push(told(result)));
        return "done";
      }),
      Inner.handle(async (key, ctx) => {
        await delay(cluster.network.clockOf(ctx.node), 100);
        await ctx.lock(key);
        return "inner";
      }),
    );
    await using _ = cluster;
    assertEquals(told(await cluster.clock.until(b.send(Outer, "k", { node: "a" }))), "done");
    await cluster.clock.advance(1_000);
    assertEquals(codes, ["inner"]);
  });

  it("not: an app's own lock belongs to nobody's handler, and a handler waits for it until it is released", async () => {
    const { cluster, a, b } = await pair(Outer.handle(async (key, ctx) => (await ctx.lock(key), "done")));
    await using _ = cluster;
    const { clock } = cluster;
    const held = await clock.until(a.lock("k"));
    const sent = a.send(Outer, "k", { node: "b" });
    await clock.advance(5_000);
    assertEquals(await taken(cluster, b, "k"), [true]);
    await held.release();
    assertEquals(told(await clock.until(sent)), "done");
  });
});

describe("app.lock", () => {
  it("taken in a handler outlives it: only ctx.lock ends with the handler", async () => {
    let held: Lock | undefined;
    const { cluster, a, b } = await pair(Work.handle(async (key, ctx) => {
      held = await (ctx.node === "a" ? a : b).lock(key);
      return "done";
    }));
    await using _ = cluster;
    assertEquals(told(await cluster.clock.until(b.send(Work, "k", { node: "a" }))), "done");
    await cluster.clock.advance(30_000);
    assertEquals(await taken(cluster, b, "k"), [true]);
    await held!.release();
    assertEquals(await taken(cluster, b, "k"), [false]);
  });

  it("misuse rejects, and throws nothing: as the promise that it gives", async () => {
    const { cluster, a } = await pair();
    await using _ = cluster;
    const wrong: [unknown, object | undefined, ErrorConstructor][] = [
      [undefined, undefined, TypeError],
      [5, undefined, TypeError],
      [[], undefined, TypeError],
      [["k", 5], undefined, TypeError],
      ["k", { ttl: 999 }, RangeError],
      ["k", { ttl: Infinity }, RangeError],
      ["k", { timeout: -1 }, RangeError],
      ["k", { timeout: NaN }, RangeError],
      ["k", { timeout: "5" }, TypeError],
      ["k", { signal: {} }, TypeError],
      ["k", { tll: 5_000 }, TypeError],
      ["k", [], TypeError],
    ];
    const accepted: unknown[] = [];
    for (const [key, options, type] of wrong) {
      const asked = a.lock(key as string, options).then(
        (lock) => (accepted.push([key, options]), lock.release()),
        (error) => void (error instanceof type || accepted.push([key, options, String(error)])),
      );
      await cluster.clock.until(asked);
    }
    assertEquals(accepted, []);
  });

  it("LOCK_TIMEOUT: it says who holds it, at once with timeout: 0", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    await using _held = await clock.until(a.lock("k"));
    for (const timeout of [0, 500]) {
      const began = clock.monotonic();
      const error = await clock.until(assertRejects(() => b.lock("k", { timeout }), CatgaError));
      assertEquals([error.code, error.retryable, clock.monotonic() - began], ["LOCK_TIMEOUT", true, timeout]);
      assert(error.message.includes("node a"), error.message);
    }
  });

  it("LOCK_LOST: its holder is told before another node has it, when it is cut off for longer than the ttl", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock, network } = cluster;
    const held = await clock.until(a.lock("k", { ttl: 3_000 }));
    const order: string[] = [];
    held.signal.addEventListener("abort", () => order.push(held.signal.reason.code));
    network.cut("a");
    const next = b.lock("k").then((lock) => (order.push("b"), lock));
    const lock = await clock.until(next);
    assertEquals(order, ["LOCK_LOST", "b"]);
    assertGreater(lock.token, held.token);
    network.restore("a");
    await clock.until(held.release());
    assertEquals(await taken(cluster, a, "k"), [true]); // a late holder frees nobody else's
    await lock.release();
  });

  it("a killed node's lock is with the next one within ttl and 1.5 s", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    await clock.until(a.lock("k", { ttl: 5_000 }));
    const next = b.lock("k");
    await clock.advance(100);
    cluster.kill("a");
    const began = clock.monotonic();
    await using _lock = await clock.until(next);
    assertLess(clock.monotonic() - began, 6_500);
  });

  it("a drain gives back what it holds and what it waits for: CLOSED, and for every later one", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    const held = await clock.until(a.lock("mine", { ttl: 600_000 }));
    await using _theirs = await clock.until(b.lock("theirs"));
    const waiting = assertRejects(() => a.lock("theirs"), CatgaError);
    const next = b.lock("mine");
    await clock.advance(100);
    const began = clock.monotonic();
    await clock.until(a.drain());
    await using _next = await clock.until(next);
    assertLess(clock.monotonic() - began, 1_000);
    assertEquals(held.signal.aborted, true);
    assertEquals((await waiting).code, "CLOSED");
    assertEquals((await assertRejects(() => a.lock("k"), CatgaError)).code, "CLOSED");
  });
});

describe("app.lead", () => {
  it("one node leads; at its drain another one does at once, and at its death within the ttl and 1.5 s", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    const c = await cluster.start("c");
    const leading = new Set<string>();
    const terms = new Map([["a", a], ["b", b], ["c", c]].map(([id, app]) => [
      id as string,
      (app as Catga).lead("billing", async (signal) => {
        leading.add(id as string);
        await aborted(signal).catch(() => {});
        leading.delete(id as string);
      }, { ttl: 5_000 }),
    ]));
    await clock.advance(100);
    assertEquals([[...leading], terms.get("a")!.leading], [["a"], true]);
    const began = clock.monotonic();
    await clock.until(a.drain());
    await clock.advance(0);
    assertEquals([leading.size, leading.has("a"), clock.monotonic() - began < 1_000], [1, false, true]);
    const [second] = leading;
    const third = second === "b" ? "c" : "b";
    cluster.kill(second);
    leading.delete(second);
    await clock.advance(6_500);
    assertEquals([...leading], [third]);
    await clock.until(Promise.resolve(terms.get(third)!.resign()));
    assertEquals(leading.size, 0);
  });

  it("a leader that does not end of its signal holds up no lock of its node's drain", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    a.lead("billing", () => new Promise(() => {}), { ttl: 600_000 });
    await clock.until(a.lock("k", { ttl: 600_000 }));
    await clock.until(a.drain({ timeout: 1_000 }));
    await using lock = await clock.until(b.lock("k", { timeout: 1_000 }));
    assertEquals(lock.signal.aborted, false);
  });

  it("throws at once: a bad name or ttl, and CLOSED after a drain", async () => {
    const app = await catga();
    assertThrows(() => app.lead(5 as unknown as string, () => {}), TypeError);
    assertThrows(() => app.lead("billing", () => {}, { ttl: 999 }), RangeError);
    await app.drain();
    assertEquals(assertThrows(() => app.lead("billing", () => {}), CatgaError).code, "CLOSED");
  });
});

describe("cache", () => {
  it("is one for all nodes, their apps and their handlers", async () => {
    const Rate = query<string, number | undefined>("Rate");
    const { cluster, a, b } = await pair(Rate.handle((key, ctx) => ctx.cache.get<number>(key)));
    await using _ = cluster;
    const { clock } = cluster;
    assertEquals(await clock.until(a.cache.set("eur", 1.1)), true);
    assertEquals(told(await clock.until(a.send(Rate, "eur", { node: "b" }))), 1.1);
    await clock.until(b.cache.delete("eur"));
    assertEquals(await clock.until(a.cache.get("eur")), undefined);
  });

  it("getOrSet loads once at a time in a node, and once in the cluster when that is asked for", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    let loads = 0;
    const load = async () => (await delay(clock, 100), ++loads);
    assertEquals(await clock.until(Promise.all([1, 2, 3].map(() => a.cache.getOrSet("one", load)))), [1, 1, 1]);
    const sent = [a, b, a, b].map((app) => app.cache.getOrSet("two", load, { once: true }));
    assertEquals(await clock.until(Promise.all(sent)), [2, 2, 2, 2]);
  });

  it("refuses a fence that is older than the last, so that a late handler writes nothing", async () => {
    const { cluster, a, b } = await pair();
    await using _ = cluster;
    const { clock } = cluster;
    const first = await clock.until(a.lock("k"));
    await first.release();
    await using second = await clock.until(b.lock("k"));
    assertEquals(await clock.until(b.cache.set("v", "second", { fence: second.token })), true);
    assertEquals(await clock.until(a.cache.set("v", "first", { fence: first.token })), false);
    assertEquals(await clock.until(a.cache.get("v")), "second");
  });
});

/** Starts two nodes with the same handlers. */
async function pair(...handlers: Handler[]): Promise<{ cluster: MemoryCluster; a: Catga; b: Catga }> {
  const cluster = new MemoryCluster();
  return { cluster, a: await cluster.start("a", { handlers }), b: await cluster.start("b", { handlers }) };
}

/** For each of these keys: true if somebody holds its lock. */
function taken(cluster: MemoryCluster, app: Catga, ...keys: string[]): Promise<boolean[]> {
  return cluster.clock.until(Promise.all(keys.map(async (key) => {
    try {
      await (await app.lock(key, { timeout: 0 })).release();
      return false;
    } catch (error) {
      assertEquals((error as CatgaError).code, "LOCK_TIMEOUT");
      return true;
    }
  })));
}

function told(result: Result<unknown>): unknown {
  return result.ok ? result.value : result.error.code;
}

/**
 * Returns the edges of the deadlock in an error: for each, the node that waits, the key for which it waits, and the
 * node that holds it.
 */
function cycleOf(error: CatgaError | undefined): string[][] {
  const { cycle } = error!.details as { cycle: DeadlockEdge[] };
  return cycle.map(({ node, waitsFor, heldBy }) => [node, waitsFor, heldBy.node]);
}

/** Returns a promise that rejects with the signal's reason when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

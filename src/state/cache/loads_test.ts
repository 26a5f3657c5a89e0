/** Tests of cache loads that never end, or that would wait for themselves. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { command } from "../../contract/declaration/definition.ts";
import { CatgaError } from "../../error.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { type Load, Loads } from "./loads.ts";

const never = () => new Promise<number>(() => {});

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, CatgaError)).code;
}

function codeOrValue(promise: Promise<unknown>): Promise<unknown> {
  return promise.catch((error) => error.code);
}

describe("cache.getOrSet whose load does not end", () => {
  for (const once of [false, true]) {
    it(`is CLOSED when its app has stopped (it waited for ever; once: ${once})`, async () => {
      const { app, clock } = localApp();
      const waits = Promise.all([
        codeOf(app.cache.getOrSet("tea", never, { once })),
        codeOf(app.cache.getOrSet("tea", never, { once })),
      ]);
      await clock.advance(10);
      await clock.until(app.drain());
      assertEquals(await clock.until(waits), ["CLOSED", "CLOSED"]);
    });
  }
});

describe("cache.getOrSet of a key in its own load", () => {
  for (const once of [false, true]) {
    it(`is DEADLOCK; the key can be loaded afterwards (once: ${once})`, async () => {
      const { app, clock } = localApp();
      let inner: unknown;
      const value = await clock.until(app.cache.getOrSet("tea", async () => {
        inner = await app.cache.getOrSet("tea", () => 1, { once }).catch((error) => error);
        return 2;
      }, { once }));
      assert(inner instanceof CatgaError);
      assertEquals([value, inner.code, inner.details], [2, "DEADLOCK", { key: "tea" }]);
      assertEquals(inner.message, 'cache.getOrSet: waiting for "tea" would never end: its own load waits for it');
      await clock.until(app.cache.delete("tea"));
      assertEquals(await clock.until(app.cache.getOrSet("tea", () => 3, { once })), 3);
    });
  }

  it("is DEADLOCK through the load of another key, begun in it or by another caller", async () => {
    const { app, clock } = localApp();
    const { cache } = app;
    const [a, b] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const both = Promise.allSettled([
      cache.getOrSet("a", async () => (await b.promise, await cache.getOrSet("b", () => 0))),
      cache.getOrSet("b", async () => (b.resolve(), await a.promise, await cache.getOrSet("a", () => 0))),
    ]);
    await clock.advance(10);
    a.resolve();
    const codes = (await clock.until(both)).map((each) => each.status === "rejected" ? each.reason.code : each.value);
    // one load finds the DEADLOCK; the other load waits for the first, and rejects with the same error
    assertEquals(codes, ["DEADLOCK", "DEADLOCK"]);
  });

  it("is DEADLOCK through loads of two nodes with once, found by the locks", async () => {
    await using cluster = await MemoryCluster.of("a", "b");
    const [a, b] = [...cluster.apps.values()];
    const { clock } = cluster;
    const pause = () => new Promise<void>((resolve) => clock.after(100, resolve));
    const both = Promise.allSettled([
      a.cache.getOrSet("x", async () => (await pause(), await a.cache.getOrSet("y", () => 1, { once: true })), {
        once: true,
      }),
      b.cache.getOrSet("y", async () => (await pause(), await b.cache.getOrSet("x", () => 2, { once: true })), {
        once: true,
      }),
    ]);
    const ended = (await clock.until(both, 3_000)).map((each) =>
      each.status === "rejected" ? each.reason.code : each.value
    );
    assertEquals(ended.filter((value) => value === "DEADLOCK").length, 1, `${ended}`);
    assert(ended.some((value) => value === 1 || value === 2), `${ended}`);
  });

  it("is no deadlock for another key, or after the load has ended", async () => {
    const { app, clock } = localApp();
    let later: Promise<number> | undefined;
    const value = app.cache.getOrSet("a", async () => {
      later = new Promise<void>((resolve) => clock.after(100, resolve)).then(async () => {
        await app.cache.delete("a");
        return await app.cache.getOrSet("a", () => 7);
      });
      return await app.cache.getOrSet("b", () => 5);
    });
    assertEquals(await clock.until(value), 5);
    assertEquals(await clock.until(later!), 7);
  });
});

describe("cache.getOrSet of a key whose load no longer waits for the caller's", () => {
  it("waits for it, if the load has given the caller's up after a timeout", async () => {
    const { app, clock } = localApp();
    const { cache } = app;
    const [goes, ends] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let inner: unknown;
    const outer = cache.getOrSet("outer", async () => {
      const load = async () => (await goes.promise, inner = await codeOrValue(cache.getOrSet("outer", () => 0)));
      await codeOf(cache.getOrSet("inner", load, { timeout: 10 }));
      goes.resolve();
      await ends.promise;
      return 7;
    });
    await clock.advance(50);
    ends.resolve();
    assertEquals(await clock.until(outer), 7);
    await clock.advance(10);
    assertEquals(inner, 7);
  });

  it("waits for it on another node, with once, if the caller's load has ended and left the caller behind", async () => {
    await using cluster = await MemoryCluster.of("a", "b");
    const [a, b] = [...cluster.apps.values()];
    const { clock } = cluster;
    const pause = (ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));
    let left: Promise<unknown> | undefined;
    const first = a.cache.getOrSet("first", async () => {
      await a.cache.getOrSet("ended", () => {
        // this call goes on when the load of "ended" has ended: "first" does not wait for it
        left = pause(500).then(() => codeOrValue(a.cache.getOrSet("other", () => 1, { once: true })));
        return 0;
      });
      await pause(2_000);
      return 5;
    }, { once: true });
    await clock.advance(100);
    // node b holds "other" and waits for "first"
    const other = codeOrValue(
      b.cache.getOrSet("other", () => b.cache.getOrSet("first", () => 9, { once: true }), { once: true }),
    );
    assertEquals(await clock.until(Promise.all([first, other, left]), 10_000), [5, 5, 5]);
  });
});

describe("Loads", () => {
  it("does not abort a load that has ended", async () => {
    const loads = new Loads(new VirtualClock());
    let load: Load | undefined;
    const begin = (begun: Load) => (load = begun, Promise.resolve("1"));
    assertEquals(await loads.value("tea", {}, () => "load 1", begin), "1");
    assertEquals(load?.ended, true);
    assertEquals(load?.abandoned.signal.aborted, false);
  });
});

describe("cache.getOrSet of a key that is deleted during its load", () => {
  it("loads anew, also with once; the value of the first load is neither handed on nor kept", async () => {
    for (const once of [false, true]) {
      const { app, clock } = localApp();
      const [first, abandoned] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
      const late = codeOf(app.cache.getOrSet("tea", () => abandoned.promise, { once, timeout: 100 }));
      await clock.until(late);
      const before = app.cache.getOrSet("tea", () => first.promise, { once });
      await clock.advance(10);
      await clock.until(app.cache.delete("tea"));
      const after = app.cache.getOrSet("tea", () => "new", { once });
      await clock.advance(10);
      first.resolve("old");
      assertEquals(await clock.until(Promise.all([before, after])), ["old", "new"]);
      abandoned.resolve("older");
      await clock.advance(10);
      assertEquals(await clock.until(app.cache.get("tea")), "new");
      await clock.until(app.cache.delete("tea"));
      assertEquals(await clock.until(app.cache.get("tea")), undefined);
      await clock.until(app.drain());
    }
  });

  it("keeps nothing of an abandoned load that began before the deletion", async () => {
    const { app, clock } = localApp();
    const load = Promise.withResolvers<string>();
    await clock.until(codeOf(app.cache.getOrSet("tea", () => load.promise, { timeout: 100 })));
    await clock.until(app.cache.delete("tea"));
    load.resolve("old");
    await clock.advance(10);
    assertEquals(await clock.until(app.cache.get("tea")), undefined);
    await clock.until(app.drain());
  });
});

describe("cache.getOrSet of a load that never ends", () => {
  it("rejects at its timeout and when its signal aborts; other callers wait on", async () => {
    const { app, clock } = localApp();
    let loads = 0;
    const load = () => (loads++, never());
    const patient = app.cache.getOrSet("tea", load, { timeout: 10_000 });
    const stop = new AbortController();
    const late = codeOf(app.cache.getOrSet("tea", load, { timeout: 100 }));
    const cancelled = codeOf(app.cache.getOrSet("tea", load, { signal: stop.signal }));
    await clock.advance(10);
    stop.abort();
    assertEquals(await clock.until(Promise.all([late, cancelled]), 150), ["TIMEOUT", "CANCELLED"]);
    assertEquals(loads, 1);
    assertEquals(await clock.until(codeOf(patient), 11_000), "TIMEOUT");
    assertEquals(clock.timers, 0);
  });

  it("is begun again when no caller waits for it, also with once; its value does not replace the later one's", async () => {
    for (const once of [false, true]) {
      const { app, clock } = localApp();
      const first = Promise.withResolvers<number>();
      const given = codeOf(app.cache.getOrSet("tea", () => first.promise, { once, timeout: 100 }));
      assertEquals(await clock.until(given, 200), "TIMEOUT");
      assertEquals(await clock.until(app.cache.getOrSet("tea", () => 2, { once }), 200), 2);
      first.resolve(1);
      await clock.advance(10);
      assertEquals(await clock.until(app.cache.get("tea")), 2);
      await clock.until(app.drain());
    }
  });

  it("rejects in a handler when its message ends: at the deadline, and when the sender gives up", async () => {
    const Load = command<string, string>("Load");
    const codes: string[] = [];
    const handle = Load.handle(async (key, ctx) => {
      codes.push(await codeOf(ctx.cache.getOrSet(key, never)));
      return "";
    });
    const { app, clock, inside } = localApp({ handlers: handle });
    const stop = new AbortController();
    const late = app.send(Load, "tea", { timeout: 500 });
    const cancelled = app.send(Load, "tea", { signal: stop.signal });
    await clock.advance(100);
    stop.abort();
    assertEquals((await cancelled).error?.code, "CANCELLED");
    assertEquals((await clock.until(late, 500)).error?.code, "OUTCOME_UNKNOWN");
    await clock.advance(10);
    assertEquals(codes, ["CANCELLED", "TIMEOUT"]);
    assertEquals(inside.underWay.count, 0);
    assertEquals(inside.wheel.size, 0);
  });

  it("releases its lock, with once, when no caller waits for the load", async () => {
    await using cluster = await MemoryCluster.of("a", "b");
    const [a, b] = [...cluster.apps.values()];
    const hung = codeOf(a.cache.getOrSet("tea", never, { once: true, timeout: 500 }));
    await cluster.clock.advance(100);
    assertEquals(await cluster.clock.until(b.cache.getOrSet("tea", () => 4, { once: true }), 3_000), 4);
    assertEquals(await hung, "TIMEOUT");
  });
});

import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import type { Cache, CacheLoadOptions } from "../contract/shared_state.ts";
import { RunCache } from "./run_cache.ts";

/**
 * Makes the cache of a handler's run, over a cache that records its calls (`calls`); `seen.signals` counts how often
 * the run's signal was read.
 */
function start() {
  const abort = new AbortController();
  const calls: unknown[][] = [];
  const seen = { signals: 0 };
  const noting = (method: string) => (...args: unknown[]) => {
    calls.push([method, ...args]);
    return Promise.resolve(method);
  };
  const below = Object.fromEntries(["get", "set", "delete", "getOrSet"].map((name) => [name, noting(name)]));
  const run = {
    get signal() {
      seen.signals++;
      return abort.signal;
    },
  };
  const cache = new RunCache(below as unknown as Cache, run);
  /** Returns the options that the underlying cache gets if `getOrSet` gets these. */
  const passed = async (options?: CacheLoadOptions): Promise<CacheLoadOptions> => {
    await cache.getOrSet("tea", () => 1, options);
    return calls.at(-1)![3] as CacheLoadOptions;
  };
  return { abort, calls, seen, cache, passed };
}

describe("RunCache", () => {
  it("get, set and delete are those of the cache, and make no signal", async () => {
    const { calls, seen, cache } = start();
    const answers: unknown[] = [
      await cache.get("tea"),
      await cache.set("tea", 1, { ttl: 5 }),
      await cache.delete("tea"),
    ];
    assertEquals(answers, ["get", "set", "delete"]);
    assertEquals(calls, [["get", "tea"], ["set", "tea", 1, { ttl: 5 }], ["delete", "tea"]]);
    assertEquals(seen.signals, 0);
  });

  it("getOrSet: without a signal of the caller it has that of the run, and the other options", async () => {
    const { abort, passed } = start();
    assertStrictEquals((await passed()).signal, abort.signal);
    const { signal, ...others } = await passed({ ttl: 5, signal: undefined });
    assertStrictEquals(signal, abort.signal);
    assertEquals(others, { ttl: 5 });
  });

  it("getOrSet: aborts with the run, and with the caller's signal, for the reason of the first", async () => {
    for (const first of ["run", "caller"]) {
      const { abort, passed } = start();
      const caller = new AbortController();
      const { signal } = await passed({ signal: caller.signal });
      assertEquals(signal?.aborted, false);
      (first === "run" ? abort : caller).abort(first);
      (first === "run" ? caller : abort).abort("later");
      assertEquals([signal?.aborted, signal?.reason], [true, first]);
    }
  });

  it("getOrSet: a signal that is none is passed on, for the cache to refuse", async () => {
    const { passed } = start();
    const wrong = { aborted: false } as unknown as AbortSignal;
    assertStrictEquals((await passed({ signal: wrong })).signal, wrong);
  });
});

/**
 * Tests of the metadata in a handler's context, and of what a message inherits from the message whose handler sent it.
 */
import { describe, it } from "node:test";
import { assert, assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import type { Context } from "../contract/calls/context.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import { type LocalApp, localApp } from "../../test/support/local_app.ts";
import type { Cache, CacheLoadOptions } from "../contract/calls/shared_state.ts";
import { RunCache } from "./message_context.ts";

const Slow = query<void, string>("Slow");
const Work = command<void, string>("Work");
const Tick = event("Tick");

describe("context", () => {
  /** Starts an app with three handlers, of which each sends to the next and records its context. */
  function chain(): LocalApp & { contexts: Record<string, Context> } {
    const contexts: Record<string, Context> = {};
    const handlers = [
      Slow.handle(async (_, ctx) => {
        contexts.first = ctx;
        await ctx.send(Work, undefined, { headers: { own: "2" } });
        return "";
      }),
      Work.handle(async (_, ctx) => {
        contexts.second = ctx;
        await ctx.publish(Tick);
        return "";
      }),
      Tick.on((_, ctx) => void (contexts.third = ctx)),
    ];
    return { ...localApp({ handlers }), contexts };
  }

  it("has the id of its message, that of the first as correlation id, that of the one before as causation id", async () => {
    const { app, clock, contexts } = chain();
    await app.send(Slow, undefined, { id: "order-1" });
    await clock.advance(0);
    const { first, second, third } = contexts;
    assertEquals([first.id, first.correlationId, first.causationId], ["order-1", "order-1", undefined]);
    assertEquals([second.correlationId, second.causationId], ["order-1", "order-1"]);
    assertEquals([third.correlationId, third.causationId], ["order-1", second.id]);
    assertEquals(new Set([first.id, second.id, third.id]).size, 3);
    assertEquals([first.node, first.attempt], ["here", 1]);
  });

  it("makes an id if the sender gave none, the same whenever it is read", async () => {
    const { app, clock, contexts } = chain();
    await app.send(Slow);
    await clock.advance(0);
    const { first, second } = contexts;
    const { id } = first;
    await app.send(Slow);
    assertEquals([first.id, second.causationId, second.correlationId], [id, id, id]);
    assertNotEquals(contexts.first.id, id);
  });

  it("trace headers are inherited by further sends, other headers are not", async () => {
    const { app, clock, contexts } = chain();
    const trace = { traceparent: "00-1-2-01", tracestate: "a=1", baggage: "b=2" };
    await app.send(Slow, undefined, { headers: { ...trace, tenant: "t" } });
    await clock.advance(0);
    assertEquals({ ...contexts.first.headers }, { ...trace, tenant: "t" });
    assertEquals({ ...contexts.second.headers }, { ...trace, own: "2" });
    assertEquals<Record<string, string>>({ ...contexts.third.headers }, trace);
    assert(Object.isFrozen(contexts.third.headers));
  });

  it("headers are a frozen copy, with any names", async () => {
    const { app, contexts } = chain();
    const headers = { traceparent: "1" };
    await app.send(Slow, undefined, { headers });
    headers.traceparent = "2";
    assertEquals(contexts.first.headers.traceparent, "1");
    assert(Object.isFrozen(contexts.first.headers) && Object.isFrozen(contexts.second.headers));
    assertEquals(contexts.first.headers["constructor"], undefined);
    await app.send(Slow);
    assertEquals({ ...contexts.first.headers }, {});
  });

  it("each handler of an event has its own context", async () => {
    const contexts: Context[] = [];
    const { app, clock } = localApp({ handlers: [1, 2].map(() => Tick.on((_, ctx) => contexts.push(ctx))) });
    await app.publish(Tick, undefined, { id: "t1" });
    await clock.advance(0);
    assertEquals([contexts.length, contexts[0] !== contexts[1]], [2, true]);
    assertEquals(contexts.map(({ id }) => id), ["t1", "t1"]);
  });

  it("can be read and can send after the end of its handler", async () => {
    const { app, contexts } = chain();
    await app.send(Slow, undefined, { id: "order-1" });
    assertEquals([contexts.first.id, contexts.first.signal.aborted], ["order-1", false]);
    assertEquals((await contexts.first.send(Work)).ok, true);
    assertEquals(contexts.second.causationId, "order-1");
  });
});

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

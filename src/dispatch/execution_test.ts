/**
 * Tests of a message's deadline and cancellation: for the sender, for the handler, and for the messages that the
 * handler sends.
 */
import { describe, it } from "node:test";
import { UnderWay } from "../ports/under_way.ts";
import { assert, assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import type { Context } from "../contract/calls/context.ts";
import { command, event, query } from "../contract/declaration/definition.ts";
import type { Result } from "../contract/calls/result.ts";
import { CatgaError } from "../error.ts";
import type { Schema } from "../contract/schemas/schema.ts";
import { errorOf } from "../../test/support/error_of.ts";
import type { ContextHost } from "./context_host.ts";
import { Execution } from "./execution.ts";
import { type LocalApp, localApp } from "../../test/support/local_app.ts";

const Slow = query<void, string>("Slow");
const Work = command<void, string>("Work");
const Inner = query<void, string>("Inner");
const Quick = query<void, string>("Quick");
const Tick = event("Tick");

const never = () => new Promise<string>(() => {});

/** A handler that ends when its signal aborts: it rejects with the signal's reason. */
const untilAborted = (_: void, { signal }: Context) =>
  new Promise<string>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

/** Returns an object that shows what a promise has resolved with so far. */
function watched<T>(promise: Promise<T>): { now: T | "pending" } {
  const state: { now: T | "pending" } = { now: "pending" };
  promise.then((value) => state.now = value);
  return state;
}

/** Makes a promise on which handlers wait until `open` is called. */
function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

describe("deadline", () => {
  for (const [stage, code] of [["turn", "UNAVAILABLE"], ["handler", "OUTCOME_UNKNOWN"]] as const) {
    it(`a command of an entity that ${stage === "turn" ? "waits for" : "has"} its turn there is ${code}`, () => {
      const host = { wheel: { add: () => {}, delete: () => {} }, underWay: new UnderWay(), expired: () => {} };
      // the cast is safe: the execution uses only these members of its host
      const execution = new Execution(host as unknown as ContextHost, Work, 100);
      const outcomes: unknown[] = [];
      execution.stage = stage;
      execution.begin((outcome) => outcomes.push(outcome));
      execution.expire();
      assertEquals(outcomes.map((outcome) => errorOf(outcome as Result<unknown>).code), [code]);
    });
  }

  it("a query whose handler takes too long is TIMEOUT, and ctx.signal aborts with the same error", async () => {
    let signal: AbortSignal | undefined;
    const { app, clock } = localApp({ handlers: Slow.handle((_, ctx) => (signal = ctx.signal, never())) });
    const result = watched(app.send(Slow, undefined, { timeout: 100 }));
    await clock.advance(90);
    assertEquals([result.now, signal!.aborted], ["pending", false]);
    await clock.advance(20);
    assert(result.now !== "pending");
    assertEquals(errorOf(result.now).code, "TIMEOUT");
    assertStrictEquals(signal!.reason, result.now.error);
    assertEquals(result.now.error!.message, "the deadline of query Slow has passed");
  });

  it("a command whose handler takes too long is OUTCOME_UNKNOWN, for it may have run", async () => {
    const { app, clock } = localApp({ handlers: Work.handle(never) });
    const result = app.send(Work, undefined, { timeout: 100 });
    await clock.advance(110);
    const { error } = await result;
    assertEquals(
      [error?.code, error?.message],
      ["OUTCOME_UNKNOWN", "command Work was running when its sender gave up (TIMEOUT): it may have run"],
    );
    assertInstanceOf(error?.cause, CatgaError);
  });

  it("is that of the app's timeout or the contract's, if the send has none", async () => {
    const Hasty = query<void, string>("Hasty", { timeout: 50 });
    const { app, clock } = localApp({ handlers: [Slow.handle(never), Hasty.handle(never)], timeout: 200 });
    const [slow, hasty] = [watched(app.send(Slow)), watched(app.send(Hasty))];
    await clock.advance(60);
    assert(hasty.now !== "pending" && slow.now === "pending");
    await clock.advance(150);
    assert(slow.now as unknown !== "pending");
  });

  it("an answer in time is the result; one after the deadline has no effect", async () => {
    const late = gate();
    const { app, clock, inside } = localApp({
      handlers: Slow.handle(async () => (await late.opened, "late")),
    });
    const inTime = app.send(Slow, undefined, { timeout: 100 });
    await clock.advance(90);
    late.open();
    assertEquals(await inTime, { ok: true, value: "late" });
    const other = gate();
    const again = localApp({ handlers: Slow.handle(async () => (await other.opened, "late")) });
    const tooLate = again.app.send(Slow, undefined, { timeout: 100 });
    await again.clock.advance(200);
    other.open();
    assertEquals(errorOf(await tooLate).code, "TIMEOUT");
    await again.clock.advance(0);
    assertEquals([inside.underWay.count, again.inside.underWay.count], [0, 0]);
    assertEquals([inside.wheel.size, again.inside.wheel.size], [0, 0]);
  });

  for (const asks of [false, true]) {
    it(`an async handler that ${asks ? "asks for its signal late" : "asks for nothing"} ends at the deadline`, async () => {
      const Hasty = query<void, string>("Hasty", { timeout: 50 });
      const late = gate();
      let signal: AbortSignal | undefined;
      const { app, clock, inside } = localApp({
        handlers: Hasty.handle(async (_, ctx) => {
          await new Promise<void>((resolve) => clock.after(20, resolve));
          if (asks) signal = ctx.signal;
          await late.opened;
          return "late";
        }),
      });
      const result = watched(app.send(Hasty));
      await clock.advance(40);
      assertEquals([result.now, inside.wheel.size, inside.underWay.count], ["pending", 1, 1]);
      await clock.advance(20);
      assert(result.now !== "pending");
      assertEquals(errorOf(result.now).code, "TIMEOUT");
      assertStrictEquals(signal?.reason, asks ? result.now.error : undefined);
      late.open();
      await clock.advance(0);
      assertEquals([inside.wheel.size, inside.underWay.count], [0, 0]);
    });
  }

  it("what a handler asks for after its end begins no deadline, and its lock is refused", async () => {
    const Done = query<void, string>("Done", { timeout: 50 });
    let left: Context | undefined;
    const { app, clock, inside } = localApp({ handlers: Done.handle(async (_, ctx) => (left = ctx, await "done")) });
    assertEquals(await app.send(Done), { ok: true, value: "done" });
    const { signal } = left!;
    const error = await left!.lock("a").catch((error) => error);
    assertEquals([error.code, inside.wheel.size, inside.underWay.count], ["LOCK_LOST", 0, 0]);
    await clock.advance(100);
    assertEquals(signal.aborted, false);
  });

  it("a handler that takes lock after lock keeps none that it has released", async () => {
    const Long = query<void, number>("Long");
    const { app, inside } = localApp({
      handlers: Long.handle(async (_, ctx) => {
        for (let n = 0; n < 3; n++) await (await ctx.lock("a")).release();
        return (await ctx.lock("b")).token; // released at the handler's end
      }),
    });
    let releases = 0;
    const { locks } = inside.state;
    const take = locks.lock.bind(locks);
    locks.lock = async (...args) => {
      const lock = await take(...args);
      const release = lock.release.bind(lock);
      return Object.assign(lock, { release: () => (releases++, release()) });
    };
    assert((await app.send(Long)).ok);
    assertEquals(releases, 4);
  });

  it("ctx.deadline is the sender's deadline, by the wall clock", async () => {
    const seen: number[] = [];
    const { app, clock } = localApp({
      handlers: Slow.handle(async (_, ctx) => {
        seen.push(ctx.deadline);
        await Promise.resolve();
        seen.push(ctx.deadline);
        return "done";
      }),
    });
    const now = clock.now();
    await app.send(Slow, undefined, { timeout: 100 });
    await app.send(Slow);
    assertEquals(seen, [now + 100, now + 100, now + 30_000, now + 30_000]);
  });

  it("ctx.send inherits it: an inner send has the time that is left", async () => {
    const { app, clock } = localApp({
      handlers: [
        Slow.handle(async (_, ctx) => {
          await new Promise<void>((resolve) => clock.after(60, resolve));
          const inner = await ctx.send(Inner, undefined, { timeout: 10_000 });
          return inner.ok ? inner.value : inner;
        }),
        Inner.handle((_, ctx) => `${ctx.deadline - clock.now()}`),
      ],
    });
    const result = app.send(Slow, undefined, { timeout: 100 });
    await clock.advance(80);
    assertEquals(await result, { ok: true, value: "40" });
  });

  it("ctx.send after it fails, and the message certainly does not run", async () => {
    let ran = 0;
    const codes: string[] = [];
    const { app, clock } = localApp({
      handlers: [
        Slow.handle(async (_, ctx) => {
          await new Promise<void>((resolve) => clock.after(200, resolve));
          codes.push(
            errorOf(await ctx.send(Work)).code,
            errorOf(await ctx.send(Inner)).code,
            errorOf(await ctx.publish(Tick)).code,
          );
          return "late";
        }),
        Work.handle(() => `${ran++}`),
        Inner.handle(() => `${ran++}`),
        Tick.on(() => ran++),
      ],
    });
    app.send(Slow, undefined, { timeout: 100 });
    await clock.advance(300);
    assertEquals([codes, ran], [["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"], 0]);
  });

  it("includes the time of an async schema: the handler has what is left", async () => {
    const input = (clock: () => LocalApp["clock"], ms: number): Schema<void> => ({
      "~standard": {
        version: 1,
        vendor: "test",
        validate: () => new Promise((resolve) => clock().after(ms, () => resolve({ value: undefined }))),
      },
    });
    let ran = 0;
    const Checked = query<void, number>("Checked", { input: input(() => local.clock, 60) });
    const TooLate = query<void, number>("TooLate", { input: input(() => local.clock, 200) });
    const local = localApp({
      handlers: [Checked.handle((_, ctx) => ctx.deadline - local.clock.now()), TooLate.handle(() => ran++)],
    });
    const checked = local.app.send(Checked, undefined, { timeout: 100 });
    const tooLate = local.app.send(TooLate, undefined, { timeout: 100 });
    await local.clock.advance(300);
    assertEquals(await checked, { ok: true, value: 40 });
    assertEquals([errorOf(await tooLate).code, ran], ["UNAVAILABLE", 0]);
  });
});

describe("cancellation", () => {
  it("a send with an aborted signal is CANCELLED, and nothing runs", async () => {
    let ran = 0;
    const { app, clock } = localApp({ handlers: [Quick.handle(() => `${ran++}`), Tick.on(() => ran++)] });
    const signal = AbortSignal.abort();
    assertEquals(errorOf(await app.send(Quick, undefined, { signal })).code, "CANCELLED");
    assertEquals(errorOf(await app.publish(Tick, undefined, { signal })).code, "CANCELLED");
    assertEquals((await app.broadcast(Tick, undefined, { signal })).map(({ result }) => errorOf(result).code), [
      "CANCELLED",
    ]);
    await clock.advance(0);
    assertEquals(ran, 0);
  });

  it("a signal that aborts while an async schema runs keeps the handler from running", async () => {
    const asked = gate();
    let ran = 0;
    const Checked = command<void, number>("Checked", {
      input: {
        "~standard": { version: 1, vendor: "test", validate: () => asked.opened.then(() => ({ value: undefined })) },
      },
    });
    const { app } = localApp({ handlers: Checked.handle(() => ran++) });
    const controller = new AbortController();
    const result = app.send(Checked, undefined, { signal: controller.signal });
    controller.abort();
    asked.open();
    assertEquals([errorOf(await result).code, ran], ["CANCELLED", 0]);
  });

  it("a signal that aborts while the handler runs is CANCELLED at once, and ctx.signal aborts", async () => {
    let signal: AbortSignal | undefined;
    const { app } = localApp({ handlers: Work.handle((_, ctx) => (signal = ctx.signal, never())) });
    const controller = new AbortController();
    const result = app.send(Work, undefined, { signal: controller.signal });
    controller.abort(new Error("the user left"));
    const { error } = await result;
    assertEquals([error?.code, error?.message], ["CANCELLED", "the sender of command Work gave up"]);
    assertStrictEquals(signal!.reason, error);
  });

  it("ctx.signal that is first read after the abort is aborted", async () => {
    const asked = gate();
    let aborted: unknown;
    const { app } = localApp({
      handlers: Slow.handle(async (_, ctx) => {
        await asked.opened;
        aborted = ctx.signal.reason;
        return "";
      }),
    });
    const controller = new AbortController();
    const result = app.send(Slow, undefined, { signal: controller.signal });
    controller.abort();
    const { error } = await result;
    asked.open();
    await asked.opened;
    assertStrictEquals(aborted, error);
  });

  it("ctx.send inherits it: a whole chain of handlers is cancelled, including the innermost", async () => {
    const reasons: string[] = [];
    const note = (name: string, ctx: Context) =>
      ctx.signal.addEventListener("abort", () => reasons.push(`${name} ${ctx.signal.reason.code}`));
    const { app } = localApp({
      handlers: [
        Slow.handle(async (_, ctx) => {
          note("outer", ctx);
          const result = await ctx.send(Work);
          reasons.push(`outer got ${errorOf(result).code}`);
          return "";
        }),
        Work.handle(async (_, ctx) => {
          note("middle", ctx);
          const result = await ctx.send(Inner);
          return result.ok ? result.value : result;
        }),
        Inner.handle((payload, ctx) => (note("inner", ctx), untilAborted(payload, ctx))),
      ],
    });
    const controller = new AbortController();
    const result = app.send(Slow, undefined, { signal: controller.signal });
    controller.abort();
    assertEquals(errorOf(await result).code, "CANCELLED");
    await Promise.resolve();
    assertEquals(reasons.slice(0, 3).sort(), ["inner CANCELLED", "middle CANCELLED", "outer CANCELLED"]);
    assertEquals(reasons[3], "outer got CANCELLED");
  });

  it("an aborted handler sends no requests any more, but may publish events", async () => {
    const asked = gate();
    const done = gate();
    let ran = 0;
    let told = 0;
    let code = "";
    const { app, clock } = localApp({
      handlers: [
        Slow.handle(async (_, ctx) => {
          await asked.opened;
          code = errorOf(await ctx.send(Work)).code;
          assertEquals((await ctx.publish(Tick)).ok, true);
          done.open();
          return "";
        }),
        Work.handle(() => `${ran++}`),
        Tick.on(() => told++),
      ],
    });
    const controller = new AbortController();
    app.send(Slow, undefined, { signal: controller.signal });
    controller.abort();
    asked.open();
    await done.opened;
    await clock.advance(0);
    assertEquals([code, ran, told], ["CANCELLED", 0, 1]);
  });

  it("signals that outlive their sends keep no listeners", async () => {
    const { app } = localApp({ handlers: Quick.handle(() => Promise.resolve("")) });
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: unknown[]) => (listeners++, Reflect.apply(addEventListener, signal, args));
    signal.removeEventListener = (
      ...args: unknown[]
    ) => (listeners--, Reflect.apply(removeEventListener, signal, args));
    await app.send(Quick, undefined, { signal });
    assertEquals(listeners, 0);
  });
});

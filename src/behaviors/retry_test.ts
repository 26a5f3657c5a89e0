import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type Behavior, catga, type CatgaError, command, fail, type SendOptions } from "../../mod.ts";
import { localApp } from "../../test/support/local_app.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { MemoryNetwork, VirtualClock } from "../testing/mod.ts";
import { retry, type RetryBehaviorOptions } from "./retry.ts";
import { timeout } from "./timeout.ts";
import type { FailOptions } from "../contract/calls/result.ts";

const Do = command<void, string>("Do");

/** Sends to a handler that fails `failures` times. Returns when the handler ran (in ms), and the result. */
async function tried(
  options: RetryBehaviorOptions,
  failures: number,
  { code = "BUSY", sending = {}, ...failing }: FailOptions & { code?: string; sending?: SendOptions } = {},
) {
  const runs: number[] = [];
  const handlers = Do.handle(() => {
    runs.push(clock.monotonic());
    if (runs.length > failures) return "done";
    if (code === "HANDLER_FAILED") throw new Error("bug");
    return fail(code, `failure ${runs.length}`, failing);
  });
  const { app, clock } = localApp({ handlers, behaviors: [retry(options)] });
  const result = await clock.until(app.send(Do, undefined, sending));
  return { runs: runs.length, at: runs.map((at) => at - runs[0]), end: result.value ?? result.error?.message };
}

describe("retry", () => {
  it("runs a handler that threw or failed retryably up to 3 times, and returns the last result", async () => {
    const { runs, end } = await tried({}, 2, { retryable: true });
    assertEquals([runs, end], [3, "done"]);
    assertEquals((await tried({}, 2, { code: "HANDLER_FAILED" })).end, "done");
    assertEquals((await tried({}, 3, { retryable: true })).end, "failure 3");
    assertEquals((await tried({ attempts: 5 }, 4, { retryable: true })).end, "done");
  });

  it("does not run again after other failures, nor after one that is final", async () => {
    assertEquals((await tried({}, 9)).runs, 1);
    assertEquals((await tried({ on: () => true }, 9, { final: true })).runs, 1);
  });

  it("on: the codes, or the errors, after which it runs again", async () => {
    assertEquals((await tried({ on: ["LOCKED", "BUSY"] }, 1)).end, "done");
    assertEquals((await tried({ on: ["LOCKED"] }, 1, { retryable: true })).end, "failure 1");
    assertEquals((await tried({ on: ({ message }) => message === "failure 1" }, 9)).end, "failure 2");
  });

  it("on: what an async function resolves with counts; its rejection ends the attempts as a handler's does", async () => {
    const asked: string[] = [];
    const on = ({ message }: CatgaError) => {
      asked.push(message);
      return message === "failure 3"
        ? Promise.reject(new Error("no answer"))
        : Promise.resolve(message === "failure 1");
    };
    assertEquals((await tried({ on }, 9)).end, "failure 2");
    const { runs, end } = await tried({ on: (error) => on(error).then(() => true), attempts: 9 }, 9);
    assertEquals({ runs, threw: end?.startsWith("a behavior around Do threw on node here") }, { runs: 3, threw: true });
    assertEquals(asked, ["failure 1", "failure 2", "failure 1", "failure 2", "failure 3"]);
  });

  it("pauses, at random, up to twice as long before each further attempt", async () => {
    const { at } = await tried({ attempts: 6, backoff: 100 }, 5, { retryable: true });
    const pauses = at.slice(1).map((ms, i) => ms - at[i]);
    assertEquals(pauses.length, 5);
    assertEquals(pauses.every((pause, i) => pause >= 0 && pause <= 100 * 2 ** i), true);
    assertEquals(new Set(pauses).size, 5);
    assertEquals((await tried({ backoff: 0 }, 2, { retryable: true })).at, [0, 0, 0]);
  });

  it("returns the last failure when the next attempt would start after the deadline", async () => {
    const { end, runs } = await tried({ attempts: 100, backoff: 1_000 }, 99, {
      retryable: true,
      sending: { timeout: 500 },
    });
    assertEquals(end, `failure ${runs}`);
  });

  it("returns the last failure when the message is aborted during the pause", async () => {
    let runs = 0;
    const handlers = Do.handle(() => fail("BUSY", `failure ${++runs}`));
    const { app, clock } = localApp({
      handlers,
      behaviors: [timeout(5), retry({ on: ["BUSY"], backoff: 1_000_000, attempts: 9 })],
      timeout: 2_000_000_000,
    });
    const result = await clock.until(app.send(Do));
    assertEquals([runs, result.error?.code], [1, "OUTCOME_UNKNOWN"]);
    await clock.until(app.drain());
  });

  it("releases the locks that a failed attempt took, and no others, before the next attempt", async () => {
    const tokens: number[] = [];
    const handlers = Do.handle(async (_, ctx) => {
      tokens.push((await ctx.lock("key")).token);
      return tokens.length > 2 ? "done" : fail("BUSY", `failure ${tokens.length}`);
    });
    const outer: Behavior = async ({ ctx }, next) => {
      const lock = await ctx.lock("outer");
      const result = await next();
      const again = await ctx.lock("outer").then(() => "taken", ({ code }) => code);
      return result.ok ? { ok: true, value: `${result.value} ${again} ${lock.signal.aborted}` } : result;
    };
    const { app, clock } = localApp({ handlers, behaviors: [outer, retry({ on: ["BUSY", "HANDLER_FAILED"] })] });
    assertEquals(await clock.until(app.send(Do)), { ok: true, value: "done DEADLOCK false" });
    assertEquals(tokens.toSorted((a, b) => a - b), tokens);
    const free = ["key", "outer"].map((key) => app.lock(key, { timeout: 0 }));
    assertEquals((await clock.until(Promise.all(free))).length, 2);
    await clock.until(app.drain());
  });

  it("leaves a behavior the lock that it had asked for before the attempt began", async () => {
    let attempts = 0;
    const handlers = Do.handle(async (_, { clock }) => {
      await clock.sleep(5);
      return ++attempts > 1 ? "done" : fail("BUSY", "once");
    });
    const outer: Behavior = async ({ ctx }, next) => {
      const [, result] = await Promise.all([ctx.lock("outer"), next()]);
      const again = await ctx.lock("outer").then(() => "taken", ({ code }) => code);
      return result.ok ? { ok: true, value: again } : result;
    };
    const { app, clock } = localApp({ handlers, behaviors: [outer, retry({ on: ["BUSY"] })] });
    assertEquals(await clock.until(app.send(Do)), { ok: true, value: "DEADLOCK" });
    await clock.until(app.drain());
  });

  it("begins no attempt when the message was aborted while the locks were released", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    let attempts = 0;
    const handlers = Do.handle(async (_, ctx) => {
      attempts++;
      await ctx.lock("key");
      network.faults = { lostAck: 1 };
      return fail("BUSY", "always");
    }, { behaviors: [retry({ on: ["BUSY"] })] });
    const app = await clock.until(catga({ network, handlers, logger: QUIET }));
    const { error } = await clock.until(app.send(Do, undefined, { timeout: 1_000 }));
    assertEquals(error?.code, "OUTCOME_UNKNOWN");
    await clock.advance(30_000);
    assertEquals(attempts, 1);
    network.faults = {};
    await clock.until(app.drain());
  });

  it("throws for invalid options", () => {
    const wrong: [RetryBehaviorOptions, string][] = [
      [{ attempts: 1 }, "retry: attempts must be from 2 to 1000; got 1"],
      [{ backoff: -1 }, "retry: backoff must be from 0 to 2147483647 ms; got -1"],
      [{ on: "BUSY" as never }, 'retry: on must be an array of codes, or a function; got "BUSY"'],
      [{ times: 3 } as never, "retry: unknown option times; it takes attempts, on, backoff"],
    ];
    for (const [options, message] of wrong) assertThrows(() => retry(options), Error, message);
  });
});

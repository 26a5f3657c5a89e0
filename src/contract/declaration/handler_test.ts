import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { localApp } from "../../../test/support/local_app.ts";
import type { CatgaError } from "../../error.ts";
import { handlerFailure, isHandlerFailure, type SubscriptionOptions } from "./handler.ts";
import { command, event, query, stream } from "../../../mod.ts";

const Ask = query<void, void>("Ask");
const Other = query<void, void>("Other");

describe("the failure of a handler that threw", () => {
  for (const by of ["handler", "behavior"] as const) {
    it(`is recognized as that of its own message, and of no other: ${by}`, () => recognized(by));
  }

  async function recognized(by: "handler" | "behavior") {
    const seen: boolean[] = [];
    const cause = new Error("bug");
    const failures: CatgaError[] = [];
    const ask = Ask.handle((_, ctx) => {
      const failure = handlerFailure(Ask, ctx, cause, by);
      failures.push(failure);
      seen.push(...failures.map((each) => isHandlerFailure(each, Ask, ctx)), isHandlerFailure(failure, Other, ctx));
    });
    const { app } = localApp({ handlers: ask });
    await app.send(Ask, undefined, { id: "m1" });
    await app.send(Ask, undefined, { id: "m2" });
    assertEquals(seen, [true, false, false, true, false]);
    const [{ code, node, cause: kept }] = failures;
    assertEquals([code, node], ["HANDLER_FAILED", "here"]);
    assertStrictEquals(kept, cause);
  }
});

const Placed = event<{ id: string }>("orders.Placed", { durable: true });
const Told = event<{ id: string }>("orders.Told");

function settings(options?: SubscriptionOptions) {
  return Placed.on(() => {}, options)["~handler"].subscription;
}

describe("the settings of a subscription", () => {
  it("have defaults: the contract's name without dots, from now on, once in a service, 10 attempts", () => {
    assertEquals(settings(), {
      name: "orders-Placed",
      from: "now",
      each: "service",
      attempts: 10,
      delay: [1_000, 300_000],
      outage: 604_800_000,
      timeout: undefined,
    });
    const given = {
      name: "billing",
      from: "start",
      each: "service",
      timeout: 5,
      retry: { attempts: 3, delay: [1, 2], outage: 0 },
    } as const;
    const { retry: _, ...rest } = given;
    assertEquals(settings(given), { ...rest, attempts: 3, delay: [1, 2], outage: 0 });
  });

  it("a queued command's timeout is its contract's", () => {
    const Mail = command<void>("Mail", { durable: true, timeout: 70_000 });
    assertEquals(Mail.handle(() => {}, { retry: { attempts: 2 } })["~handler"].subscription?.timeout, 70_000);
    assertEquals(Mail.handle(() => {})["~handler"].subscription?.attempts, 10);
  });

  it("of every node have no last attempt: they are tried again without end", () => {
    const each = "node";
    assertEquals(settings({ each, retry: { delay: [1, 2] } })?.delay, [1, 2]);
    for (const retry of [{ attempts: 3 }, { outage: 0 }]) {
      const message = `retry.${Object.keys(retry)[0]} has no meaning with each: "node", which retries without end`;
      assertThrows(() => settings({ each, retry }), TypeError, message);
    }
  });

  it("limit has running, per, or both, of whole numbers, and no two with one name", () => {
    assertEquals(settings({ limit: { running: 5 } })?.limits, [
      { name: "", running: 5, count: Infinity, ms: Infinity, burst: 1 },
    ]);
    assertEquals(settings({ limit: [{ name: "bank", per: [100, 1_000], burst: 10 }] })?.limits, [
      { name: "bank", running: Infinity, count: 100, ms: 1_000, burst: 10 },
    ]);
    const key = () => "a";
    assertEquals(settings({ limit: { key, running: 5 } })?.limits, [
      { name: "", running: 5, count: Infinity, ms: Infinity, burst: 1, isByKey: true, key },
    ]);
    assertEquals(settings({ limit: { running: 1, over: "skip" } })?.limits, [
      { name: "", running: 1, count: Infinity, ms: Infinity, burst: 1, over: "skip" },
    ]);
    assertEquals(settings({ limit: { per: [1, 500], over: "last" } })?.limits?.[0].over, "last");
    assertEquals(settings({ limit: { running: 1, over: "cancel" } })?.limits?.[0].over, "cancel");
    assertEquals(settings({ limit: { running: 1, over: "wait" } })?.limits?.[0].over, undefined);
    assertEquals(settings({})?.limits, undefined);
    for (
      const [limit, error, text] of [
        [{}, TypeError, "a limit has running (how many run at once), or per ([count, ms]), or both"],
        [{ running: 1, burst: 2 }, TypeError, "limit.burst has a meaning only with per"],
        [{ running: 0 }, RangeError, "limit.running"],
        [{ running: 1.5 }, RangeError, "limit.running"],
        [{ per: 100 }, TypeError, "limit.per is [count, ms]; got 100"],
        [{ per: [100, 0] }, RangeError, "limit.per, its ms"],
        [{ per: [0, 100] }, RangeError, "limit.per, its count"],
        [{ per: [1, 100], burst: 0 }, RangeError, "limit.burst"],
        [{ running: 1, name: "a b" }, TypeError, "limit.name"],
        [{ running: 1, at: 1 }, TypeError, "limit"],
        [{ running: 1, over: "drop" }, TypeError, 'limit.over is one of wait, skip, last, cancel; got "drop"'],
        [{ running: 2, over: "cancel" }, TypeError, "the place of the one that runs: set running: 1; got 2"],
        [{ per: [1, 500], over: "cancel" }, TypeError, "set running: 1; got undefined"],
        [{ per: [1, 500], over: "skip" }, TypeError, "skips what is more than running: set running"],
        [{ key }, TypeError, "a limit has running"],
        [{ key: "account", running: 1 }, TypeError, "limit.key must be a function"],
        [[], RangeError, "limit is one limit, or an array of 1 to 8; got 0"],
        [[{ name: "a", running: 1 }, { name: "a", running: 2 }], TypeError, "two limits have the name a"],
        [5, TypeError, "limit"],
      ] as const
    ) assertThrows(() => settings({ limit: limit as never }), error, text);
    assertThrows(
      () => settings({ each: "node", limit: { running: 1 } }),
      TypeError,
      'limit has no meaning with each: "node"',
    );
  });

  it("a limit whose newest message cancels is not of batches, which have one signal", () => {
    assertThrows(
      () => event("orders.Kept", { durable: true }).onBatch(() => {}, { limit: { running: 1, over: "cancel" } }),
      TypeError,
      'limit.over "cancel" is not of batches, whose messages have one signal: use on, or over "last"',
    );
  });

  it("belong to durable contracts alone", () => {
    assertEquals(Told.on(() => {})["~handler"].subscription, undefined);
    assertThrows(
      // @ts-expect-error the event is not durable
      () => Told.on(() => {}, { name: "x" }),
      TypeError,
      "name is of a durable event: give orders.Told durable: true",
    );
    const Pay = command<void>("Pay");
    // @ts-expect-error the command is not durable
    assertThrows(() => Pay.handle(() => {}, { retry: { attempts: 2 } }), TypeError, "retry is of a durable command");
  });

  it("queries and streams have none, and are not told to be durable", () => {
    for (const make of [query, stream]) {
      assertThrows(
        () => make("Q").handle((() => {}) as never, { retry: {} } as never),
        TypeError,
        `Q.handle: a ${make("Q").kind} takes no retry; the behavior retry() runs its handler again`,
      );
      assertThrows(
        () => make("Q").handle((() => {}) as never, { limit: { running: 1, over: "last" } } as never),
        TypeError,
        `Q.handle: a ${make("Q").kind} takes no limit, which is of durable messages`,
      );
    }
  });

  it("say what is wrong with them", () => {
    assertThrows(() => settings({ name: "a b" }), TypeError, "name");
    assertThrows(() => settings({ from: "end" as "now" }), TypeError, 'from must be "now" or "start"');
    assertThrows(() => settings({ retry: 3 as never }), TypeError, "retry must be { attempts, delay, outage }");
    assertThrows(() => settings({ retry: { attempts: 0 } }), RangeError, "retry.attempts");
    assertThrows(() => settings({ retry: { delay: [5] as never } }), TypeError, "retry.delay must be [first, longest]");
    assertThrows(() => settings({ retry: { delay: [5, 4] } }), RangeError, "retry.delay[1]");
    assertThrows(() => settings({ retry: { times: 3 } as never }), TypeError, "times");
    assertThrows(() => settings({ timeout: 0 }), RangeError, "timeout");
  });
});

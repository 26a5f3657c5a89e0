import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { Behavior } from "../contract/declaration/behavior.ts";
import { fold } from "./handler_call.ts";
import type { Code } from "../error.ts";
import { systemClock } from "../ports/clock.ts";
import { event, query } from "../contract/declaration/definition.ts";
import { fail, type Result } from "../contract/calls/result.ts";
import { localApp } from "../../test/support/local_app.ts";

const Ask = query<number, number>("Ask");

/** Makes a behavior that records in `notes` when it begins and ends. */
function noting(name: string, notes: string[]): Behavior {
  return async (_, next) => {
    notes.push(`${name} begins`);
    const result = await next();
    notes.push(`${name} ends`);
    return result;
  };
}

function failureOf(result: Result<unknown>) {
  assert(!result.ok);
  return result.error;
}

describe("fold", () => {
  it("runs behaviors outermost first: the app's, then the handler's own, then the handler", async () => {
    const notes: string[] = [];
    const { app } = localApp({
      behaviors: [noting("app 1", notes), noting("app 2", notes)],
      handlers: Ask.handle((n) => notes.push("handler") * 0 + n, {
        behaviors: [noting("own 1", notes), noting("own 2", notes)],
      }),
    });
    assertEquals(await app.send(Ask, 7), { ok: true, value: 7 });
    const order = ["app 1", "app 2", "own 1", "own 2"];
    assertEquals(notes, [
      ...order.map((name) => `${name} begins`),
      "handler",
      ...order.toReversed().map((name) => `${name} ends`),
    ]);
  });

  it("a behavior receives the contract, the parsed payload and the handler's context", async () => {
    const Parse = query<string, number, Code, number>("Parse", {
      input: { "~standard": { version: 1, vendor: "test", validate: (text) => ({ value: Number(text) }) } },
    });
    const told: unknown[] = [];
    let ctx: unknown;
    const { app } = localApp({
      behaviors: [(message, next) => (told.push(message.contract, message.payload, message.ctx), next())],
      handlers: Parse.handle((n, given) => (ctx = given, n)),
    });
    await app.send(Parse, "7");
    assertStrictEquals(told[0], Parse);
    assertEquals(told[1], 7);
    assertStrictEquals(told[2], ctx);
  });

  it("a behavior may change the result, sync or async", async () => {
    const more: Behavior = async (_, next) => {
      const result = await next();
      return result.ok ? { ok: true, value: (result.value as number) + 1 } : result;
    };
    const { app } = localApp({ behaviors: [more, more], handlers: Ask.handle((n) => n) });
    assertEquals(await app.send(Ask, 1), { ok: true, value: 3 });
  });

  it("a behavior that does not call next keeps the handler from running", async () => {
    let ran = 0;
    const { app } = localApp({
      behaviors: [() => fail("FORBIDDEN", "not you")],
      handlers: Ask.handle(() => ran++),
    });
    assertEquals([failureOf(await app.send(Ask, 1)).code, ran], ["FORBIDDEN", 0]);
  });

  it("a behavior that calls next again runs the handler again, with the behaviors inside", async () => {
    const notes: string[] = [];
    let tries = 0;
    const again: Behavior = async (_, next) => {
      const first = await next();
      return first.ok ? first : await next();
    };
    const { app } = localApp({
      behaviors: [again, noting("inner", notes)],
      handlers: Ask.handle((n) => ++tries < 2 ? fail("BUSY", "again") : n),
    });
    assertEquals([await app.send(Ask, 1), tries], [{ ok: true, value: 1 }, 2]);
    assertEquals(notes, ["inner begins", "inner ends", "inner begins", "inner ends"]);
  });

  it("next never rejects: an error that the handler throws becomes HANDLER_FAILED", async () => {
    const codes: string[] = [];
    const { app } = localApp({
      behaviors: [async (_, next) => {
        const result = await next();
        codes.push(failureOf(result).code);
        return { ok: true, value: 0 };
      }],
      handlers: Ask.handle(() => {
        throw new Error("bug");
      }),
    });
    assertEquals([await app.send(Ask, 1), codes], [{ ok: true, value: 0 }, ["HANDLER_FAILED"]]);
  });

  it("a behavior that throws is HANDLER_FAILED for those outside of it, and observed", async () => {
    const thrown = new Error("bug");
    const outside: string[] = [];
    const { app, seen } = localApp({
      behaviors: [
        async (_, next) => {
          const result = await next();
          outside.push(failureOf(result).code);
          return result;
        },
        () => {
          throw thrown;
        },
      ],
      handlers: Ask.handle((n) => n),
    });
    const { message, cause } = failureOf(await app.send(Ask, 1, { id: "m1" }));
    assertEquals(
      message,
      "a behavior around Ask threw on node here (message m1); the cause is in the log of that node",
    );
    assertStrictEquals(cause, thrown);
    assertEquals(outside, ["HANDLER_FAILED"]);
    const ids = { id: "m1", correlationId: "m1" };
    assertEquals(seen, [{ type: "handler-failed", contract: "Ask", behavior: true, ...ids, error: thrown }]);
  });

  it("a behavior that returns no result is an error that names it (the sender got undefined)", async () => {
    const forgetful = (async (_: unknown, next: () => Promise<unknown>) => void await next()) as unknown as Behavior;
    const { app } = localApp({ behaviors: [forgetful], handlers: Ask.handle((n) => n) });
    for (const result of [await app.send(Ask, 1), await app.send(Ask, 1, { id: "x" })]) {
      const { code, cause } = failureOf(result);
      assertEquals(code, "HANDLER_FAILED");
      assertEquals(
        (cause as Error).message,
        "a behavior around Ask must return a result, what next() gives or fail(…); got undefined",
      );
    }
  });

  it("behaviors run around each handler of an event", async () => {
    const Tick = event("Tick");
    const notes: string[] = [];
    const { app, clock } = localApp({
      behaviors: [noting("app", notes)],
      handlers: [Tick.on(() => notes.push("first")), Tick.on(() => notes.push("second"))],
    });
    await app.publish(Tick);
    await clock.advance(0);
    assertEquals(notes.toSorted(), ["app begins", "app begins", "app ends", "app ends", "first", "second"]);
  });

  it("returns the handler itself if there are no behaviors", () => {
    const run = () => ({ ok: true as const, value: 1 });
    assertStrictEquals(fold(Ask, [], run, () => fail("X", "x"), { clock: systemClock, random: Math.random }), run);
  });
});

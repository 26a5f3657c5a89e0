/** Tests of events and broadcasts in an app without a cluster. */
import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import type { Code } from "../error.ts";
import { event, query } from "../contract/declaration/definition.ts";
import { fail } from "../contract/calls/result.ts";
import { errorOf } from "../../test/support/error_of.ts";
import { localApp } from "../../test/support/local_app.ts";
import { counting, refusing } from "../../test/support/schemas.ts";

const Double = query<number, number>("Double");

describe("publish", () => {
  const Tick = event<{ n: number }>("Tick");

  it("every handler gets the event in a later turn; publish does not wait for them", async () => {
    const got: unknown[] = [];
    const payload = { n: 1 };
    const { app, clock } = localApp({
      handlers: [Tick.on((tick, ctx) => void got.push(tick, ctx.id)), Tick.on((tick) => void got.push(tick))],
    });
    assertEquals(await app.publish(Tick, payload, { id: "t1" }), { ok: true, value: undefined });
    assertEquals(got, []);
    await clock.advance(0);
    assertEquals(got, [payload, "t1", payload]);
    assertStrictEquals(got[0], payload);
  });

  it("is ok without handlers", async () => {
    const { app } = localApp();
    assertEquals(await app.publish(Tick, { n: 1 }), { ok: true, value: undefined });
  });

  it("an option that would have no effect on an event is a TypeError", () => {
    const { app } = localApp();
    assertThrows(
      () => app.publish(Tick, { n: 1 }, { timeout: 5 as never }),
      TypeError,
      "publish Tick: unknown option timeout; it takes id, headers, signal",
    );
    const takes = "it takes id, key, node, timeout, signal, headers";
    // @ts-expect-error: a broadcast does not take the option `retries`: each node gets one attempt
    assertThrows(() => app.broadcast(Tick, { n: 1 }, { retries: 1 }), TypeError, takes);
    // @ts-expect-error: a broadcast does not take the option `route`, because it goes to every node
    assertThrows(() => app.broadcast(Tick, { n: 1 }, { route: "hash" }), TypeError, takes);
  });

  it("a handler that throws is observed once, and the other handlers still get the event", async () => {
    const thrown = new Error("bug");
    const got: number[] = [];
    const { app, clock, seen } = localApp({
      handlers: [
        Tick.on(() => {
          throw thrown;
        }),
        Tick.on(({ n }) => void got.push(n)),
      ],
    });
    await app.publish(Tick, { n: 1 }, { id: "t1" });
    await clock.advance(0);
    assertEquals(got, [1]);
    assertEquals(seen, [{ type: "handler-failed", contract: "Tick", id: "t1", correlationId: "t1", error: thrown }]);
  });

  it("a handler that returns a failure is observed, because no sender gets its result", async () => {
    const { error } = fail("NO_DISK", "full");
    const { app, clock, seen } = localApp({ handlers: Tick.on(() => ({ ok: false, error })) });
    await app.publish(Tick, { n: 1 }, { id: "t1" });
    await clock.advance(0);
    assertEquals(seen, [{ type: "fault", during: "event Tick (t1)", error }]);
  });

  it("a payload that does not fit the schema is an error of the publisher", async () => {
    const Checked = event("Checked", { input: refusing({ message: "no" }) });
    const { app, seen } = localApp({ handlers: Checked.on(() => {}) });
    assertEquals(errorOf(await app.publish(Checked, {})).code, "INVALID_MESSAGE");
    assertEquals(seen, []);
  });

  it("each handler sees the parsed payload", async () => {
    const Parsed = event("Parsed", { input: counting((text: string) => Number(text)) });
    const got: number[] = [];
    const { app, clock } = localApp({ handlers: [Parsed.on((n) => got.push(n)), Parsed.on((n) => got.push(-n))] });
    await app.publish(Parsed, "7");
    await clock.advance(0);
    assertEquals(got, [7, -7]);
  });
});

describe("broadcast", () => {
  const Tick = event("Tick");

  it("a request has this node's answer under its id, parsed once", async () => {
    const output = counting((n: number) => `${n}!`);
    const Ask = query<number, string, Code, number, number>("Ask", { output });
    const { app } = localApp({ handlers: Ask.handle((n) => n * 2) });
    assertEquals(await app.broadcast(Ask, 2), [{ node: "here", result: { ok: true, value: "4!" } }]);
    assertEquals(output.runs, 1);
  });

  it("an event waits for every handler; the first failure is the answer", async () => {
    const got: string[] = [];
    const { app } = localApp({
      handlers: [
        Tick.on(() => "a"),
        Tick.on(() => fail("B", "b")),
        Tick.on(async () => void await Promise.resolve(got.push("c"))),
      ],
    });
    const [{ node, result }, ...more] = await app.broadcast(Tick);
    assertEquals([node, errorOf(result).code, more, got], ["here", "B", [], ["c"]]);
  });

  it("an event's handlers give no values", async () => {
    const { app } = localApp({ handlers: Tick.on(() => "dropped") });
    assertEquals(await app.broadcast(Tick), [{ node: "here", result: { ok: true, value: undefined } }]);
  });

  it("resolves with no answers when no node handles the message, or not the node of that id", async () => {
    const { app } = localApp({ handlers: Tick.on(() => {}) });
    assertEquals(await app.broadcast(Double, 1), []);
    assertEquals(await app.broadcast(Tick, undefined, { node: "there" }), []);
    assertEquals((await app.broadcast(Tick, undefined, { node: "here" })).length, 1);
  });

  it("a payload that does not fit the schema is one error, of this node", async () => {
    const Checked = query("Checked", { input: refusing({ message: "no" }) });
    const { app } = localApp({ handlers: Checked.handle(() => {}) });
    const [{ node, result }] = await app.broadcast(Checked, {});
    assertEquals([node, errorOf(result).code], ["here", "INVALID_MESSAGE"]);
  });
});

import { assertEquals, assertLess, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { type Behavior, command, query } from "../../mod.ts";
import { localApp } from "../../test/support/local_app.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";
import { timeout } from "./timeout.ts";

const Ask = query<void, string>("Ask");
const Do = command<void, string>("Do");

describe("timeout", () => {
  it("aborts a message after its time: ctx.signal aborts, the handler's sends are cancelled, the sender gets a failure", async () => {
    const seen: string[] = [];
    const behaviors = [timeout(100)];
    const { app, clock } = localApp({
      handlers: [
        Do.handle(async (_, ctx) => {
          const asked = await ctx.send(Ask);
          seen.push(`${ctx.signal.reason.code} at ${clock.monotonic()}, Ask: ${asked.error?.code}`);
          return "late";
        }, { behaviors }),
        Ask.handle((_, { signal }) => new Promise((_, reject) => signal.onabort = () => reject(signal.reason))),
      ],
    });
    const result = await clock.until(app.send(Do));
    assertEquals([result.error?.code, clock.monotonic()], ["OUTCOME_UNKNOWN", 100]);
    await clock.advance(0);
    assertEquals(seen, ["TIMEOUT at 100, Ask: TIMEOUT"]);
  });

  it("the sender of a query gets TIMEOUT; on another node, when the handler has ended", async () => {
    await using cluster = new MemoryCluster();
    const handlers = Ask.handle(
      (_, { signal }) => new Promise((_, reject) => signal.onabort = () => reject(signal.reason)),
      { behaviors: [timeout(100)] },
    );
    await cluster.start("a", { handlers });
    const client = await cluster.start("client", { handlers: [] });
    const result = await cluster.clock.until(client.send(Ask));
    assertEquals([result.error?.code, result.error?.message], ["TIMEOUT", "query Ask was to be handled within 100 ms"]);
  });

  it("before the handler was called: UNAVAILABLE at once, on another node too, and no node begins again (4 did)", async () => {
    let begun = 0;
    const slow: Behavior = async ({ clock }, next) => {
      begun++;
      await new Promise<void>((resolve) => clock.after(300, resolve));
      return await next();
    };
    let ran = 0;
    const handlers = Do.handle(() => `${++ran}`, { behaviors: [timeout(50), slow] });
    for (const sender of ["client", "a"]) {
      await using cluster = new MemoryCluster();
      const { clock } = cluster;
      for (const id of ["a", "b"]) await cluster.start(id, { handlers });
      const client = sender === "a" ? cluster.apps.get("a")! : await cluster.start(sender, { handlers: [] });
      const began = clock.monotonic();
      const { error } = await clock.until(client.send(Do, undefined, { node: "a" }));
      assertEquals([error?.code, error?.retryable, begun, ran], ["UNAVAILABLE", true, 1, 0]);
      assertMatch(
        `${error?.message}`,
        /^command Do did not run.*: a schema or behavior before it had not ended in time$/,
      );
      assertLess(clock.monotonic() - began, 60);
      const anywhere = await clock.until(client.send(Do));
      assertEquals([anywhere.error?.code, begun], ["UNAVAILABLE", 2]);
      begun = 0;
    }
  });

  it("a handler that ignores ctx.signal gives the result of an idempotent command, which does not run twice", async () => {
    const Pay = command<void, string>("Pay", { idempotent: true });
    let runs = 0;
    const handlers = Pay.handle(async () => {
      await new Promise<void>((resolve) => clock.after(500, resolve));
      return `paid ${++runs}`;
    }, { behaviors: [timeout(100)] });
    const { app, clock } = localApp({ handlers });
    const first = await clock.until(app.send(Pay, undefined, { id: "p1" }));
    assertEquals([first.error?.code, clock.monotonic()], ["OUTCOME_UNKNOWN", 100]);
    assertEquals(await clock.until(app.send(Pay, undefined, { id: "p1" })), { ok: true, value: "paid 1" });
    assertEquals(clock.monotonic(), 500);
  });

  it("does nothing to a handler that ends in time", async () => {
    const timers: number[] = [];
    for (const behaviors of [[], [timeout(1)]]) {
      const { app, clock } = localApp({ handlers: Ask.handle(async () => await "in time", { behaviors }) });
      assertEquals(await app.send(Ask), { ok: true, value: "in time" });
      timers.push(clock.timers);
    }
    assertEquals(timers[0], timers[1]); // no timer is left behind
  });

  it("throws for an invalid time", () => {
    assertThrows(() => timeout(0), RangeError, "timeout: ms must be from 1 to 2147483647 ms; got 0");
    assertThrows(() => timeout("1" as never), TypeError, 'timeout: ms must be a number of ms; got "1"');
  });
});

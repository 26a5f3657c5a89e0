import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { command, query } from "../contract/declaration/definition.ts";
import { localApp } from "../../test/support/local_app.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { appClock } from "../ports/clock.ts";

describe("ctx.clock", () => {
  it("is the app's time: a handler's sleep passes on virtual time", async () => {
    const Brew = query<number, number[]>("Brew");
    const brew = Brew.handle(async (ms, ctx) => {
      const [wall, before] = [ctx.clock.now(), ctx.clock.monotonic()];
      await ctx.clock.sleep(ms);
      return [ctx.clock.now() - wall, ctx.clock.monotonic() - before];
    });
    const { app, clock } = localApp({ handlers: brew });
    assertEquals((await clock.until(app.send(Brew, 20_000))).value, [20_000, 20_000]);
  });

  it("sleep rejects with the reason of ctx.signal when the message ends first", async () => {
    const Brew = command<void, void>("Brew", { timeout: 50 });
    const ends = Promise.withResolvers<readonly [unknown, unknown, number]>();
    const brew = Brew.handle(async (_, ctx) => {
      const error = await ctx.clock.sleep(1_000).catch((reason) => reason);
      ends.resolve([error, ctx.signal.reason, ctx.clock.monotonic()]);
    });
    const { app, clock } = localApp({ handlers: brew });
    assertEquals((await clock.until(app.send(Brew))).error?.code, "OUTCOME_UNKNOWN");
    const [error, reason, at] = await ends.promise;
    assertStrictEquals(error, reason);
    assertEquals([at >= 50, at < 1_000], [true, true]);
  });

  it("sleep with a signal ends with whichever aborts first", async () => {
    const [run, own] = [new AbortController(), new AbortController()];
    const clock = appClock(new VirtualClock(), run);
    const [one, two] = [clock.sleep(100, own.signal), clock.sleep(100, new AbortController().signal)];
    own.abort(new Error("own"));
    await assertRejects(() => one, Error, "own");
    run.abort(new Error("the message"));
    await assertRejects(() => two, Error, "the message");
    await assertRejects(() => clock.sleep(100), Error, "the message");
  });

  it("after and soon call back on the app's time", async () => {
    const virtual = new VirtualClock();
    const clock = appClock(virtual, new AbortController());
    const calls: string[] = [];
    clock.after(100, () => calls.push("after"));
    clock.after(50, () => calls.push("cancelled")).cancel();
    clock.soon(() => calls.push("soon"));
    await virtual.advance(100);
    assertEquals(calls, ["soon", "after"]);
  });
});

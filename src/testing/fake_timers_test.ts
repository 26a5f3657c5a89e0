/**
 * Tests of apps beside the fake timers of test libraries: an app follows real time or virtual time, or does not
 * start.
 */
import { describe, it, mock } from "node:test";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { catga, command, unwrap } from "../../mod.ts";
import { OWN_RUNTIMES } from "../../test/processes/node_process.ts";
import { testCluster } from "./mod.ts";

const Wait = command<{ ms: number }, string>("Wait");
const wait = Wait.handle(async ({ ms }, ctx) => {
  await ctx.clock.sleep(ms);
  return "waited";
});
const FAKES = /^fake timers have replaced Date and setTimeout, and Catga does not follow them: test with virtual time/;

/**
 * The ways in which test libraries fake the time; each returns a function that moves the time. "all globals": those
 * that sinon and vitest replace.
 */
const LIBRARIES = {
  "@std/testing/time": () => {
    const time = new FakeTime();
    return { tick: (ms: number) => time.tick(ms), [Symbol.dispose]: () => time.restore() };
  },
  "node:test": () => {
    mock.timers.enable();
    return { tick: (ms: number) => mock.timers.tick(ms), [Symbol.dispose]: () => mock.timers.reset() };
  },
  "all globals": () => {
    const { Date, performance, setTimeout, setImmediate } = globalThis;
    let now = 0;
    const later = () => 0;
    Object.assign(globalThis, {
      Date: class extends Date {
        static override now = () => now;
      },
      performance: { now: () => now },
      setTimeout: later,
      setImmediate: later,
    });
    return {
      tick: (ms: number) => void (now += ms),
      [Symbol.dispose]: () => void Object.assign(globalThis, { Date, performance, setTimeout, setImmediate }),
    };
  },
};

for (const [library, fake] of Object.entries(LIBRARIES)) {
  describe(`under the fake timers of ${library}`, () => {
    it("an app does not start, and the error names virtual time", async () => {
      using _ = fake();
      const error = await assertRejects(() => catga({ handlers: wait }), TypeError);
      assertMatch(error.message, FAKES);
    });

    // Deno 2.9.6: while the timers of node:test are mocked, no timer of the process fires, not even an older one
    const stops = library === "node:test" && OWN_RUNTIMES[0] === "deno";
    it("an app that started before goes on in real time, whatever the fakes show", { skip: stops }, async () => {
      await using app = await catga({ handlers: wait });
      using time = fake();
      const waits = app.send(Wait, { ms: 300 }, { timeout: 60_000 });
      time.tick(3_600_000);
      assertEquals(unwrap(await waits), "waited");
      assertEquals((await app.send(Wait, { ms: 60_000 }, { timeout: 50 })).error?.code, "OUTCOME_UNKNOWN");
    });

    it("a cluster on virtual time runs as without them", { skip: stops }, async () => {
      using _ = fake();
      await using cluster = await testCluster(["a", "b"], { node: (id) => id === "b" ? { handlers: wait } : {} });
      const began = cluster.clock.monotonic();
      assertEquals(unwrap(await cluster.app("a").send(Wait, { ms: 20_000 })), "waited");
      assertEquals(cluster.clock.monotonic() - began >= 20_000, true);
    });

    it("once they are taken back, an app starts", async () => {
      fake()[Symbol.dispose]();
      await using app = await catga({ handlers: wait });
      assertEquals(unwrap(await app.send(Wait, { ms: 1 })), "waited");
    });
  });
}

describe("under the fake timers of bun:test", { skip: OWN_RUNTIMES[0] !== "bun" }, () => {
  it("an app follows: its timeouts come when the fakes are advanced", async () => {
    const name = "bun:test";
    const { jest } = await import(name);
    await using app = await catga({ handlers: wait });
    jest.useFakeTimers();
    try {
      const waits = app.send(Wait, { ms: 3_600_000 }, { timeout: 30_000 });
      jest.advanceTimersByTime(31_000);
      assertEquals((await waits).error?.code, "OUTCOME_UNKNOWN");
    } finally {
      jest.useRealTimers();
    }
  });
});

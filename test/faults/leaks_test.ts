/** Many messages, and messages that end in every way, leave nothing behind. */
import { assertEquals, assertLess } from "@std/assert";
import { getEventListeners } from "node:events";
import { describe, it } from "node:test";
import { catga, command, type Context, fail, query, unwrap } from "../../mod.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { BEFORE_RELEASE } from "../support/before_release.ts";
import { Flood } from "../processes/node_messages.ts";
import { FaultCluster, FLAT } from "../support/fault_cluster.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";

/**
 * So many that 20 bytes of each would show before a release, and 80 with each change: the last quarter of them may
 * leave {@link FLAT}.
 */
const MANY = BEFORE_RELEASE ? 400_000 : 100_000;

describe("memory, timers and listeners of messages", await requireNatsServer(), () => {
  for (const [from, to] of [["d1", "b1"], ["b1", "d1"]]) {
    it(`${MANY} with signal and timeout, ${from} to ${to}, leave nothing`, { timeout: 1_200_000 }, async () => {
      // Promise: a request that has ended leaves no listener on the caller's signal and nothing on the heap.
      await using cluster = await FaultCluster.open({ nodes: [from, to] });
      const { caller } = cluster;
      const began = performance.now();
      const flood = unwrap(await caller.send(Flood, { to, count: MANY }, { node: from, timeout: 1_100_000 }));
      const { failures, growth, listeners } = flood;
      console.log(
        `${from}: ${MANY} messages in ${Math.round(performance.now() - began)} ms; the heap grew by ` +
          `${growth.map((bytes) => Math.round(bytes / 1_024)).join(", ")} kB, by quarters`,
      );
      assertEquals({ failures, listeners }, { failures: 0, listeners: 0 });
      assertLess(growth[3], FLAT);
      await cluster.finish();
    });
  }

  it(
    "7,000 that end in seven ways leave no timer, no listener, and nothing in flight",
    { timeout: 1_200_000 },
    async () => {
      // Promise: however a message ends, its timers and listeners are removed.
      const Do = command<string, string>("Do");
      const Ask = query<string, string>("Ask");
      const Gone = query<void, string>("Gone");
      const handle = (how: string, { signal }: Context) => {
        if (how === "fail") return fail("ODD", "as it was told to");
        if (how === "throw") throw new Error("as it was told to");
        if (how === "answer") return "done";
        return new Promise<string>((_, reject) => {
          signal.addEventListener("abort", () => clock.after(20, () => reject(signal.reason)));
        });
      };
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock, seed: 1 });
      const logger = { debug() {}, info() {}, warn() {}, error() {} };
      const [app, node] = await clock.until(Promise.all([
        catga({ network, id: "app", logger }),
        catga({ network, id: "node", logger, handlers: [Do.handle(handle), Ask.handle(handle)] }),
      ]));
      await clock.advance(1_000);
      const idle = clock.timers;
      const { signal } = new AbortController();
      for (let round = 0; round < 10; round++) {
        const giveUp = new AbortController();
        const results = Promise.all(
          Array.from({ length: 100 }, () => [
            app.send(Do, "answer", { signal, timeout: 5_000 }),
            app.send(Do, "fail", { signal, timeout: 5_000 }),
            app.send(Ask, "throw", { signal, timeout: 5_000 }),
            app.send(Ask, "wait", { signal, timeout: 100 }),
            app.send(Do, "wait", { signal, timeout: 100 }),
            app.send(Ask, "wait", { signal: giveUp.signal, timeout: 5_000 }),
            app.send(Gone, undefined, { signal, timeout: 5_000 }),
          ]).flat(),
        );
        await clock.advance(200);
        giveUp.abort();
        const codes = new Set((await clock.until(results)).map(({ ok, error }) => ok ? "ok" : error.code));
        assertEquals(
          [...codes].sort(),
          ["CANCELLED", "HANDLER_FAILED", "NO_HANDLER", "ODD", "OUTCOME_UNKNOWN", "TIMEOUT", "ok"].sort(),
        );
        assertEquals(getEventListeners(giveUp.signal, "abort").length, 0);
      }
      await clock.advance(1_000);
      assertEquals(getEventListeners(signal, "abort").length, 0);
      assertEquals([app.self.load.inFlight, node.self.load.inFlight], [0, 0]);
      assertEquals(clock.timers, idle);
      await clock.until(Promise.all([app.drain(), node.drain()]));
      await clock.advance(1_000); // a ping's answer may still be waited for
      assertEquals(clock.timers, 0);
    },
  );
});

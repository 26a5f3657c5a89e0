/** Tests of keys on virtual time whose holders freeze, are cut off, or have a wall clock that jumps. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertInstanceOf } from "@std/assert";
import type { Clock } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { lockNode, memoryLockHarness, records, someone, waitInQueue } from "./lock_harness_suite.ts";

describe("a held key", () => {
  it("a frozen holder finds its signal aborted when it goes on, and cannot release the next holder's lock", async () => {
    await using h = memoryLockHarness();
    const [frozen, next, third] = [await h.node("frozen"), await h.node("next"), await h.node("third")];
    const late = await h.run(frozen.locks.lock("key", { ttl: 5_000 }, someone()));
    const reasons: unknown[] = [];
    late.signal.addEventListener("abort", () => reasons.push(late.signal.reason));
    const waiting = await waitInQueue(h, next);
    h.network.pause("frozen");
    const lock = await h.run(waiting.lock);
    assertGreater(lock.token, late.token);
    assert(late.signal.aborted, "who looks sees it at once");
    assertInstanceOf(late.signal.reason, CatgaError);
    assertEquals(late.signal.reason.code, "LOCK_LOST");
    h.network.resume("frozen");
    await h.run(late.release());
    assertEquals(reasons.length, 1);
    const taken = await h.run(third.locks.lock("key", { timeout: 0 }, someone()).catch((error) => error.code));
    assertEquals(taken, "LOCK_TIMEOUT");
    assertEquals(lock.signal.aborted, false);
    await h.run(lock.release());
    assertEquals(await records(h), []);
  });

  it("a holder that is cut off has its signal aborted before the next one has the lock", async () => {
    await using h = memoryLockHarness();
    const [away, next] = [await h.node("away"), await h.node("next")];
    const lost = await h.run(away.locks.lock("key", { ttl: 5_000 }, someone()));
    let abortedAt = 0;
    lost.signal.addEventListener("abort", () => abortedAt = h.clock.monotonic());
    const waiting = await waitInQueue(h, next);
    h.network.cut("away");
    const cut = h.clock.monotonic();
    const lock = await h.run(waiting.lock);
    const between = h.clock.monotonic() - abortedAt;
    assert(abortedAt > cut && between >= 900, `${between} ms between`);
    h.network.restore("away");
    await h.run(lost.release());
    await h.run(lock.release());
    assertEquals(await records(h), []);
  });

  it("a lock of 3 s is kept although the answer to a renewal is lost: it is tried again within the lease", async () => {
    await using h = memoryLockHarness();
    const holder = await h.node("holder");
    const lock = await h.run(holder.locks.lock("key", { ttl: 3_000 }, someone()));
    h.network.faults = { lostAck: 1 };
    await h.pass(1_200); // one renewal, a third of the lease after the lock was taken
    h.network.faults = {};
    await h.pass(6_000);
    assertEquals(lock.signal.aborted, false);
    await h.run(lock.release());
  });

  // docs/state.md, crash semantics, "one holder of a lock": own clock
  it("a signal aborts when the wall clock jumps past the ttl", async () => {
    const clock = new VirtualClock();
    let slept = 0;
    const jumping: Clock = {
      now: () => clock.now() + slept,
      monotonic: () => clock.monotonic(),
      after: (ms, callback) => clock.after(ms, callback),
      soon: (callback) => clock.soon(callback),
    };
    const network = new MemoryNetwork({ clock });
    const node = lockNode("sleeper", network.connect().store, jumping, seededRandom(1));
    const lock = await clock.until(node.locks.lock("key", { ttl: 10_000 }, someone()));
    await clock.advance(1_000);
    slept = 20_000;
    await clock.advance(300);
    assertEquals(lock.signal.reason?.code, "LOCK_LOST");
    await clock.until(node.locks.close());
  });
});

/** Locks when nodes freeze and die, answers get lost and clocks jump, on virtual time. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertInstanceOf } from "@std/assert";
import { type Clock, delay } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import type { Faults } from "../../memory/faults.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Lock } from "../../contract/shared_state.ts";
import {
  type LockNode,
  lockNode,
  type MemoryLockHarness,
  memoryLockHarness,
  records,
  someone,
} from "./lock_harness_suite.ts";

// Bun ends a test after 5 s
const slow = { timeout: 120_000 };

describe("locks of nodes that freeze and die", () => {
  /** The names of waiters, in the order in which they get the lock. */
  async function queue(h: MemoryLockHarness, node: LockNode, ttl = 5_000): Promise<{ lock: Promise<Lock> }> {
    const lock = node.locks.lock("key", { ttl, timeout: Infinity }, someone());
    lock.catch(() => {});
    await h.pass(50);
    return { lock };
  }

  it("a frozen holder finds its signal aborted when it goes on, and cannot release the next holder's lock", async () => {
    await using h = memoryLockHarness();
    const [frozen, next, third] = [await h.node("frozen"), await h.node("next"), await h.node("third")];
    const late = await h.run(frozen.locks.lock("key", { ttl: 5_000 }, someone()));
    const told: unknown[] = [];
    late.signal.addEventListener("abort", () => told.push(late.signal.reason));
    const waiting = await queue(h, next);
    h.network.pause("frozen");
    const lock = await h.run(waiting.lock);
    assertGreater(lock.token, late.token);
    assert(late.signal.aborted, "who looks sees it at once");
    assertInstanceOf(late.signal.reason, CatgaError);
    assertEquals(late.signal.reason.code, "LOCK_LOST");
    h.network.resume("frozen");
    await h.run(late.release());
    assertEquals(told.length, 1);
    const taken = await h.run(third.locks.lock("key", { timeout: 0 }, someone()).catch((error) => error.code));
    assertEquals(taken, "LOCK_TIMEOUT");
    assertEquals(lock.signal.aborted, false);
    await h.run(lock.release());
    assertEquals(await records(h), []);
  });

  it("a dead holder's lock goes to the oldest live waiter within ttl + 1.5 s", async () => {
    for (const dead of [["holder"], ["holder", "first"], ["holder", "first", "second"]]) {
      const h = memoryLockHarness();
      const nodes = new Map<string, LockNode>();
      for (const name of ["holder", "first", "second", "third"]) nodes.set(name, await h.node(name));
      await h.run(nodes.get("holder")!.locks.lock("key", { ttl: 5_000 }, someone()));
      const waiting = [];
      for (const name of ["first", "second", "third"]) waiting.push(await queue(h, nodes.get(name)!));
      const died = h.clock.now();
      for (const name of dead) h.network.kill(name);
      const lock = await h.run(Promise.race(waiting.map((each) => each.lock)));
      const took = h.clock.now() - died;
      assert(took <= 6_500, `${dead}: ${took} ms`);
      assertEquals(lock, await h.run(waiting[dead.length - 1].lock));
    }
  });

  it("a holder that is cut off has its signal aborted before the next one has the lock", async () => {
    await using h = memoryLockHarness();
    const [away, next] = [await h.node("away"), await h.node("next")];
    const lost = await h.run(away.locks.lock("key", { ttl: 5_000 }, someone()));
    let abortedAt = 0;
    lost.signal.addEventListener("abort", () => abortedAt = h.clock.monotonic());
    const waiting = await queue(h, next);
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

  it("a frozen waiter is passed over, and has its turn when it goes on", async () => {
    await using h = memoryLockHarness();
    const [holder, frozen, awake] = [await h.node("holder"), await h.node("frozen"), await h.node("awake")];
    const first = await h.run(holder.locks.lock("key", { ttl: 2_000 }, someone()));
    const [sleeping, waking] = [await queue(h, frozen, 2_000), await queue(h, awake, 2_000)];
    h.network.pause("frozen");
    await h.pass(5_000);
    await h.run(first.release());
    const second = await h.run(waking.lock);
    h.network.resume("frozen");
    await h.pass(1_000);
    await h.run(second.release());
    const third = await h.run(sleeping.lock);
    assertGreater(third.token, second.token);
    assertEquals(third.signal.aborted, false);
    await h.run(third.release());
    await h.until("no record to be left", async () => (await records(h)).length === 0);
  });

  it("a waiter that was handed the lock while it was frozen asks the store before its caller gets the lock", async () => {
    await using h = memoryLockHarness();
    const [holder, frozen, awake] = [await h.node("holder"), await h.node("frozen"), await h.node("awake")];
    const first = await h.run(holder.locks.lock("key", { ttl: 2_000 }, someone()));
    const [sleeping, waking] = [await queue(h, frozen, 2_000), await queue(h, awake, 2_000)];
    h.network.pause("frozen");
    await h.run(first.release()); // to who is frozen, whose place has not expired yet
    const second = await h.run(waking.lock);
    h.network.resume("frozen");
    let early: Lock | undefined;
    sleeping.lock.then((lock) => early = lock, () => {});
    await h.pass(1_000);
    assertEquals(early, undefined);
    assertEquals(second.signal.aborted, false);
    await h.run(second.release());
    await h.run((await h.run(sleeping.lock)).release());
  });

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

  it("10,000 released locks leave nothing behind", slow, async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    for (let i = 0; i < 100; i++) {
      const locking = Array.from({ length: 100 }, (_, j) => node.locks.lock(`key ${i * 100 + j}`, {}, someone()));
      const locks = await h.run(Promise.all(locking));
      await h.run(Promise.all(locks.map((lock) => lock.release())));
    }
    assertEquals(await records(h), []);
    assertEquals(node.writes.made, 20_000);
  });
});

describe("locks when answers of the store get lost", () => {
  it("no lock, renewal, handover or release loses to itself", slow, async () => {
    for (let seed = 1; seed <= 10; seed++) {
      await using h = memoryLockHarness({ seed });
      const node = await h.node("node");
      await h.run((await h.run(node.locks.lock("warm", {}, someone()))).release());
      h.network.faults = { lostAck: 0.2 };
      for (let i = 0; i < 10; i++) {
        const lock = await h.run(node.locks.lock("key", { ttl: 30_000, timeout: 60_000 }, someone()));
        const waiting = node.locks.lock("key", { ttl: 30_000, timeout: 60_000 }, someone());
        waiting.catch(() => {});
        await h.pass(30_000);
        assertEquals(lock.signal.aborted, false);
        await h.run(lock.release());
        const next = await h.run(waiting);
        assertGreater(next.token, lock.token);
        await h.run(next.release());
      }
      h.network.faults = {};
      await h.pass(60_000);
      assertEquals(await records(h), []);
    }
  });

  it("`timeout: 0` takes a free lock although the answer was lost", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    await h.run((await h.run(node.locks.lock("warm", {}, someone()))).release());
    h.network.faults = { lostAck: 1 };
    const locking = node.locks.lock("key", { timeout: 0 }, someone());
    await h.pass(100);
    h.network.faults = {};
    const lock = await h.run(locking);
    await h.run(lock.release());
    assertEquals(await records(h), []);
  });

  it("UNAVAILABLE: within the timeout when the store does not answer", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    h.network.cut("node");
    const begin = h.clock.monotonic();
    const error = await h.run(node.locks.lock("key", { timeout: 2_000 }, someone()).catch((thrown) => thrown));
    assertEquals(error.code, "UNAVAILABLE");
    assertEquals(h.clock.monotonic() - begin, 2_000);
    const atOnce = await h.run(node.locks.lock("key", { timeout: 0 }, someone()).catch((thrown) => thrown));
    assertEquals(atOnce.code, "UNAVAILABLE");
    h.network.restore("node");
    await h.run((await h.run(node.locks.lock("key", {}, someone()))).release());
    await h.pass(20_000);
    assertEquals(await records(h), []);
  });
});

describe("locks of a node that stops", () => {
  it("close: resolves in time when the store does not answer; the records expire", async () => {
    await using h = memoryLockHarness();
    const [away, next] = [await h.node("away"), await h.node("next")];
    const lock = await h.run(away.locks.lock("key", {}, someone()));
    const other = await h.run(next.locks.lock("other", {}, someone()));
    const waiting = away.locks.lock("other", {}, someone()).catch((error) => error.code);
    await h.pass(100);
    h.network.cut("away");
    const begin = h.clock.monotonic();
    await h.run(away.locks.close());
    assert(h.clock.monotonic() - begin < 2_000, `${h.clock.monotonic() - begin} ms`);
    assertEquals(await waiting, "CLOSED");
    assertEquals(lock.signal.reason.code, "LOCK_LOST");
    await h.run(other.release());
    await h.pass(21_000); // handed to who had gone, which nobody could know
    assertEquals(await records(h), []);
  });
});

describe("locks under all faults at once", () => {
  const kinds: Record<string, Faults> = {
    "delays": { delay: 300 },
    "lost answers": { lostAck: 0.05, delay: 50 },
    "cuts": { cut: { every: 8_000, lasts: 6_000 }, delay: 50 },
    "pauses": { pause: { every: 8_000, lasts: 8_000 }, delay: 50 },
    "a store that forgets": { lateExpiry: 0.5, revival: 0.2, lostAck: 0.02, delay: 50 },
    "everything": {
      lostAck: 0.03,
      lateExpiry: 0.2,
      revival: 0.05,
      delay: 100,
      cut: { every: 15_000, lasts: 5_000 },
      pause: { every: 15_000, lasts: 8_000 },
    },
  };
  for (const [kind, faults] of Object.entries(kinds)) {
    it(`${kind}: tokens grow, and no two holders of a key have signals that have not aborted`, slow, async () => {
      for (let seed = 1; seed <= 4; seed++) await mistreat(seed, faults);
    });
  }

  /** Four nodes take three keys for a while; rejects when a promise is broken. */
  async function mistreat(seed: number, faults: Faults): Promise<void> {
    const h = memoryLockHarness({ seed });
    const random = seededRandom(seed + 1_000);
    const keys = ["a", "b", "c"];
    const holders = new Map<string, Lock>();
    const tokens = new Map<string, number>();
    const wrong: string[] = [];
    let taken = 0;
    let over = false;
    const nodes = await Promise.all(["n1", "n2", "n3", "n4"].map((name) => h.node(name)));
    const work = async (node: LockNode) => {
      const clock = h.network.clockOf(node.name);
      while (!over) {
        await delay(clock, random() * 500);
        const key = keys[Math.floor(random() * keys.length)];
        const lock = await node.locks.lock(key, { ttl: 3_000, timeout: 20_000 }, someone()).catch((error) => {
          if (!["LOCK_TIMEOUT", "UNAVAILABLE", "LOCK_LOST"].includes(error.code)) wrong.push(String(error));
        });
        if (lock === undefined) continue;
        if (!lock.signal.aborted) {
          taken++;
          const other = holders.get(key);
          if (other !== undefined && !other.signal.aborted) wrong.push(`${key}: two holders`);
          if (lock.token <= (tokens.get(key) ?? 0)) wrong.push(`${key}: token ${lock.token} after ${tokens.get(key)}`);
          tokens.set(key, lock.token);
          holders.set(key, lock);
          await delay(clock, random() * 4_000);
          if (holders.get(key) === lock) holders.delete(key);
        }
        await lock.release();
      }
    };
    const working = nodes.flatMap((node) => [work(node), work(node)]);
    h.network.faults = faults;
    await h.pass(90_000);
    over = true;
    h.network.heal();
    await h.run(Promise.all(working));
    await h.pass(15_000);
    assertEquals(wrong, [], `seed ${seed}`);
    assertGreater(taken, 20);
    assertEquals((await records(h)).map((entry) => entry.key), [], `seed ${seed}`);
    await h[Symbol.asyncDispose]();
  }
});

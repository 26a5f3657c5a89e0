/** Tests of locks on virtual time: answers of the store get lost, nodes stop, and all faults come together. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertGreaterOrEqual, assertLess, assertMatch } from "@std/assert";
import { delay } from "../../ports/clock.ts";
import { BusyStore } from "../../../test/support/busy_store.ts";
import { interceptedBucket } from "../../../test/support/intercepted_bucket.ts";
import type { Faults } from "../../memory/faults.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { KeyValueStore } from "../../ports/key_value_store.ts";
import type { Lock } from "../../contract/calls/shared_state.ts";
import { LockManager } from "./lock_manager.ts";
import {
  type LockNode,
  lockNode,
  type MemoryLockHarness,
  memoryLockHarness,
  records,
  someone,
} from "./lock_harness_suite.ts";

// Timeout of these tests; the default in Bun is 5 s.
const slow = { timeout: 300_000 };

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

  it("`timeout: 0` leaves no record of its own behind when no answer came, also on a node that watches all records", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    await watchAll(h, node);
    h.network.faults = { lostAck: 1 };
    const failed = h.run(node.locks.lock("key", { timeout: 0, ttl: 60_000 }, someone()).catch(() => "failed"));
    assertEquals(await failed, "failed");
    h.network.faults = {};
    await h.pass(5_000);
    assertEquals(await records(h), []);
  });

  it("ends with UNAVAILABLE, not with LOCK_TIMEOUT by its own record, on a node that watches all records", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    await watchAll(h, node);
    h.network.faults = { lostAck: 1 };
    const error = await h.run(node.locks.lock("key", { timeout: 2_000 }, someone()).catch((thrown) => thrown));
    assertEquals([error.code, error.details.holder], ["UNAVAILABLE", undefined]);
    h.network.faults = {};
    await h.pass(20_000);
    assertEquals(await records(h), []);
  });

  it("a call that has given up leaves no record, though the store writes it seconds later", slow, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      await using h = memoryLockHarness({ seed });
      const node = await h.node("node");
      h.network.faults = { delay: 9_000 };
      const timeout = seed % 2 === 0 ? 0 : 2_000;
      const locking = node.locks.lock("key", { timeout, ttl: 60_000 }, someone());
      const lock = await h.run(locking.catch(() => undefined));
      h.network.faults = {};
      await h.pass(20_000);
      if (lock !== undefined) await h.run(lock.release());
      assertEquals(await records(h), [], `seed ${seed}`);
    }
  });

  it("a place in the queue that the store writes after its call has given up is removed: `timeout: 0` takes the lock", async () => {
    await using h = memoryLockHarness();
    const other = await h.node("other");
    const { node, written } = withheld(h, (method, key) => method === "create" && key.startsWith("w/"));
    try {
      const held = await h.run(other.locks.lock("key", { ttl: 60_000 }, someone()));
      const waiting = node.locks.lock("key", { timeout: 2_000 }, someone()).catch((error) => error.code);
      assertEquals(await h.run(waiting), "LOCK_TIMEOUT");
      await h.pass(5_000);
      await h.run(held.release());
      written.resolve();
      await h.pass(1_500);
      assertEquals((await records(h)).map(({ key }) => key), []);
      await h.run((await h.run(other.locks.lock("key", { timeout: 0 }, someone()))).release());
    } finally {
      await h.run(node.locks.close());
    }
  });

  it("a holder's record that the store writes after its call has given up is removed, also if a new watch lists it", async () => {
    await using h = memoryLockHarness();
    const { node, written } = withheld(
      h,
      (method, key) => method === "watch" || (method === "create" && key === "h/key"),
    );
    try {
      const locking = node.locks.lock("key", { timeout: 2_000, ttl: 60_000 }, someone()).catch((error) => error.code);
      assertEquals(await h.run(locking), "UNAVAILABLE");
      await h.pass(7_000);
      written.resolve();
      await h.pass(1_500);
      assertEquals((await records(h)).map(({ key }) => key), []);
    } finally {
      await h.run(node.locks.close());
    }
  });

  it("LOCK_TIMEOUT of several keys: within the timeout, though the release of those it has is not answered", async () => {
    await using h = memoryLockHarness();
    const [node, other] = [await h.node("node"), await h.node("other")];
    const held = await h.run(other.locks.lock("b", {}, someone()));
    const begin = h.clock.monotonic();
    const both = node.locks.lock(["a", "b"], { timeout: 1_000 }, someone()).catch((error) => error.code);
    await h.pass(900);
    h.network.faults = { lostAck: 1 };
    assertEquals([await h.run(both), h.clock.monotonic() - begin], ["LOCK_TIMEOUT", 1_000]);
    h.network.faults = {};
    await h.run(held.release());
    await h.pass(10_000);
    assertEquals(await records(h), []);
  });

  it("a call that finds its own record after the lease's end takes the lock with a few renewals", slow, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      await using h = memoryLockHarness({ seed });
      const node = await h.node("node");
      await h.run((await h.run(node.locks.lock("warm", {}, someone()))).release());
      h.network.faults = { lostAck: 1, lateExpiry: 1 };
      const locking = node.locks.lock("key", { ttl: 10_000, timeout: 60_000 }, someone());
      locking.catch(() => {});
      await h.pass(9_200); // 1 s before its ttl ends, a record is no lease any more
      h.network.faults = { delay: 1_000 };
      const lock = await h.run(locking);
      const renewals = node.writes.log.filter((write) => write.startsWith("update h/key"));
      assertLess(renewals.length, 5, `seed ${seed}`);
      h.network.faults = {};
      await h.run(lock.release());
      assertEquals(await records(h), []);
    }
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

describe("locks of a node that is frozen while it takes them", () => {
  for (const [lasts, kept] of [[1_200, "expired meanwhile"], [800, "is about to expire"]] as const) {
    it(`a lock whose record ${kept} is renewed or taken again before its caller gets it`, async () => {
      let frozen = 0;
      // each seed delays the answer by another time
      for (let seed = 1; seed <= 40; seed++) {
        await using h = memoryLockHarness({ seed });
        const node = await h.node("node");
        await h.run((await h.run(node.locks.lock("warm", {}, someone()))).release());
        h.network.faults = { delay: 100 };
        let hasAnswer = false;
        const locking = node.locks.lock("key", { ttl: 1_000, timeout: 60_000 }, someone());
        locking.then(() => hasAnswer = true, () => {});
        await h.until("the record to be stored", async () => (await records(h)).length === 1);
        h.network.pause("node");
        if (hasAnswer) continue;
        frozen++;
        await h.pass(lasts);
        h.network.resume("node");
        const lock = await h.run(locking);
        const got = h.clock.monotonic();
        let lost = Infinity;
        lock.signal.addEventListener("abort", () => lost = h.clock.monotonic());
        h.network.cut("node"); // without the network the lock is not renewed any more
        assertEquals(lock.signal.aborted, false);
        await h.pass(1_000);
        assertGreaterOrEqual(lost - got, 300);
        h.network.restore("node");
      }
      assertGreater(frozen, 10);
    });
  }
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
    // the lock is handed to a waiter that has gone, which no node could know; 21 s later its records have expired
    await h.pass(21_000);
    assertEquals(await records(h), []);
  });

  it("close: resolves in time when a lock's first write is not answered", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    await h.run((await h.run(node.locks.lock("warm", {}, someone()))).release());
    h.network.cut("node");
    const locking = node.locks.lock("key", {}, someone()).catch((error) => error.code);
    await h.pass(100);
    const begin = h.clock.monotonic();
    await h.run(node.locks.close());
    assertLess(h.clock.monotonic() - begin, 4_000);
    assertEquals(await locking, "CLOSED");
  });

  for (const givenUp of ["by its stop", "just before its stop"]) {
    it(`close: a key that is handed over late to a call given up ${givenUp} is released, though the watch has ended`, async () => {
      await using h = memoryLockHarness();
      const away = await h.node("away");
      const { node: holder, written } = withheld(h, (method, key) => method === "update" && key === "h/key");
      try {
        const held = await h.run(holder.locks.lock("key", { ttl: 60_000 }, someone()));
        const caller = new AbortController();
        const options = { ttl: 60_000, signal: caller.signal };
        const waiting = away.locks.lock("key", options, someone()).catch((error) => error.code);
        await h.until("a place in the queue", async () => (await records(h)).length === 2);
        const releasing = held.release();
        if (givenUp === "just before its stop") caller.abort();
        await h.pass(10);
        const closing = away.locks.close();
        assertMatch(await h.run(waiting), /^(CLOSED|CANCELLED)$/);
        await h.until("the end of the place", async () => (await records(h)).length === 1);
        await h.pass(20);
        written.resolve();
        await h.run(releasing);
        await h.run(closing);
        await h.pass(100);
        assertEquals((await records(h)).map(({ key }) => key), []);
      } finally {
        await h.run(holder.locks.close());
      }
    });
  }

  it("release: does not reject when the connection is closed before the answer", async () => {
    const clock = new VirtualClock();
    const connection = new MemoryNetwork({ clock, seed: 1 }).connect();
    const locks = new LockManager({
      bucket: () => connection.store.open("locks"),
      clock: connection.clock,
      random: () => 0.5,
      node: "n",
      endpoint: "n.1",
      observer: () => {},
    });
    const [own, lost] = await clock.until(Promise.all(["a", "b"].map((key) => locks.lock(key, {}, someone()))));
    const ended = Promise.all([own.release(), locks.close()]);
    void connection.close();
    await clock.until(ended);
    await clock.until(lost.release());
    assertEquals([own.signal.aborted, lost.signal.reason.code], [false, "LOCK_LOST"]);
  });
});

describe("locks under all faults at once", () => {
  const kinds: Record<string, Faults> = {
    "delays": { delay: 300 },
    "lost answers": { lostAck: 0.05, delay: 50 },
    "cuts": { cut: { every: 8_000, lasts: 6_000 }, delay: 50 },
    "pauses": { pause: { every: 8_000, lasts: 8_000 }, delay: 50 },
    "a store that forgets": { lateExpiry: 0.5, revival: 0.2, lostAck: 0.02, delay: 50 },
    "expiries that come late": { lateExpiry: 1, lateMarker: 1, delay: 100, pause: { every: 4_000, lasts: 4_000 } },
    "everything": {
      lostAck: 0.03,
      lateExpiry: 0.2,
      lateMarker: 0.5,
      revival: 0.05,
      delay: 100,
      cut: { every: 15_000, lasts: 5_000 },
      pause: { every: 15_000, lasts: 8_000 },
    },
  };
  for (const [kind, faults] of Object.entries(kinds)) {
    it(`${kind}: tokens grow, and no two holders of a key have signals that have not aborted`, slow, async () => {
      // "everything" by seed 97 and "pauses" by seed 234: a key comes back to a node that is still confirming it
      for (const seed of [1, 2, 3, 4, 97, 234]) await mistreat(seed, faults);
    });
  }

  /**
   * Lets four nodes take three keys for 90 s under faults. Rejects when a token does not grow, when two holders of a
   * key have signals that have not aborted, or when a record is left at the end.
   */
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

/**
 * Makes a node watch the records of all locks, as a node does while one of its calls waits for a lock, and for some
 * seconds after that.
 */
async function watchAll(h: MemoryLockHarness, node: LockNode): Promise<void> {
  const first = await h.run(node.locks.lock("warm", {}, someone()));
  const second = node.locks.lock("warm", {}, someone());
  await h.pass(100);
  await h.run(first.release());
  await h.run((await h.run(second)).release());
}

/**
 * Makes a node whose calls of the bucket that `isWithheld` names reach the store when `written` resolves, all in the
 * order in which they were made.
 */
function withheld(h: MemoryLockHarness, isWithheld: (method: string, key: string) => boolean) {
  const written = Promise.withResolvers<void>();
  const connection = h.network.connect({ name: "withheld" });
  const open: KeyValueStore["open"] = async (...args) => {
    const bucket = await connection.store.open(...args);
    return interceptedBucket(bucket, async (method, [key], make) => {
      if (isWithheld(method, key as string)) await written.promise; // cast: each method has the key, or a prefix, first
      return await make();
    });
  };
  return { node: lockNode("withheld", { open }, connection.clock, h.network.random), written };
}

describe("more locks at once than the store can take", () => {
  it("5,000 are all taken though the store takes 1 ms for each call (1,500 were)", slow, async () => {
    await using h = memoryLockHarness();
    const { store, clock } = h.network.connect({ name: "busy" });
    const busy = new BusyStore(store, clock, 1);
    const node = lockNode("busy", busy, clock, h.network.random);
    const take = async (key: string) => {
      const lock = await node.locks.lock(key, { timeout: 20_000 }, someone());
      await lock.release();
    };
    await h.run(Promise.all(Array.from({ length: 5_000 }, (_, i) => take(`key-${i}`))));
    // a record is written and removed for each, and none of them again
    assertEquals(busy.calls, 10_000);
    await h.run(node.locks.close());
  });

  it("those that give up while they wait have written nothing", slow, async () => {
    await using h = memoryLockHarness();
    const { store, clock } = h.network.connect({ name: "busy" });
    const busy = new BusyStore(store, clock, 100);
    const node = lockNode("busy", busy, clock, h.network.random);
    const take = (i: number) => node.locks.lock(`key-${i}`, { timeout: 1_000 }, someone());
    const all = await h.run(Promise.allSettled(Array.from({ length: 200 }, (_, i) => take(i))));
    const taken = all.flatMap((one) => one.status === "fulfilled" ? [one.value] : []);
    assertLess(taken.length, 20);
    await h.run(Promise.all(taken.map((lock) => lock.release())));
    await h.pass(60_000);
    // 64 are sent at once, and others as those are answered
    const sent = new Set(node.writes.log.filter((what) => what.startsWith("create")));
    assertLess(sent.size, 64 + 20);
    assertEquals(await records(h), []);
    await h.run(node.locks.close());
  });
});

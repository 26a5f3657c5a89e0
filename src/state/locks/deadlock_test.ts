import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { delay } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import type { Faults } from "../../memory/faults.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import type { Asker } from "../../dispatch/context_host.ts";
import type { Lock } from "../../contract/calls/shared_state.ts";
import { AnswerTimeouts } from "../store/answer_timeouts.ts";
import { DeadlockDetector, findCycle, type LockRecords, waitsByRun } from "./deadlock.ts";
import { asker, type LockNode, memoryLockHarness } from "./lock_harness_suite.ts";
import type { DeadlockEdge } from "./lock_error.ts";
import type { LockHost } from "./lock_host.ts";
import { LockKeys, type LockRecord, writeLockRecord } from "./lock_record.ts";
import type { SeenRecord, SeenWaiter } from "./lock_record_watch.ts";

describe("findCycle", () => {
  /**
   * Makes lock records from lines: "run > key" or "run < ancestor … > key" is a run that waits for a key, in the
   * order of the places in the queues; "run = key" is a run that holds a key.
   */
  function graph(...lines: string[]): LockRecords & { readonly all: SeenWaiter[] } {
    const holders = new Map<string, SeenRecord>();
    const all: SeenWaiter[] = [];
    for (const [i, line] of lines.entries()) {
      const record = (call: string, ...ancestry: string[]): LockRecord => {
        return { nonce: `${i}`, node: "n", endpoint: "n.0", call, ancestry, ttl: 1_000, since: 0 };
      };
      const [left, key] = line.split(/ [=>] /);
      const [call, ...ancestry] = left.split(" < ");
      if (line.includes(" = ")) holders.set(key, { record: record(call), revision: i });
      else all.push({ record: record(call, ...ancestry), revision: i, key, place: i });
    }
    return { all, holder: (key) => holders.get(key), waiters: () => all };
  }

  function victims(...lines: string[]): string[] {
    const waits = graph(...lines);
    const byRun = waitsByRun(waits);
    return waits.all.filter((waiter) => findCycle(waits, byRun, waiter)).map((waiter) => waiter.record.call);
  }

  it("finds no cycle in contention, however long the queue", () => {
    assertEquals(victims("a = x", "b > x", "c > x", "d = y", "a > y", "b > y"), []);
    assertEquals(victims("a = x", "b = y", "c = z", "b > x", "c > y", "d > z", "d > x"), []);
    assertEquals(victims("b > x", "a > y"), []);
  });

  it("makes the youngest waiter of a cycle its victim", () => {
    assertEquals(victims("a = x", "b = y", "a > y", "b > x"), ["b"]);
    assertEquals(victims("a = x", "b = y", "b > x", "a > y"), ["a"]);
    assertEquals(victims("a = x", "b = y", "c = z", "c > x", "a > y", "b > z"), ["b"]);
  });

  it("counts a run that waits for a nested run as waiting for what that one waits for", () => {
    assertEquals(victims("a = x", "child < a > x"), ["child"]);
    assertEquals(victims("a = x", "b = y", "child < a < root > y", "deep < leaf < b > x"), ["deep"]);
    assertEquals(victims("a = x", "b = y", "a > y", "b < elsewhere > z"), []);
  });

  it("finds a victim for each of two cycles through one run", () => {
    assertEquals(victims("a = x", "b = y", "c = z", "a > y", "a > z", "b > x", "c > x"), ["b", "c"]);
    assertEquals(victims("a = x", "b = y", "c = z", "b > x", "c > x", "a > y", "a > z"), ["a", "a"]);
  });

  it("agrees with a search of all paths on 2,000 random graphs", () => {
    const random = seededRandom(11);
    const pick = (many: number) => Math.floor(random() * many);
    let cycles = 0;
    for (let i = 0; i < 2_000; i++) {
      const lines = ["x", "y", "z", "u"].map((key) => `${pick(5)} = ${key}`);
      for (let j = pick(7); j > 0; j--) {
        const ancestors = random() < 0.3 ? ` < ${pick(5)}` : "";
        lines.push(`${pick(5)}${ancestors} > ${"xyzu"[pick(4)]}`);
      }
      const waits = graph(...lines);
      const byRun = waitsByRun(waits);
      for (const waiter of waits.all) {
        const found = findCycle(waits, byRun, waiter);
        assertEquals(found !== undefined, returns(waits, waiter, waiter, new Set()), lines.join("; "));
        if (found) cycles++;
      }
    }
    assertGreater(cycles, 500);
  });

  /**
   * Returns true if the waits lead from waiter `at` back to waiter `home`, over waiters whose place in the queue is
   * older than the place of `home`.
   */
  function returns(waits: LockRecords, home: SeenWaiter, at: SeenWaiter, seen: Set<SeenWaiter>): boolean {
    const holder = waits.holder(at.key)!.record.call;
    return [...waits.waiters()].some((next) => {
      if (next.record.call !== holder && !next.record.ancestry.includes(holder)) return false;
      if (next === home) return true;
      if (next.place > home.place || seen.has(next)) return false;
      return returns(waits, home, next, new Set([...seen, next]));
    });
  }
});

describe("DeadlockDetector", () => {
  it("fails no waiter of a cycle that the store does not show a second time, or whose holder here has let go", async () => {
    const h = memoryLockHarness();
    const bucket = await h.bucket();
    const keys = new LockKeys();
    const record = (nonce: string, call: string): LockRecord => {
      return { nonce, node: "n", endpoint: "n.0", call, ancestry: [], ttl: 1_000, since: 0 };
    };
    const holders = new Map([["x", { ...record("1", "a"), endpoint: "here.0" }], ["y", record("2", "b")]]);
    const waiters = [
      { key: "y", place: 3, revision: 3, record: record("3", "a") },
      { key: "x", place: 4, revision: 4, record: record("4", "b") },
    ];
    const failed: string[] = [];
    let isHeld = false;
    let answers = true;
    let silences = 0;
    const unavailable = () => new CatgaError("UNAVAILABLE", `no answer ${++silences}`, { retryable: true });
    const host = {
      ...{ clock: h.clock, keys, endpoint: "here.0" },
      answers: new AnswerTimeouts(h.clock),
      bucket: () => answers ? Promise.resolve(bucket) : Promise.reject(unavailable()),
      holds: () => isHeld,
      background: (_: string, work: Promise<unknown>) => void work.catch((error) => failed.push(String(error))),
      // cast: the only members of a host that the detector reads
    } as unknown as LockHost;
    const detector = new DeadlockDetector(host, {
      view: () => ({ holder: (key) => ({ record: holders.get(key)!, revision: 1 }), waiters: () => waiters }),
      isOwn: () => failed.length === 0,
      fail: (nonce) => void failed.push(nonce),
    });
    const write = (key: string, what: LockRecord) => h.run(bucket.put(key, writeLockRecord(what)));
    await write(keys.holder("x"), holders.get("x")!);
    await write(keys.holder("y"), record("other", "c"));
    for (const { key, record } of waiters) await write(keys.waiter(key, record.nonce), record);
    detector.recordsChanged();
    await h.pass(1_000);
    assertEquals(failed, []);
    await write(keys.holder("y"), holders.get("y")!);
    await h.pass(1_000);
    assertEquals(failed, []);
    isHeld = true;
    answers = false;
    await h.pass(1_000);
    assertGreater(silences, 1);
    assertEquals(failed, []);
    answers = true;
    await h.pass(1_000);
    assertEquals(failed, ["4"]);
    detector.close();
  });
});

describe("deadlocks of a cluster", () => {
  // Timeout of these tests; the default in Bun is 5 s.
  const slow = { timeout: 300_000 };

  it("are never found among 40 runs that take their locks in one order", slow, async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const { deadlocks, done } = await contend(seed, { ordered: true });
      assertEquals(deadlocks, 0);
      assertGreater(done, 100);
    }
  });

  it(
    "are found among runs that take locks in any order; none waits forever, and every reported cycle is one",
    slow,
    async () => {
      for (let seed = 1; seed <= 3; seed++) {
        const { deadlocks, done } = await contend(seed, { ordered: false });
        assertGreater(deadlocks, 10);
        assertGreater(done, 100);
      }
    },
  );

  it("are found over slow links too, and not among runs that take their locks in one order", slow, async () => {
    assertEquals((await contend(4, { ordered: true, faults: { delay: 100 } })).deadlocks, 0);
    assertGreater((await contend(5, { ordered: false, faults: { delay: 100 } })).deadlocks, 5);
  });

  /**
   * Lets runs on four nodes take two or three of twelve keys for a minute, some in handlers of other runs, and
   * compares every deadlock with a model.
   */
  async function contend(
    seed: number,
    { ordered, faults = {} }: { ordered: boolean; faults?: Faults },
  ): Promise<{ deadlocks: number; done: number }> {
    await using h = memoryLockHarness({ seed });
    const random = seededRandom(seed);
    const keys = Array.from({ length: 12 }, (_, i) => `key ${String(i).padStart(2, "0")}`);
    /**
     * The model. `waiting`: for each run the keys that the run, or a run below it, waits for. `holding`: the run that
     * holds a key. `failed`: when a run failed.
     */
    const waiting = new Map<string, Set<string>>();
    const holding = new Map<string, string>();
    const failed = new Map<string, number>();
    let deadlocks = 0;
    let done = 0;
    let over = false;

    const check = (edges: readonly DeadlockEdge[]) => {
      for (const { call, waitsFor, heldBy } of edges) {
        // the run may have failed as the victim of another cycle that was found at the same time: then it no longer
        // waits
        if (h.clock.now() - (failed.get(call) ?? -Infinity) < 500) continue;
        assert(waiting.get(call)?.has(waitsFor), `${call} does not wait for ${waitsFor}`);
        assertEquals(holding.get(waitsFor), heldBy.call);
      }
      for (const [i, { heldBy }] of edges.entries()) {
        const next = edges[(i + 1) % edges.length].call;
        assert(next === heldBy.call || next.startsWith(`${heldBy.call}/`), `${heldBy.call} does not wait as ${next}`);
      }
    };
    const lock = async (node: LockNode, key: string, who: Asker): Promise<Lock> => {
      waiting.set(who.call, new Set([...waiting.get(who.call) ?? [], key]));
      try {
        const lock = await node.locks.lock(key, { timeout: 50_000 }, who);
        holding.set(key, who.call);
        return lock;
      } catch (error) {
        if ((error as CatgaError).code !== "DEADLOCK") throw error;
        failed.set(who.call, h.clock.now());
        check(((error as CatgaError).details as { cycle: DeadlockEdge[] }).cycle);
        throw error;
      } finally {
        waiting.get(who.call)!.delete(key);
      }
    };
    const nodes = await Promise.all(["n1", "n2", "n3", "n4"].map((name) => h.node(name)));
    h.network.faults = faults;
    const run = async (call: string) => {
      const some = keys.toSorted(() => random() - 0.5).slice(0, 2 + Math.floor(random() * 2));
      if (ordered) some.sort();
      const held: Lock[] = [];
      const holds: string[] = [];
      let who = asker(call);
      try {
        for (const key of some) {
          held.push(await lock(nodes[Math.floor(random() * 4)], key, who));
          holds.push(key);
          await delay(h.clock, random() * 200);
          // the next key is taken by a nested run, a handler that the run has called
          if (random() < 0.3) who = { call: `${who.call}/child`, ancestry: [...who.ancestry, who.call] };
        }
        done++;
      } catch (error) {
        if ((error as CatgaError).code !== "DEADLOCK") throw error;
        deadlocks++;
      } finally {
        for (const key of holds) holding.delete(key);
        await Promise.all(held.map((each) => each.release()));
      }
    };
    const worker = async (i: number) => {
      for (let n = 0; !over; n++) await run(`run ${i}.${n}`);
    };
    const working = Promise.all(Array.from({ length: 40 }, (_, i) => worker(i)));
    working.catch(() => {});
    await h.pass(60_000);
    over = true;
    await h.run(working);
    return { deadlocks, done };
  }
});

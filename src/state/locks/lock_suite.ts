/** Tests of locks, for every implementation of a key-value store. */
import { after, before, describe, it } from "node:test";
import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { systemClock } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import type { Lock, LockOptions } from "../../contract/calls/shared_state.ts";
import { asker, assertWithin, type LockHarness, type LockNode, records, someone } from "./lock_harness_suite.ts";
import { MAX_LOCK_KEY } from "../../ports/key_value_store.ts";

/** Declares the tests of locks. All tests use the same nodes. */
export function lockSuite(name: string, start: () => Promise<LockHarness>): void {
  // Timeout of these tests; the default in Bun is 5 s.
  const slow = { timeout: 300_000 };

  describe(`locks on ${name}`, () => {
    let h: LockHarness;
    let [red, blue, green]: LockNode[] = [];
    before(async () => {
      h = await start();
      [red, blue, green] = await Promise.all(["red", "blue", "green"].map((each) => h.node(each)));
    });
    after(() => h[Symbol.asyncDispose]());

    const take = (node: LockNode, key: string | string[], options: LockOptions = {}, who = someone()): Promise<Lock> =>
      h.run(node.locks.lock(key, options, who));
    const fails = async (code: string, locking: Promise<Lock>): Promise<CatgaError> => {
      const error = await h.run(locking.then(() => undefined, (thrown) => thrown));
      assertInstanceOf(error, CatgaError);
      assertEquals(error.code, code);
      return error;
    };
    const empty = () => h.until("no record to be left", async () => (await records(h)).length === 0);
    /** Makes a node wait for a lock, and resolves when its place in the queue is written. */
    const queue = async (node: LockNode, key: string, options: LockOptions = {}, who = someone()) => {
      const places = async () =>
        (await records(h)).map((entry) => entry.key).filter((each) => each.startsWith(`w/${key}/`));
      // the places before this wait; a place that a waiter gave up may be removed meanwhile
      const before = new Set(await places());
      const waiting = node.locks.lock(key, options, who);
      waiting.catch(() => {});
      await h.until("a place in the queue", async () => (await places()).some((each) => !before.has(each)));
      return { lock: waiting };
    };

    it("lock: has a token and a signal; its release leaves no record behind", async () => {
      const lock = await take(red, "one");
      assert(Number.isSafeInteger(lock.token));
      assertEquals(lock.signal.aborted, false);
      await h.run(lock.release());
      assertEquals(await records(h), []);
    });

    it("lock: a text under the holder's key that is no record of any version is removed", async () => {
      const bucket = await h.bucket();
      const junk = '{"type":"io.nats.jetstream.api.v1.stream_info_response","error":{"code":404}}';
      await h.run(bucket.put("h/junk", junk));
      const lock = await take(red, "junk", { timeout: 0 });
      const waits = await queue(blue, "junk");
      await h.run(bucket.put("h/junk", "no JSON"));
      await h.run((await h.run(waits.lock)).release());
      await h.run(lock.release());
      await h.run(bucket.put("h/junk", '{"nonce":"n1"}'));
      await h.run((await take(green, "junk", { timeout: 0 })).release());
      await empty();
    });

    it("lock: costs two writes without contention", async () => {
      await h.run((await take(red, "warm")).release());
      red.writes.log.length = 0;
      await h.run((await take(red, "cheap")).release());
      assertEquals(red.writes.log, ["create h/cheap", "delete h/cheap"]);
    });

    it("lock: `await using` releases it", async () => {
      const released = async () => {
        await using lock = await red.locks.lock("using", {}, someone());
        return lock.token;
      };
      const token = await h.run(released());
      const next = await take(blue, "using", { timeout: 0 });
      assertGreater(next.token, token);
      await h.run(next.release());
    });

    it("lock: one node at a time holds a key, and each next holder has a greater token", async () => {
      let holders = 0;
      const tokens: number[] = [];
      const work = async (node: LockNode) => {
        for (let i = 0; i < 5; i++) {
          await using lock = await node.locks.lock("shared", {}, someone());
          assertEquals(++holders, 1);
          tokens.push(lock.token);
          await Promise.resolve();
          holders--;
        }
      };
      await h.run(Promise.all([red, blue, green].flatMap((node) => [work(node), work(node)])));
      assertEquals(tokens.length, 30);
      assertEquals(tokens, tokens.toSorted((a, b) => a - b));
      await empty();
    });

    it("release: is idempotent, and hands the key over to a waiter", async () => {
      const first = await take(red, "next");
      const waiting = await queue(blue, "next");
      await h.run(Promise.all([first.release(), first.release(), first[Symbol.asyncDispose]()]));
      const second = await h.run(waiting.lock);
      assertGreater(second.token, first.token);
      await h.run(first.release());
      const error = await fails("LOCK_TIMEOUT", green.locks.lock("next", { timeout: 0 }, someone()));
      assertStringIncludes(error.message, "node blue");
      await h.run(second.release());
      await empty();
    });

    it("LOCK_TIMEOUT: `timeout: 0` does not wait; the error names the holder, and since when it holds the lock", async () => {
      const lock = await take(red, "taken");
      const begin = h.clock.monotonic();
      const error = await fails("LOCK_TIMEOUT", blue.locks.lock("taken", { timeout: 0 }, someone()));
      assertWithin(h, 500, begin);
      assert(/"taken" is taken: node red has held it for [\d,]+ ms/.test(error.message), error.message);
      await h.run(lock.release());
      await h.run((await take(blue, "taken", { timeout: 0 })).release());
      await empty();
    });

    it("LOCK_TIMEOUT: after `timeout`; the place in the queue is removed", async () => {
      const lock = await take(red, "slow");
      const begin = h.clock.monotonic();
      const error = await fails("LOCK_TIMEOUT", blue.locks.lock("slow", { timeout: 1_000 }, someone()));
      assertGreaterOrEqual(h.clock.monotonic() - begin, 999);
      assertWithin(h, 1_500, begin);
      assertEquals((error.details as { key: string }).key, "slow");
      await h.run(lock.release());
      await empty();
    });

    it("CANCELLED: the caller's signal aborts; its reason is the cause", async () => {
      const lock = await take(red, "given up");
      const stop = new AbortController();
      const waiting = await queue(blue, "given up", { signal: stop.signal });
      stop.abort("bored");
      assertEquals((await fails("CANCELLED", waiting.lock)).cause, "bored");
      await fails("CANCELLED", blue.locks.lock("given up", { signal: stop.signal }, someone()));
      await h.run(lock.release());
      await empty();
    });

    it("a waiter that gives up while the lock is handed over to it passes it to the next one", async () => {
      for (let turns = 0; turns < 12; turns++) {
        const lock = await take(red, "hot");
        const stop = new AbortController();
        const leaving = await queue(blue, "hot", { signal: stop.signal });
        const staying = await queue(green, "hot");
        const releasing = lock.release();
        for (let i = 0; i < turns; i++) await new Promise((resolve) => setTimeout(resolve));
        stop.abort();
        const left = await h.run(leaving.lock.then((lock) => lock.release(), () => {}));
        assertEquals(left, undefined);
        await h.run(Promise.all([releasing, staying.lock.then((lock) => lock.release())]));
      }
      await empty();
    });

    it("several keys: are taken in sorted order, each once, all or none", async () => {
      const both = await take(red, ["b", "a", "b"]);
      assertEquals((await records(h)).map((entry) => entry.key).sort(), ["h/a", "h/b"]);
      await fails("LOCK_TIMEOUT", blue.locks.lock(["0", "b"], { timeout: 0 }, someone()));
      await h.until("0 to be free", async () => !(await records(h)).some((entry) => entry.key === "h/0"));
      const waiting = blue.locks.lock(["c", "b", "0"], {}, someone());
      await h.run(both.release());
      const three = await h.run(waiting);
      assertGreater(three.token, both.token);
      await h.run(three.release());
      const one = await take(green, "0", { timeout: 0 });
      assertGreater(one.token, three.token);
      await h.run(one.release());
      await empty();
    });

    it("keys: of any characters are different locks", slow, async () => {
      const parts = ["", "a", "/", ".", "*", ">", " ", "é", "👩‍👧", "\n", "h/", "w/", "%", "=", "你"];
      const keys = parts.flatMap((left) => parts.map((right) => left + right));
      const distinct = [...new Set([...keys, "k".repeat(1_000), "a/b/c", "x".repeat(MAX_LOCK_KEY)])];
      const locks = await h.run(
        Promise.all(distinct.map((key) => red.locks.lock(key, { timeout: 0 }, someone()))),
      );
      assertEquals((await records(h)).length, distinct.length);
      await h.run(Promise.all(locks.map((lock) => lock.release())));
      assertEquals(await records(h), []);
    });

    it("keys: a waiter of a key does not wait for a key that begins with it", async () => {
      const [short, long] = [await take(red, "a"), await take(red, "a/b")];
      const waiting = await queue(blue, "a/b");
      await h.run(short.release());
      assertEquals((await records(h)).map((entry) => entry.key.slice(0, 6)).sort(), ["h/a/b", "w/a/b/"]);
      await h.run(long.release());
      await h.run((await h.run(waiting.lock)).release());
      await empty();
    });

    it("misuse: throws an error that shows the value", async () => {
      const locking = (key: string | string[], options?: LockOptions) => () =>
        red.locks.lock(key, options ?? {}, someone());
      const nothing = undefined as unknown as string;
      assertStringIncludes((await assertRejects(locking(nothing), TypeError)).message, "got undefined");
      assertStringIncludes(
        (await assertRejects(locking("k", { ttl: 999 }), RangeError)).message,
        "lock: ttl must be from 1000",
      );
      assertStringIncludes((await assertRejects(locking("k", { timeout: -1 }), RangeError)).message, "-1");
      assertStringIncludes((await assertRejects(locking("k".repeat(5_000)), RangeError)).message, "5000");
      await assertRejects(locking("half \ud83d"), TypeError);
      await assertRejects(locking([]), TypeError);
    });

    it("ttl: the longest that it takes", async () => {
      await h.run((await h.run(red.locks.lock("k", { ttl: Number.MAX_SAFE_INTEGER }, someone()))).release());
      await empty();
    });

    it("ttl: a lock that is held longer is renewed", slow, async () => {
      // a busy machine may stand still for seconds, so a real server gets a long ttl; the store's tests show that a
      // renewal prolongs an entry
      const virtual = h.clock !== systemClock;
      const ttl = virtual ? 2_000 : 9_000;
      const lock = await take(red, "long", { ttl });
      const waiting = await queue(blue, "long", { ttl });
      const [made, began] = [red.writes.made, h.clock.monotonic()];
      const held = virtual ? 1.5 * ttl : 0;
      await h.until("renewals", () => red.writes.made > made && h.clock.monotonic() > began + held);
      assertEquals(lock.signal.aborted, false);
      assertEquals((await records(h)).map((entry) => entry.key.slice(0, 7)).sort(), ["h/long", "w/long/"]);
      await h.run(lock.release());
      await h.run((await h.run(waiting.lock)).release());
      await empty();
    });

    it(
      "LOCK_LOST: a holder whose record is another's stops at once, and cannot release that one's lock",
      slow,
      async () => {
        const bucket = await h.bucket();
        const late = await take(red, "lost", { ttl: 1_000 });
        await h.run(bucket.delete("h/lost"));
        const other = await take(blue, "lost");
        await h.until("the signal", () => late.signal.aborted);
        assertInstanceOf(late.signal.reason, CatgaError);
        assertEquals(late.signal.reason.code, "LOCK_LOST");
        assertStringIncludes(late.signal.reason.message, '"lost"');
        await h.run(late.release());
        await fails("LOCK_TIMEOUT", green.locks.lock("lost", { timeout: 0 }, someone()));
        await h.run(other.release());
        await empty();
      },
    );

    it("release: a late holder cannot release another's lock", async () => {
      const bucket = await h.bucket();
      const late = await take(red, "late");
      await h.run(bucket.delete("h/late"));
      const other = await take(blue, "late");
      await h.run(late.release());
      await fails("LOCK_TIMEOUT", green.locks.lock("late", { timeout: 0 }, someone()));
      await h.run(other.release());
      await empty();
    });

    it("100 waiters: none is overtaken, and each costs three writes", slow, async () => {
      const nodes = [red, blue, green];
      const first = await take(red, "popular");
      const before = nodes.map(({ writes }) => ({ ...writes, lines: writes.log.length }));
      const began = h.clock.monotonic();
      const order: number[] = [];
      const tokens: number[] = [];
      const waiting: Promise<void>[] = [];
      for (let i = 0; i < 100; i++) {
        const { lock: locking } = await queue(nodes[i % 3], "popular", { timeout: 120_000 });
        waiting.push((async () => {
          const lock = await locking;
          order.push(i);
          tokens.push(lock.token);
          await lock.release();
        })());
      }
      await h.run(first.release());
      await h.run(Promise.all(waiting));
      assertEquals(order, Array.from({ length: 100 }, (_, i) => i));
      assertEquals(tokens, tokens.toSorted((a, b) => a - b));
      await empty();
      const made = nodes.map(({ writes }, i) => writes.made - before[i].made).reduce((a, b) => a + b);
      const lines = nodes.flatMap(({ writes }, i) => writes.log.slice(before[i].lines));
      // two kinds of renewals are not counted: of places in the queue, and of the lock if the test took longer
      const renewals = lines.filter((line) => line.startsWith("update w/")).length +
        Math.floor((h.clock.monotonic() - began) / 3_000);
      assert(made - renewals <= 3 * 101, `${made} writes, ${renewals} of them renewals`);
      const lost = nodes.map(({ writes }, i) => writes.lost - before[i].lost).reduce((a, b) => a + b);
      // a node whose watch has not shown the waiters yet tries to take the lock itself, and loses: two others at each
      // release, if all watches are late
      assert(lost <= (h.clock === systemClock ? 2 * 101 : 10), `${lost} writes came too late`);
    });

    it("close: waiting calls get CLOSED; held locks are handed over, their signals aborted", async () => {
      const leaving = await h.node("leaving");
      const lock = await take(leaving, "left");
      const [elsewhere, here] = [await queue(red, "left"), await queue(leaving, "left")];
      const gone = assertRejects(() => here.lock, CatgaError);
      await h.run(leaving.locks.close());
      assertEquals((await h.run(gone)).code, "CLOSED");
      assertEquals(lock.signal.reason.code, "LOCK_LOST");
      await h.run((await h.run(elsewhere.lock)).release());
      await fails("CLOSED", leaving.locks.lock("left", {}, someone()));
      await empty();
      assertEquals(leaving.observed.filter(({ type }) => type !== "lock-wait"), []);
    });

    it("DEADLOCK: a run takes a key that it holds itself, or that a run above it holds", async () => {
      const lock = await take(red, "mine", {}, asker("parent"));
      const begin = h.clock.monotonic();
      const again = await fails("DEADLOCK", red.locks.lock("mine", {}, asker("parent")));
      assertStringIncludes(again.message, "cannot be taken twice");
      const child = await fails("DEADLOCK", blue.locks.lock("mine", {}, asker("child", "grandparent", "parent")));
      assertStringIncludes(child.message, "parent on node red holds it, and waits for child to end");
      assertWithin(h, 500, begin);
      await h.run(lock.release());
      await empty();
    });

    it("DEADLOCK: of two runs that wait for each other the younger waiter fails within a second, with the cycle", async () => {
      const [tea, milk] = [
        await take(red, "tea", {}, asker("brew")),
        await take(blue, "milk", {}, asker("pour")),
      ];
      const older = await queue(red, "milk", {}, asker("brew"));
      const begin = h.clock.monotonic();
      const error = await fails("DEADLOCK", blue.locks.lock("tea", {}, asker("pour")));
      assertWithin(h, 1_000, begin);
      assertEquals(error.details, {
        key: "tea",
        cycle: [
          { call: "pour", node: "blue", waitsFor: "tea", heldBy: { call: "brew", node: "red" } },
          { call: "brew", node: "red", waitsFor: "milk", heldBy: { call: "pour", node: "blue" } },
        ],
      });
      await h.run(milk.release());
      await h.run((await h.run(older.lock)).release());
      await h.run(tea.release());
      await empty();
    });

    it("DEADLOCK: a cycle over three nodes and nested runs has one victim", async () => {
      const nodes = [red, blue, green];
      const held: Lock[] = [];
      for (const [i, node] of nodes.entries()) held.push(await take(node, `ring${i}`, {}, asker(`top${i}`)));
      // the nested run of each node waits for a key that the next node's outermost run holds
      const who = (i: number) => asker(`bottom${i}`, `top${i}`, `middle${i}`);
      const first = await queue(red, "ring1", {}, who(0));
      const second = await queue(blue, "ring2", {}, who(1));
      const error = await fails("DEADLOCK", green.locks.lock("ring0", {}, who(2)));
      assertEquals((error.details as { cycle: unknown[] }).cycle.length, 3);
      for (const lock of held.toReversed()) await h.run(lock.release());
      for (const { lock } of [first, second]) await h.run((await h.run(lock)).release());
      await empty();
    });
  });
}

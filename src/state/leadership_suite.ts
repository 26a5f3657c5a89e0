/** Tests of leadership, for every implementation of a key-value store. */
import { after, before, describe, it } from "node:test";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { CatgaError } from "../error.ts";
import type { Observation } from "../contract/nodes/observer.ts";
import { Leadership } from "./leadership.ts";
import { assertWithin, type LockHarness, records } from "./locks/lock_harness_suite.ts";
import type { LockManager } from "./locks/lock_manager.ts";

/** A node that may lead, and what it has observed. */
export interface LeadNode {
  readonly leadership: Leadership;
  readonly locks: LockManager;
  readonly observed: Observation[];
}

/** Adds a node to the lock harness; its locks are those of leaderships. */
export async function leadNode(h: LockHarness, name: string): Promise<LeadNode> {
  const { locks } = await h.node(name, { space: "leader-" });
  const observed: Observation[] = [];
  const leadership = new Leadership({
    locks,
    clock: h.clock,
    endpoint: `${name}.0`,
    observer: (seen) => observed.push(seen),
  });
  return { leadership, locks, observed };
}

/** Work of a leader that ends when the signal aborts: rejects with the signal's reason. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

/** Declares the tests of leadership. */
export function leaderSuite(name: string, start: () => Promise<LockHarness>): void {
  // Timeout of these tests; the default in Bun is 5 s.
  const slow = { timeout: 300_000 };

  describe(`leadership on ${name}`, () => {
    let h: LockHarness;
    let red: LeadNode;
    let blue: LeadNode;
    before(async () => {
      h = await start();
      [red, blue] = [await leadNode(h, "red"), await leadNode(h, "blue")];
    });
    after(() => h[Symbol.asyncDispose]());

    it("lead: one node leads at a time; when it resigns, another leads at once", async () => {
      const log: string[] = [];
      const lead = (who: string) => async (signal: AbortSignal) => {
        log.push(`${who} leads`);
        await untilAborted(signal).finally(() => log.push(`${who} ends: ${(signal.reason as CatgaError).code}`));
      };
      const first = red.leadership.lead("billing", lead("red"));
      await h.until("red to lead", () => first.leading);
      const second = blue.leadership.lead("billing", lead("blue"));
      await h.until("blue to wait", async () => (await records(h)).length === 2);
      assertEquals(second.leading, false);
      const begin = h.clock.monotonic();
      await h.run(first[Symbol.asyncDispose]());
      await h.until("blue to lead", () => second.leading);
      assertWithin(h, 500, begin);
      assertEquals(first.leading, false);
      await h.run(second[Symbol.asyncDispose]());
      assertEquals(log, ["red leads", "red ends: CLOSED", "blue leads", "blue ends: CLOSED"]);
      await h.until("no record to be left", async () => (await records(h)).length === 0);
    });

    it("lead: a function that returns lets others lead, and runs again after them", slow, async () => {
      const log: string[] = [];
      const turn = (who: string) => () => void log.push(who);
      const first = red.leadership.lead("turns", turn("red"));
      await h.until("red to have led", () => log.length === 1);
      const second = blue.leadership.lead("turns", turn("blue"));
      await h.until("four turns", () => log.length >= 4, 10_000);
      assertEquals(new Set(log), new Set(["red", "blue"]));
      await h.run(Promise.all([first, second].map((term) => term.resign())));
    });

    it("lead: what the function throws is observed, and it runs again", slow, async () => {
      let runs = 0;
      const term = red.leadership.lead("fragile", () => {
        if (++runs === 1) throw new Error("slipped");
      });
      await h.until("a second run", () => runs === 2, 10_000);
      await h.run(term.resign());
      const [fault] = red.observed.filter((seen) => seen.type === "fault");
      assertEquals(fault.during, 'leading "fragile"');
      assertEquals((fault.error as Error).message, "slipped");
    });

    it("lead: a lost lock aborts the signal with LOCK_LOST, and the node waits for it again", slow, async () => {
      const reasons: unknown[] = [];
      const term = red.leadership.lead("lost", async (signal) => {
        await untilAborted(signal).finally(() => reasons.push(signal.reason.code));
      }, { ttl: 1_000 });
      await h.until("red to lead", () => term.leading);
      await h.run((await h.bucket()).delete("leader-h/lost"));
      await h.until("the loss", () => reasons.length === 1);
      assertEquals(reasons, ["LOCK_LOST"]);
      await h.until("red to lead again", () => term.leading);
      await h.run(term.resign());
    });

    it(
      "lead: a function that does not end is observed a ttl after its signal (a drain waited and nothing said why)",
      slow,
      async () => {
        const hangs = await leadNode(h, "hangs");
        const term = hangs.leadership.lead("hanging", () => new Promise<never>(() => {}), { ttl: 1_000 });
        await h.until("it to lead", () => term.leading);
        await h.run(term.resign());
        const faults = () => hangs.observed.filter((seen) => seen.type === "fault");
        await h.until("it to be observed", () => faults().length > 0);
        const [{ during, error }] = faults();
        assertEquals([during, (error as CatgaError).code], ['leading "hanging"', "TIMEOUT"]);
      },
    );

    it("lead: a name is not a lock's key; misuse throws", async () => {
      const other = await h.node("other");
      const term = red.leadership.lead("apart", untilAborted);
      await h.until("red to lead", () => term.leading);
      const lock = await h.run(other.locks.lock("apart", { timeout: 0 }, { call: "other", ancestry: [] }));
      await h.run(lock.release());
      await h.run(term.resign());
      const { leadership } = red;
      assertThrows(() => leadership.lead("short", () => {}, { ttl: 10 }), RangeError, "lead short: ttl must");
      // @ts-expect-error: an unknown option
      assertThrows(() => leadership.lead("typo", () => {}, { tll: 9_000 }), TypeError, "lead: unknown option tll");
      // @ts-expect-error: not a function
      assertThrows(() => leadership.lead("nothing", undefined), TypeError, "lead nothing needs a function");
      assertThrows(() => leadership.lead("half \ud800", () => {}), TypeError, "well-formed");
      assertThrows(() => leadership.lead("n".repeat(5_000), () => {}), RangeError, "characters");
    });

    it("close: ends every term; `lead` is CLOSED afterwards", async () => {
      const leaving = await leadNode(h, "leaving");
      const terms = ["x", "y"].map((what) => leaving.leadership.lead(what, untilAborted));
      await h.until("it to lead", () => terms.every((term) => term.leading));
      await h.run(leaving.leadership.close());
      assertEquals(terms.map((term) => term.leading), [false, false]);
      const late = () => Promise.resolve().then(() => leaving.leadership.lead("z", () => {}));
      assertEquals((await assertRejects(late, CatgaError)).code, "CLOSED");
      assertEquals(leaving.observed, []);
    });
  });
}

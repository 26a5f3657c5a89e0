import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Garbage } from "./garbage.ts";
import type { SubscriptionStore } from "./store.ts";

const OLD = 180_000;

/** Makes the garbage of a store that records what is erased. */
function setUp() {
  const erased: string[] = [];
  const note = (what: string) => (which: unknown) => Promise.resolve(void erased.push(`${what} ${which}`));
  const garbage = new Garbage({
    eraseCommits: note("commits before"),
    eraseRequests: note("requests up to"),
    eraseMessage: note("message"),
  } as unknown as SubscriptionStore);
  const commit = (base: number, now: number, more: { requests?: number; ended?: string[]; parked?: string[] } = {}) => {
    const { requests = 0, ended = [], parked = [] } = more;
    garbage.stored({ base, requests, ended, parked: new Set(parked) }, now, true);
  };
  return { erased, garbage, commit };
}

describe("Garbage", () => {
  it("is erased when a lost end of the store cannot bring back what needs it", async () => {
    const { erased, garbage, commit } = setUp();
    commit(10, 0, { requests: 5, ended: ["7-8"] });
    commit(20, 90_000);
    assertEquals(garbage.due(OLD), false);
    await garbage.erase(OLD);
    assertEquals(erased, []);
    assertEquals(garbage.due(OLD + 1), true);
    await garbage.erase(OLD + 1);
    assertEquals(erased, ["commits before 10", "requests up to 5", "message 7-8"]);
    assertEquals(garbage.due(OLD + 1), false);
  });

  it("is none any more when it is parked again, and after the store has lost its end", async () => {
    const { erased, garbage, commit } = setUp();
    commit(0, 0, { ended: ["7-8", "9-9"] });
    commit(0, 10, { parked: ["7-8"] });
    await garbage.erase(OLD + 1);
    assertEquals(erased, ["message 9-9"]);
    commit(30, 20, { requests: 7, ended: ["1-1"] });
    garbage.forget();
    assertEquals(garbage.due(Infinity), false);
  });

  it("of a busy subscription takes a note a second; a commit that is there for it makes none", async () => {
    const { erased, garbage, commit } = setUp();
    for (let n = 0; n < 100; n++) commit(n + 1, 10 * n);
    await garbage.erase(OLD + 5);
    await garbage.erase(OLD + 2_000);
    assertEquals(erased, ["commits before 1", "commits before 100"]);
    garbage.stored({ base: 200, requests: 0, ended: [], parked: new Set() }, 0, false);
    assertEquals(garbage.due(Infinity), false);
  });

  it("that a new leader finds is erased as late", async () => {
    const { erased, garbage } = setUp();
    garbage.found(["3-4"], 1_000);
    await garbage.erase(OLD + 1_000);
    assertEquals(erased, []);
    await garbage.erase(OLD + 1_001);
    assertEquals(erased, ["message 3-4"]);
  });
});

import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { exploredByThisRuntime, seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import {
  AHEAD,
  BATCHED,
  BLOCKED,
  CANCEL,
  FAIR,
  LAST,
  LEFT,
  LIMITED,
  LIMITED_BATCHES,
  OPERATED,
  OVER,
  REWOUND,
  type SimulatedSubscription,
  simulateSubscription,
  UNHANDLED,
} from "./subscription_simulation.ts";

const PLAYED = seedsOfThisRuntime(84);
const PLAYED_BATCHED = seedsOfThisRuntime(42);
const { seed: FIRST_IN_TURN, seeds: IN_TURN } = exploredByThisRuntime(42);
/** Seeds that follow one another: some things happen in each third seed. */
const PLAYED_IN_TURN = Array.from({ length: IN_TURN }, (_, n) => FIRST_IN_TURN + n);

const slow = { timeout: 600_000 };

/** Plays a seed, in which nothing goes wrong. */
function played(seed: number): SimulatedSubscription["sums"] {
  const { violations, sums } = simulateSubscription(seed);
  assertEquals(violations, [], `to see it again: deno run -A test/simulation/subscription_simulation.ts ${seed}`);
  return sums;
}

describe("simulation of a subscription", () => {
  it("passes nothing over, and runs nothing that has ended, whoever dies and whatever is lost", slow, () => {
    const seen = { runs: 0, commits: 0, deaths: 0, takeovers: 0, cuts: 0, requests: 0, dead: 0 };
    for (const seed of PLAYED) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length / 4, `${what}: ${count}`);
  });

  it("hands out batches in order by key, joins and repeats them, and counts no outage as an attempt", slow, () => {
    let together = 0;
    for (const seed of PLAYED_BATCHED.map((seed) => BATCHED + seed)) {
      together += played(seed).together;
    }
    assert(together > 20 * PLAYED_BATCHED.length, `${together} in batches`);
  });

  it("handles again what is behind the place to which it goes back, in order, whoever dies", slow, () => {
    let rewinds = 0;
    for (const seed of PLAYED_BATCHED.map((seed) => REWOUND + seed)) {
      rewinds += played(seed).rewinds;
    }
    assert(rewinds > PLAYED_BATCHED.length, `${rewinds} rewinds`);
  });

  it("puts aside what no live node handles, and hands it out in order by key when one does, whoever dies", slow, () => {
    let unhandled = 0;
    for (const seed of PLAYED.map((seed) => UNHANDLED + seed)) unhandled += played(seed).unhandled;
    assert(unhandled > 2 * PLAYED.length, `${unhandled} put aside`);
  });

  it("has who was blocked say what it has finished, counts each run once, and no attempt that goes back", slow, () => {
    const seen = { blocks: 0, reports: 0, takeovers: 0 };
    for (const seed of PLAYED_BATCHED.map((seed) => BLOCKED + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length, `${what}: ${count}`);
  });

  it("leaves keys behind and brings them in order, whoever dies, goes back, or loses the end of the log", slow, () => {
    const seen = { left: 0, brought: 0, deaths: 0, rewinds: 0, cuts: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => LEFT + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  it("runs no more messages at once than a limit says, whoever dies, goes back, or kills its process", slow, () => {
    const seen = { full: 0, accounts: 0, deaths: 0, takeovers: 0, rewinds: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => LIMITED + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  // docs/log.md, fairness, "a node crashes": fairness
  // docs/log.md, fairness, "the log or store loses its end": fairness
  it("passes tenants by and brings them in order, whoever dies or goes back, with other tenants, or none", slow, () => {
    const seen = { passed: 0, brought: 0, deaths: 0, rewinds: 0, accounts: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => FAIR + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  it("skips a message only while an earlier one of its key is not done, whoever dies or goes back", slow, () => {
    const seen = { skipped: 0, deaths: 0, takeovers: 0, rewinds: 0, passed: 0, dead: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => OVER + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  it("has only the newest message of a key wait, which is not skipped, whoever dies or goes back", slow, () => {
    const seen = { skipped: 0, deaths: 0, takeovers: 0, rewinds: 0, passed: 0, dead: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => LAST + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  // docs/log.md, one at a time, or not at all, "a node crashes": "cancel"
  // docs/log.md, one at a time, or not at all, "the leader crashes": "cancel"
  it(
    "has the newest message of a key end the run of the one before it, which is no attempt, whoever dies",
    slow,
    () => {
      const seen = { cancelled: 0, skipped: 0, deaths: 0, takeovers: 0, rewinds: 0, passed: 0 };
      for (const seed of PLAYED_IN_TURN.map((seed) => CANCEL + seed)) {
        const sums = played(seed);
        for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
      }
      for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
    },
  );

  // docs/log.md, priority, "a node crashes": priority
  // docs/log.md, priority, "the log or store loses its end": priority
  it("begins of a tenant's messages the one that counts as oldest, whoever dies or goes back", slow, () => {
    const seen = { ahead: 0, passed: 0, brought: 0, deaths: 0, rewinds: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => AHEAD + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  it("hands out batches whose members are of few tenants, and all within their limits, whoever dies", slow, () => {
    const seen = { together: 0, full: 0, accounts: 0, brought: 0, deaths: 0, rewinds: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => LIMITED_BATCHES + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  // docs/log.md, faults of limits, "the store loses its end": running
  // docs/log.md, one at a time, or not at all, "the log or store loses its end": "skip", "last", "cancel"
  it("holds what an operator has set and paused, over deaths, other versions, going back and lost ends", slow, () => {
    const seen = {
      overrides: 0,
      held: 0,
      takeovers: 0,
      skipped: 0,
      passed: 0,
      ahead: 0,
      together: 0,
      cuts: 0,
      rewinds: 0,
    };
    // of each kind as many
    for (const seed of PLAYED_IN_TURN.map((seed) => OPERATED + 67 * seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  it("has a message that is replayed end the run of an earlier one of its key", () => {
    played(CANCEL + 150_345);
  });

  it("counts what fills a batch once, also when it takes the place of another one at a limit", () => {
    played(9_500_001);
  });

  it("reads what was left behind and passed by also when nothing follows in the log that has lost its end", () => {
    played(LIMITED_BATCHES + 4);
  });

  it("plays on until what was passed by is read, and as a leader that ended before the last ones", () => {
    played(LIMITED_BATCHES + 115_966);
    played(LAST + 615_428);
  });

  it("counts an attempt of what was begun alone, also when the node that had run it ended after its leader", () => {
    played(50_623);
  });

  it("counts what was read last under its keys in the present limits, when the leader's version changes them", () => {
    played(FAIR + 453);
  });

  it("joins each message of a batch that a blocked node runs, and ends none of it as handled", () => {
    played(BLOCKED + 52_287);
  });

  it("counts a failed run once that a later leader has joined, whose node says so, too", () => {
    played(BLOCKED + 52_842);
  });

  it("makes no dead letter of what was handled, also if that was said when an earlier one of its key was to run again", () => {
    played(BLOCKED + 50_745);
  });

  it("runs no replayed letter before the commit that says so, which was due when it became one", () => {
    played(BLOCKED + 309_938);
  });

  it("the same seed gives the same run", () => {
    assertEquals(simulateSubscription(3), simulateSubscription(3));
  });
});

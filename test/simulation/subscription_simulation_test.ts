import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SourcePlant } from "../processes/planted_tree.ts";
import { exploredByThisRuntime, ofThisRuntime, seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import {
  BATCHED,
  BLOCKED,
  LEFT,
  LIMITED,
  REWOUND,
  type SimulatedSubscription,
  simulateSubscription,
  UNHANDLED,
} from "./subscription_simulation.ts";
import { firstRed } from "./first_red.ts";

const PLAYED = seedsOfThisRuntime(160);
const PLAYED_BATCHED = seedsOfThisRuntime(80);
const { seed: FIRST_IN_TURN, seeds: IN_TURN } = exploredByThisRuntime(80);
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
    const seen = { full: 0, deaths: 0, takeovers: 0, rewinds: 0 };
    for (const seed of PLAYED_IN_TURN.map((seed) => LIMITED + seed)) {
      const sums = played(seed);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED_BATCHED.length / 4, `${what}: ${count}`);
  });

  it("counts an attempt of what was begun alone, also when the node that had run it ended after its leader", () => {
    played(50_623);
  });

  it("the same seed gives the same run", () => {
    assertEquals(simulateSubscription(3), simulateSubscription(3));
  });

  for (
    const [plant, found, from = 26] of ofThisRuntime<[SourcePlant, RegExp, number?]>([
      ["commit-entries", /its message is not stored/],
      ["commit-number", /its message is not stored/, 117],
      ["commit-replay", /runs and has ended/],
      ["commit-behind", /runs before/],
      ["commit-node", /is innocent and was not handled/],
      ["commit-join", /runs beside another of its key/],
      ["batch-join", /runs before/, BATCHED + 725],
      ["batch-again", /runs before/, BATCHED],
      ["commit-counts", /has \d attempts, and failed \d times/, 5_550],
      ["commit-back", /runs before/, REWOUND + 110],
      ["commit-alive", /has \d attempts, and failed \d times/, 975],
      ["commit-dropped", /request replay of .* was carried out by .* and /],
      ["unhandled-wait", /does not come to rest/, UNHANDLED],
      ["blocked-count", /has \d attempts, and failed \d times/, BLOCKED],
      ["blocked-dead", /is a dead letter, and was handled/, BLOCKED],
      ["blocked-beside", /runs beside another of its key/, BLOCKED],
      ["blocked-commit", /runs with attempt \d behind attempt/, BLOCKED + 100],
      ["blocked-alone", /has \d attempts, and failed \d times/, BLOCKED],
      ["limit-early", /runs beside|runs without slots/, LIMITED + 100],
      ["limit-join", /runs beside/, LIMITED],
      ["limit-kept", /does not run and has slots/, LIMITED],
      ["left-commit", /was passed over|runs before/, LEFT],
      ["left-passed", /runs before/, LEFT],
      ["left-ahead", /the second reader passes the first/, LEFT],
      ["left-begun", /runs before|runs and has ended|runs beside/, LEFT + 60],
    ])
  ) {
    it(`finds ${plant}`, slow, async () => {
      const { violations } = await firstRed(plant, "subscription_simulation", { from, to: from + 173 });
      assertMatch(violations.join("\n"), found);
    });
  }
});

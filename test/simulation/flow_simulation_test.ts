import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SourcePlant } from "../processes/planted_tree.ts";
import { ofThisRuntime, seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateFlow } from "./flow_simulation.ts";
import { firstRed } from "./first_red.ts";

/** Seeds in which waits are given up: none of a third of all seeds is one. */
const GIVING_UP = [17, 38];
/** Seeds in which steps block their processes. */
const BLOCKING = Array.from({ length: 24 }, (_, i) => 12 + 16 * i);
/** `deno run -A test/simulation/flow_simulation.ts 0..999` plays more of them. */
const PLAYED = [...new Set([...seedsOfThisRuntime(200), ...GIVING_UP, ...BLOCKING])];

const slow = { timeout: 600_000 };

describe("simulation of workflows", () => {
  it("each run ends, no step begins early, and what a failed run did is undone, whoever dies", slow, async () => {
    const seen = {
      runs: 0,
      failed: 0,
      cancelled: 0,
      kills: 0,
      freezes: 0,
      cuts: 0,
      losses: 0,
      takeovers: 0,
      undone: 0,
      told: 0,
      retries: 0,
      settled: 0,
      leases: 0,
      elections: 0,
      interjections: 0,
      refusals: 0,
      limits: 0,
      floods: 0,
      losers: 0,
      takenBack: 0,
      slowReads: 0,
      givenUp: 0,
      oneOf: 0,
      shown: 0,
      blocks: 0,
      performed: 0,
    };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateFlow(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/flow_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs; slow reads are of few seeds only, whose handlers rarely wait for one
    for (const [what, count] of Object.entries(seen)) {
      assert(count > PLAYED.length / (what === "slowReads" ? 16 : 4), `${what}: ${count}`);
    }
  });

  it("the same seed gives the same run", async () => {
    assertEquals(await simulateFlow(3), await simulateFlow(3));
  });

  for (
    // from the first seed that shows it, or one before that; a change of the simulation moves it
    const [plant, found, from = 0] of ofThisRuntime<[SourcePlant, RegExp, number?]>([
      [
        "flow-expect",
        /goes on behind what is not stored|has two outcomes|goes on behind its end|holds the run|has not ended/,
      ],
      ["flow-held", /begins at .* while .* performs it/],
      ["flow-stored", /begins before .* is stored/],
      ["flow-parallel", /while .* is performed|was done and is not undone/],
      ["flow-order", /has undone/],
      ["flow-schedule", /has not ended/],
      ["flow-missing", /has not ended/, 5_593],
      ["flow-put-off", /has not ended/, 327],
      ["flow-cancel", /was done and is not undone|has undone/, 27],
      ["flow-over", /has not ended/, 6],
      ["flow-settled", /has not ended/, 4_205],
      ["flow-replay", /took another way/],
      ["flow-limit", /has not ended/, 159],
      ["flow-twice", /goes on behind what is not stored/, 129],
      ["flow-loss", /goes on behind what is not stored|is done without/, 814],
      ["flow-epoch", /has not ended/, 3_204],
      ["flow-alarm", /has not ended/, 1_414],
      ["flow-signal", /took a signal twice|has not ended/],
      // rules of decisions: drive_recorder.ts
      ["flow-decision", /lets a time go before a signal|its cancel was ok|has two outcomes/, 5],
      ["flow-time", /lets a time go before a signal/, 13],
      ["flow-seen", /lets a time go before a signal|has not ended/],
      ["flow-thrown", /lets a time go before a signal/, 1_021],
      ["flow-end", /its cancel was ok/, 5],
      ["flow-skip", /has two outcomes/, 100],
      ["flow-ongoing", /is performed twice at once/, 65],
      ["flow-outcome", /is performed again/],
      ["flow-beside", /is performed again/, 6_325],
      ["flow-retried", /is stuck behind a retry/, 108],
      ["flow-late-read", /has two outcomes/, 21_563],
      ["flow-given-up", /lets a time go before a signal/, 290],
      ["flow-take", /and its handler got/, 1_151],
      ["flow-oldest", /takes signal .* before/, 17],
      ["flow-shown", /shows \d+ behind/],
      ["flow-last-view", /ends, and shows/],
      ["flow-view-at", /says that its view is in/],
      ["flow-progress", /forgets how far/],
      ["flow-begun", /was done and is not undone/, 197],
      ["flow-fresh", /was done and is not undone/, 27],
      ["flow-starved", /is starved/, 10],
      ["flow-unanswered", /is starved/, 10],
      ["flow-loser", /does not learn of it/, 6],
      ["flow-performed", /has not ended/, 28],
      ["flow-early", /aborts .*, which is needed/, 6],
      ["flow-left", /left a schedule/],
      ["flow-unrecorded", /left a schedule/, 156],
      ["flow-paused", /left a schedule/, 863],
      ["flow-ended", /left a schedule/, 1_402],
      // versions of the workflow: driven_runs.ts
      ["flow-gave-up", /while .* performs it|has two outcomes|is not undone/, 329],
      ["flow-held-again", /while .* performs it|has two outcomes|is not undone/, 2_809],
    ])
  ) {
    it(`finds ${plant}`, slow, async () => {
      const { violations, seed } = await firstRed(plant, "flow_simulation", { from, to: from + 2_000 });
      assertMatch(violations.join("\n"), found);
      // it is the plant that the seed shows
      assertEquals((await simulateFlow(seed)).violations, []);
    });
  }
});

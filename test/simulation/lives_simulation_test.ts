import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SourcePlant } from "../processes/planted_tree.ts";
import { ofThisRuntime, seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateLives } from "./lives_simulation.ts";
import { firstRed } from "./first_red.ts";

/** `deno run -A test/simulation/lives_simulation.ts 0..999` plays more of them. */
const PLAYED = seedsOfThisRuntime(80);

const slow = { timeout: 600_000 };

describe("simulation of runs that are asked questions and begin anew", () => {
  it("each signal is taken once, each id has one answer, no round is lost or done twice", slow, async () => {
    const seen = { kills: 0, freezes: 0, lives: 0, told: 0, asked: 0, unanswered: 0, cancelled: 0 };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateLives(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/lives_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length / 25, `${what}: ${count}`);
  });

  for (
    // from the first seed that shows it, or one before that
    const [plant, found, from = 0] of ofThisRuntime<[SourcePlant, RegExp, number?]>([
      ["lives-unseen", /NOT_ANSWERED|signals/],
      ["lives-stale", /signals|NOT_ANSWERED|answers/],
      ["lives-ids", /signals/],
      ["lives-answers", /is not answered|answers/],
      ["lives-asked", /answers/],
      ["lives-step-id", /ids of the steps/],
      ["lives-called", /nobody tells anything|a result is/, 4],
      ["lives-cancel", /its cancel was ok/, 6],
    ])
  ) {
    it(`finds ${plant}`, slow, async () => {
      const { violations } = await firstRed(plant, "lives_simulation", { from, to: from + 500 });
      assertMatch(violations.join("\n"), found);
    });
  }
});

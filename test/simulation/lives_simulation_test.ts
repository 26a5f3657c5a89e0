import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateLives } from "./lives_simulation.ts";

/** `deno run -A test/simulation/lives_simulation.ts 0..999` plays more of them. */
const PLAYED = seedsOfThisRuntime(24);

const slow = { timeout: 600_000 };

describe("simulation of runs that are asked questions and begin anew", () => {
  it("each signal is taken once, each id has one answer, no round is lost or done twice", slow, async () => {
    const seen = {
      kills: 0,
      freezes: 0,
      blocks: 0,
      lives: 0,
      told: 0,
      asked: 0,
      unanswered: 0,
      cancelled: 0,
      completed: 0,
      late: 0,
    };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateLives(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/lives_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length / 25, `${what}: ${count}`);
  });
});

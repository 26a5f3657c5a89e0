import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateChildren } from "./child_simulation.ts";

/** `deno run -A test/simulation/child_simulation.ts 0..999` plays more of them. */
const PLAYED = seedsOfThisRuntime(18);

const slow = { timeout: 600_000 };

describe("simulation of runs that start others", () => {
  it("each run ends, no child after its parent, and what a failed run did is undone, whoever dies", slow, async () => {
    const seen = { children: 0, unstarted: 0, cancelled: 0, done: 0, failed: 0, kills: 0, freezes: 0, blocks: 0 };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateChildren(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/child_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length / 20, `${what}: ${count}`);
  });
});

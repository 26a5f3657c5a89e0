import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateLists } from "./list_simulation.ts";

/** `deno run -A test/simulation/list_simulation.ts 0..999` plays more of them. */
const PLAYED = seedsOfThisRuntime(30);

const slow = { timeout: 600_000 };

describe("simulation of runs that work through lists", () => {
  it("each item has its outcome once, in its place, and is undone if its run fails, whoever dies", slow, async () => {
    const seen = { kills: 0, freezes: 0, repeated: 0, done: 0, failed: 0, cancelled: 0 };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateLists(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/list_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length / 25, `${what}: ${count}`);
  });
});

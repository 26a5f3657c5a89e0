import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateEntities } from "./entity_simulation.ts";

const SEEDS = 36;
const PLAYED = seedsOfThisRuntime(SEEDS);

const slow = { timeout: 600_000 };

describe("simulation of entities", () => {
  it("in storms each command is applied once, or certainly not, and answered truthfully", slow, async () => {
    const seen = { stored: 0, ok: 0, refused: 0, unknown: 0, failed: 0 };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateEntities(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/entity_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each kind of outcome is among them
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length, `${what}: ${count}`);
  });

  it("the same holds while decisions compute for seconds, so that their processes stand still", slow, async () => {
    for (const seed of PLAYED.slice(0, 15)) {
      const { violations } = await simulateEntities(seed, { blocked: 0.1 });
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/entity_simulation.ts ${seed} blocked`);
    }
  });

  it("the same seed gives the same run", slow, async () => {
    assertEquals(await simulateEntities(7), await simulateEntities(7));
  });
});

import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { SourcePlant } from "../processes/planted_tree.ts";
import { ofThisRuntime, seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateEntities } from "./entity_simulation.ts";
import { firstRed } from "./first_red.ts";

const SEEDS = 120;
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

  for (
    // from the first seed that shows it, or one before that; a change of the simulation moves it
    const [plant, found, from = SEEDS] of ofThisRuntime<[SourcePlant, RegExp, number?]>([
      ["entity-expect", /continues version/],
      ["entity-epoch", /loads version|is there twice/, 144],
      ["entity-record", /is there twice/],
      ["entity-confirm", /was not that of the entity while it waited/],
      ["entity-ended", /was refused and is there/, 220],
    ])
  ) {
    it(`finds ${plant}`, slow, async () => {
      const { violations } = await firstRed(plant, "entity_simulation", { from, to: 999 });
      assertMatch(violations.join("\n"), found);
    });
  }
});

/** `explore` over what several features promise together, and over programs that get it wrong. */
import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { explore, ExploreError } from "@catga/catga/testing";
import { EXPLORED_TOGETHER, WRONG_TOGETHER } from "./explored_together.ts";

/** Seeds of the right programs, and of the wrong ones at most: the rarest is red at seed 38. */
const SEEDS = 200;

describe("explore over features that are used together", { timeout: 1_200_000 }, () => {
  for (const [name, program] of Object.entries(EXPLORED_TOGETHER)) {
    it(`${name}: ${SEEDS} seeds break no promise`, async () => {
      assertEquals((await explore({ ...program, seeds: SEEDS })).seeds, SEEDS);
    });
  }
  for (const [name, program] of Object.entries(WRONG_TOGETHER)) {
    it(`${name}, done wrong: a seed is red`, async () => {
      await assertRejects(() => explore({ ...program, seeds: SEEDS, shrink: 0 }), ExploreError);
    });
  }
});

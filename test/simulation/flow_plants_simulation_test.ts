/** The planted bugs of workflows that the simulation needs thousands of seeds to find. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import type { SourcePlant } from "../processes/planted_tree.ts";
import { simulateFlow } from "./flow_simulation.ts";
import { firstRed } from "./first_red.ts";

const HOUR = 3_600_000;

describe("simulation of workflows: rare bugs", () => {
  for (
    const [plant, found] of [
      ["flow-lease", /has not ended|is starved/],
      ["flow-lost-lease", /has not ended|is starved/],
      ["flow-behind", /ends with .*, recorded|does not learn of it/],
      ["flow-failure", /is stuck behind a retry|aborts .*, which is needed/],
      ["flow-unnoted", /has not ended/],
      ["flow-threw", /was done and is not undone/],
      ["flow-undriven", /is starved/],
    ] satisfies [SourcePlant, RegExp][]
  ) {
    it(`finds ${plant}`, { timeout: 2 * HOUR }, async () => {
      const { violations, seed } = await firstRed(plant, "flow_simulation", { from: 0, to: 30_000, limit: HOUR });
      assertMatch(violations.join("\n"), found);
      // it is the plant that the seed shows
      assertEquals((await simulateFlow(seed)).violations, []);
    });
  }
});

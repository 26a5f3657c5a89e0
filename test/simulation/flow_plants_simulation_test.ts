/** The planted bugs of workflows that the simulation needs thousands of seeds to find. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { startProgram } from "../processes/node_process.ts";
import { THIS_RUNTIME } from "../support/of_this_runtime.ts";
import { type SimulatedFlow, simulateFlow } from "./flow_simulation.ts";

const HOUR = 3_600_000;

describe("simulation of workflows: rare bugs", () => {
  for (
    const [plant, found] of [
      ["flow-lease", /has not ended|is starved/],
      ["flow-lost-lease", /has not ended|is starved/],
      ["flow-behind", /ends with .*, recorded|does not learn of it|left a schedule/],
      ["flow-failure", /is stuck behind a retry|aborts .*, which is needed/],
      ["flow-unnoted", /has not ended/],
      ["flow-threw", /was done and is not undone/],
      ["flow-undriven", /is starved/],
    ] satisfies [SourcePlant, RegExp][]
  ) {
    it(`finds ${plant}`, { timeout: 2 * HOUR }, async () => {
      await using tree = await plantedTree(plant);
      await using program = await startProgram<SimulatedFlow & { readonly seed: number }>(
        THIS_RUNTIME,
        "test/simulation/flow_simulation.ts",
        ["0..30000", "first"],
        tree.root,
      );
      const { violations, seed } = await program.line(() => true, HOUR);
      assertMatch(violations.join("\n"), found);
      // it is the plant that the seed shows
      assertEquals((await simulateFlow(seed)).violations, []);
    });
  }
});

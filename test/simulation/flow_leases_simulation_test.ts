/**
 * The planted bugs of workflows' leases that the simulation needs thousands of seeds to find: a run whose lease is used
 * up, or lost with the store's end, gets no other one.
 */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { startProgram } from "../processes/node_process.ts";
import { THIS_RUNTIME } from "../support/of_this_runtime.ts";
import { type SimulatedFlow, simulateFlow } from "./flow_simulation.ts";

const HOUR = 3_600_000;

describe("simulation of workflows: leases", () => {
  for (const plant of ["flow-lease", "flow-lost-lease"] satisfies SourcePlant[]) {
    it(`finds ${plant}`, { timeout: 2 * HOUR }, async () => {
      await using tree = await plantedTree(plant);
      await using program = await startProgram<SimulatedFlow & { readonly seed: number }>(
        THIS_RUNTIME,
        "test/simulation/flow_simulation.ts",
        ["0..30000", "first"],
        tree.root,
      );
      const { violations, seed } = await program.line(() => true, HOUR);
      assertMatch(violations.join("\n"), /has not ended|is starved/);
      // it is the plant that the seed shows
      assertEquals((await simulateFlow(seed)).violations, []);
    });
  }
});

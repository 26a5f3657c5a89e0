/** Finds planted bugs by simulations. */
import { startProgram } from "../processes/node_process.ts";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { THIS_RUNTIME } from "../support/of_this_runtime.ts";

/**
 * Plays seeds of a simulation on the sources with a planted bug, and resolves with the first seed in which a promise
 * was broken. Rejects if there is none after `limit` ms.
 */
export async function firstRed(
  plant: SourcePlant,
  simulation: string,
  { from, to, limit = 300_000 }: { readonly from: number; readonly to: number; readonly limit?: number },
): Promise<{ readonly seed: number; readonly violations: readonly string[] }> {
  await using tree = await plantedTree(plant);
  await using program = await startProgram<{ readonly seed: number; readonly violations: readonly string[] }>(
    THIS_RUNTIME,
    `test/simulation/${simulation}.ts`,
    [`${from}..${to}`, "first"],
    tree.root,
  );
  return await program.line(() => true, limit);
}

/** `explore` over workflows that are cancelled, told and skipped: of this library, and of libraries with a bug. */
import { assertEquals, assertMatch } from "@std/assert";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import process from "node:process";
import { explore } from "@catga/catga/testing";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { exploredByThisRuntime, ofThisRuntime } from "../support/of_this_runtime.ts";
import { EXPLORED_WORKFLOWS } from "./explored_workflows.ts";

const PLAYED = exploredByThisRuntime(20);

describe("explore over workflows", () => {
  for (const [name, program] of Object.entries(EXPLORED_WORKFLOWS)) {
    it(`${name}: ${PLAYED.seeds} seeds from ${PLAYED.seed} break no promise`, { timeout: 600_000 }, async () => {
      assertEquals((await explore({ ...program, ...PLAYED })).seeds, PLAYED.seeds);
    });
  }

  for (
    const [plant, program, found] of ofThisRuntime<[SourcePlant, string, RegExp]>([
      ["flow-decision", "trips", /is done, and its cancel at \d+ was ok/],
      ["flow-end", "stays", /is done, and its cancel at \d+ was ok/],
      ["flow-time", "meetings", /has ended with .*, and the signal word \d was ok/],
      ["flow-skip", "quotes", /was given 7, and has ended with 1/],
    ])
  ) {
    it(`finds ${plant} within 300 seeds, without a hint`, { timeout: 600_000 }, async () => {
      await using tree = await plantedTree(plant);
      assertMatch(await outputOf(tree.root, ["test/simulation/explored_workflows.ts", "300", program]), found);
    });
  }
});

/** Returns the output of a program of a tree, in this runtime. */
function outputOf(root: string, args: readonly string[]): Promise<string> {
  const flags = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, ...args], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (data) => output += data);
    child.once("error", reject);
    child.once("close", () => resolve(output));
  });
}

import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { plantedTree, sourcePlants } from "./planted_tree.ts";

describe("a tree with a planted bug", () => {
  for (const plant of sourcePlants) {
    it(`has the programs of this tree, and its change fits the sources: ${plant}`, async () => {
      await using tree = await plantedTree(plant);
      const program = await readFile(join(tree.root, "test", "soak", "node.ts"), "utf8");
      assertEquals(program, await readFile(join(import.meta.dirname!, "..", "soak", "node.ts"), "utf8"));
    });
  }
});

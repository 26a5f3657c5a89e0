import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { assertEquals } from "@std/assert";
import { plantedSources, plantedTree, sourcePlants } from "./planted_tree.ts";

describe("a tree with a planted bug", () => {
  it("has the programs of this tree, and the changed sources", async () => {
    await using tree = await plantedTree("log-stale");
    const program = await readFile(join(tree.root, "test", "soak", "node.ts"), "utf8");
    assertEquals(program, await readFile(join(import.meta.dirname!, "..", "soak", "node.ts"), "utf8"));
    const changed = await plantedSources("log-stale");
    assertEquals([...changed.keys()], [
      "src/log/running/leader_token.ts",
      "src/log/subscriptions/leases.ts",
      "src/log/subscriptions/commits.ts",
    ]);
    for (const [file, text] of changed) assertEquals(await readFile(join(tree.root, file), "utf8"), text);
  });

  for (const plant of sourcePlants) {
    it(`its change fits the sources: ${plant}`, async () => {
      for (const [file, text] of await plantedSources(plant)) {
        assertEquals([file, text === await readFile(join(import.meta.dirname!, "..", "..", file), "utf8")], [
          file,
          false,
        ]);
      }
    });
  }

  it("says of each what it leaves out", async () => {
    const text = await readFile(join(import.meta.dirname!, "planted_tree.ts"), "utf8");
    assertEquals(sourcePlants.filter((plant) => !text.includes(`\`${plant}\``)), []);
  });
});

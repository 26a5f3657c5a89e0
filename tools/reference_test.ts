/** The reference says what the comments in the sources say. */
import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { referencePages } from "./reference.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("the reference", () => {
  it("has a section for each export, and is what tools/reference.ts makes of the sources", async () => {
    const pages = await referencePages();
    const old: string[] = [];
    for (const [path, text] of pages) if (await readFile(join(root, path), "utf8") !== text) old.push(path);
    assertEquals(old, [], "run: deno run -A tools/reference.ts");
  });
});

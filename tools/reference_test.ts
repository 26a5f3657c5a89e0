/** The reference says what the comments in the sources say, and the texts for language models what the pages say. */
import { assertEquals, assertGreater, assertLess, assertStringIncludes } from "@std/assert";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { llmsTexts, MAX_SMALL } from "./llms.ts";
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

describe("the texts for language models", () => {
  it("are what tools/llms.ts makes of the pages; the small one has what an agent needs in 8,000 tokens", async () => {
    const texts = await llmsTexts();
    const old: string[] = [];
    for (const [path, text] of texts) {
      if (path.startsWith("docs/") && await readFile(join(root, path), "utf8") !== text) old.push(path);
    }
    assertEquals(old, [], "run: deno run -A tools/llms.ts");
    const small = texts.get("docs/llms-small.txt")!;
    assertLess(small.length, MAX_SMALL);
    for (const part of ["idempotent: true", "OUTCOME_UNKNOWN", "a retry around a retry", "catga/no-floating"]) {
      assertStringIncludes(small, part);
    }
    assertGreater(texts.get("docs/llms.txt")!.split("\n").length, 30);
  });
});

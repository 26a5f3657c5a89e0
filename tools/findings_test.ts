/** The scripts in findings/ say what they show, and findings/README.md has it. They do not run here. */
import { assertEquals, assertGreaterOrEqual, assertThrows } from "@std/assert";
import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { FINDINGS_PAGE, findingsTable, readFindings, withTable } from "./findings.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const findings = await readFindings(root);

describe("findings", () => {
  it("are 25 at least", () => {
    assertGreaterOrEqual(findings.length, 25);
  });

  it("name versions, and files of Catga that exist", () => {
    assertEquals(findings.filter(({ versions }) => !/\d+\.\d+/.test(versions)).map(({ name }) => name), []);
    const missing = findings.flatMap(({ name, places }) =>
      places.filter((place) => !existsSync(join(root, place))).map((place) => `${name}: ${place}`)
    );
    assertEquals(missing, []);
  });

  it("can be executed, and end what they start by its process id", async () => {
    const wrong = await Promise.all(findings.map(async ({ name }) => {
      const file = join(root, "findings", `${name}.sh`);
      const { mode } = await stat(file);
      const text = await readFile(file, "utf8");
      return (mode & 0o111) !== 0 && /^trap .*EXIT$/m.test(text) && !/\b(?:pkill|killall)\b/.test(text) ? [] : [name];
    }));
    assertEquals(wrong.flat(), []);
  });

  it("are all in the table of their page, as their first lines say", async () => {
    const page = await readFile(join(root, FINDINGS_PAGE), "utf8");
    assertEquals(page, withTable(page, findingsTable(findings)), "run: deno run -A tools/findings.ts");
  });

  it("escape the bars of a cell", () => {
    const finding = { name: "n", behaviour: "a | b", expected: "e", seen: "s", versions: "1", places: ["mod.ts"] };
    assertEquals(
      findingsTable([finding]).split("\n")[2],
      "| [n](n.sh) | a \\| b | e | s | 1 | [mod.ts](../mod.ts) |",
    );
  });

  it("throw for a page without a place for the table", () => {
    assertThrows(() => withTable("# Findings\n", ""), Error, "no place");
  });
});

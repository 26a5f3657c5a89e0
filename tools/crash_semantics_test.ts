/**
 * The tables "Crash semantics" of docs/, and those whose first column is headed "fault": each cell is a promise, and
 * names a test that tried to break it. A comment in the test names the heading, the row and the columns:
 *
 *   // docs/state.md, crash semantics, "tokens of a key grow": crashed, paused
 *   // docs/log.md, faults of limits, "a node crashes": running, per
 *
 * @module
 */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { sourceFiles } from "./sources.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const PAGES = ["docs/cluster.md", "docs/entities.md", "docs/file.md", "docs/log.md", "docs/state.md"];
const NAMED = /^\s*\/\/ (docs\/[\w-]+\.md, [^"]+), "([^"]+)": (.+)$/gm;

/** Cells of the tables of a page that say what holds under faults, as `page, heading "row": column`. */
function promises(page: string, text: string): string[] {
  return text.split(/^#+ /m).flatMap((section) => {
    const [heading] = section.split("\n", 1);
    const tables = [...section.matchAll(/(?:^\|.*\|\n?)+/gm)].map(([table]) =>
      table.trimEnd().split("\n").map((line) => line.split("|").slice(1, -1).map(plain))
    );
    const promised = tables.filter(([[first]]) => first === "fault" || heading === "Crash semantics");
    return promised.flatMap(([header, , ...rows]) =>
      rows.flatMap(([row, ...cells]) =>
        cells.map((_, i) => `${page}, ${heading.toLowerCase()} "${row}": ${header[i + 1]}`)
      )
    );
  });
}

/** A cell's text without emphasis, code marks, links and what stands in brackets. */
function plain(cell: string): string {
  return cell.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll(/\([^)]*\)|[*`]/g, "").trim();
}

/** Promises that the comments of a test name. */
function named(text: string): string[] {
  return [...text.matchAll(NAMED)].flatMap(([, page, row, columns]) =>
    columns.split(",").map((column) => `${page} "${row}": ${column.trim()}`)
  );
}

describe("crash semantics", () => {
  it("name a test for each promise, and tests name no promise that docs/ does not have", async () => {
    const read = (path: string) => readFile(`${root}${path}`, "utf8");
    const promised = (await Promise.all(PAGES.map(async (page) => promises(page, await read(page))))).flat();
    const tests = (await sourceFiles(root, ["src", "test"])).filter((file) => /_(test|suite)\.ts$/.test(file));
    const tested = new Set((await Promise.all(tests.map(read))).flatMap(named));
    assertGreater(promised.length, 40);
    assertEquals(promised.filter((promise) => !tested.has(promise)), [], "promises without a test");
    assertEquals([...tested].filter((promise) => !promised.includes(promise)), [], "tests of no promise");
  });

  it("are read from the table of their section alone, and from those of faults", () => {
    const page = "# A\n\n| x | y |\n| - | - |\n| a | b |\n\n## Crash semantics\n\nText.\n\n" +
      "| what | **kill -9**, crash | [`ttl`](b.md#c) |\n| --- | --- | --- |\n| [**freeze**](#f) (SIGSTOP) | holds | not |\n\n" +
      "## One, or two\n\n| fault | `per` |\n| --- | --- |\n| a node crashes | holds |\n";
    assertEquals(promises("docs/a.md", page), [
      'docs/a.md, crash semantics "freeze": kill -9, crash',
      'docs/a.md, crash semantics "freeze": ttl',
      'docs/a.md, one, or two "a node crashes": per',
    ]);
  });

  it("are named with several columns by one comment", () => {
    assertEquals(named('  // docs/a.md, crash semantics, "a lock": crashed, own clock\n  it("x");'), [
      'docs/a.md, crash semantics "a lock": crashed',
      'docs/a.md, crash semantics "a lock": own clock',
    ]);
    assertEquals(named('  // docs/a.md, one, or two, "a node crashes": per\n'), [
      'docs/a.md, one, or two "a node crashes": per',
    ]);
  });
});

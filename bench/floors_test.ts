import { assertEquals, assertStringIncludes } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { commitsOf, floorsTable } from "./floors.ts";

/** A page of two builds with these rows, by table: the cells before, now and their ratio. */
function page(tables: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>, now = "bbbb"): string {
  return Object.entries(tables).map(([id, rows]) => {
    const lines = Object.entries(rows).map(([name, cells]) => `| ${[name, ...cells].join("  | ")} |`);
    return [`<!-- bench ${id} -->`, lines.join("\n"), `before: aaaa, now: ${now}; Deno`, "<!-- /bench -->"].join(
      "\n\n",
    );
  }).join("\n");
}

/** Cells of each row of the first table of a page, without what a formatter adds. */
function cellsIn(text: string): string[][] {
  return text.split("\n").filter((line) => line.startsWith("|"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()))
    .filter(([first]) => !/^-+$/.test(first));
}

/** The row whose name begins so, from the limit on. */
function row(begin: string, deno: string, bun = ""): string[] {
  return cellsIn(floorsTable(deno, bun)).find(([, name]) => name.startsWith(begin))!.slice(2);
}

describe("the table of floors", () => {
  const start = (over: string) => ({
    [`a process to catga() done${over} ÷ a process to connect() done${over}`]: ["× 2.00", "× 1.25 ±5 %", "× 0.6"],
    [`a process to a node by hand${over} ÷ a process to connect() done${over}`]: ["× 1.10", "× 1.20 ±5 %", "× 1.1"],
  });

  it("has the figure now, in brackets the one by hand, over each transport, and where the aim is reached", () => {
    const slow = {
      "a process to catga() done, transport-node ÷ a process to connect() done, transport-node": ["", "× 1.26"],
    };
    const deno = page({ startup: { ...start(""), ...start(", transport-node"), ...slow } });
    assertEquals(row("a process to routable", deno), [
      ...["≤ 1.25", "1.25 (1.20)", "1.26 (1.20)", "–"],
      ...["a node", "in Deno"],
    ]);
    assertEquals(row("a process to routable", "", page({ startup: start("") })), [
      ...["≤ 1.25", "–", "–", "1.25 (1.20)"],
      ...["a node", "yes"],
    ]);
  });

  it("has a floor by hand beside the build before, and the same one over each transport", () => {
    const led = "by hand, with steps over transport-node, led by a second process, 64 at once";
    const deno = page({
      "workflows-processor": {
        "Catga, 64 at once": ["0.200 ms ±3 %", "0.150 ms", "× 0.75 (0.60–0.80)"],
        "Catga, transport-node, 64 at once": ["0.250 ms", "0.150 ms", "× 0.61"],
        [led]: ["0.090 ms", "0.100 ms", "× 1.11"],
      },
    });
    assertEquals(row("processor of a run, 64", deno), ["≤ 0.6", "0.75 (0.50)", "0.61 (0.40)", "–", "led", "no"]);
  });

  it("has times in the unit of the limit, differences of rows, and no column of a transport that changes nothing", () => {
    const deno = page({
      local: {
        "Catga, 1 behavior": ["1 ns", "132 ns ±13 %", "× 1"],
        "Catga, sync": ["1 ns", "70.4 ns", "× 1"],
        "Catga, idempotent": ["9 µs", "995 ns", "× 0.1"],
      },
      idle: { "idle: a node of Catga, 100 contracts, from 85 s on": ["2.00 ms", "0.96 ms", "× 0.48"] },
    });
    assertEquals(row("one behavior", deno), ["≤ 120 ns", "62", "–", "–", "–", "yes"]);
    assertEquals(row("an idempotent send", deno), ["≤ 8 µs", "1.0", "–", "–", "hash, claim, result", "yes"]);
    assertEquals(row("processor of an idle node with 100 contracts, from 85 s", deno).slice(0, 2), ["≤ 0.1 %", "0.10"]);
  });

  it("names the commits of the tables that it is made of", () => {
    const deno = page({ startup: start("") }) + page({ memory: {}, "log-cut": {} }, "cccc") +
      page({ local: {} }, "bbbb");
    assertEquals(commitsOf(deno, page({ local: {} }, "dddd")), "Figures of bbbb, cccc in Deno and dddd in Bun.");
  });

  it("in docs/internals/measurements.md is that of the pages of figures", async () => {
    const read = (path: string) => readFile(new URL(`../docs/${path}`, import.meta.url), "utf8");
    const [deno, bun, measurements] = await Promise.all(
      ["figures/compared-deno.md", "figures/compared-bun.md", "internals/measurements.md"].map(read),
    );
    const filled = /<!-- bench floors -->([^]*?)<!-- \/bench -->/.exec(measurements)![1];
    assertEquals(cellsIn(filled), cellsIn(floorsTable(deno, bun)));
    assertStringIncludes(filled.replaceAll("\n", " "), commitsOf(deno, bun));
  });
});

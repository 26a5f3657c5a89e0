/** The reasons in docs/internals/packages.md: each is measured, and one that is gone is said. */
import { assertEquals } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { CLAIMS, tableOf } from "./sections/packages.ts";

/** Ratios at the bounds, where each claim still holds. */
const held = () => new Map(CLAIMS.map(({ row, least, most }) => [row, [least ?? most ?? NaN]]));

describe("the section packages of the bench", () => {
  it("measures each row of the page, in its order", async () => {
    const page = await readFile(new URL("../docs/internals/packages.md", import.meta.url), "utf8");
    const rows = page.slice(page.indexOf("## Why not"), page.indexOf("## By hand")).match(/^\| `[^`]+`/gm) ?? [];
    assertEquals(rows.map((row) => row.slice(3, -1)), CLAIMS.map(({ row }) => row));
  });

  it("is named with the row by each file that stands in a row of the page", async () => {
    const root = new URL("../", import.meta.url);
    const page = await readFile(new URL("docs/internals/packages.md", root), "utf8");
    const rows = page.slice(page.indexOf("## Why not"), page.indexOf("## By hand")).match(/^\| `[^`]+`.*/gm) ?? [];
    const unnamed: string[] = [];
    for (const row of rows) {
      const [, name, , own] = row.split("|").map((cell) => cell.trim());
      for (const [, file] of own.matchAll(/`(src\/[^`]+\.ts)`/g)) {
        const text = await readFile(new URL(file, root), "utf8");
        const isNamed = text.includes("docs/internals/packages.md") && text.includes(name);
        if (!isNamed) unnamed.push(`${file} does not name row ${name}`);
      }
    }
    assertEquals(unnamed, []);
  });

  it("refutes nothing while each reason holds", () => {
    assertEquals(tableOf(held(), []).refuted, []);
  });

  it("refutes the reason of a row whose figure is beyond its bound, or missing", () => {
    for (const { row, least, most } of CLAIMS) {
      for (const figures of [[least === undefined ? most! * 1.01 : least * 0.99], []]) {
        assertEquals(tableOf(held().set(row, figures), []).refuted, [
          `the reason in row ${row} of docs/internals/packages.md is gone`,
        ]);
      }
    }
  });

  it("leaves out a row that cannot be measured here, and says so", () => {
    const { rows, refuted, notes } = tableOf(held().set("transport-deno", []), ["transport-deno"]);
    assertEquals([rows.length, refuted], [CLAIMS.length - 1, []]);
    assertEquals(notes.at(-1), "not measured: transport-deno, which needs JSR's packages in Deno");
  });
});

import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { blocksOf, comparedBlocks, filled } from "./docs.ts";
import { draw } from "./picture.ts";
import { amount, figureOf, markdownOf, ratioOf, textOf } from "./report.ts";
import { changesOf, pairedChanges, type Run } from "./run.ts";
import type { Table } from "./table.ts";

const table: Table = {
  id: "remote",
  title: "Requests a second",
  unit: "per second",
  columns: ["1", "64"],
  rows: [
    { name: "raw", cells: [[5_000, 5_100, 4_900], [40_000, 50_000, 45_000]] },
    { name: "Catga", cells: [[5_500, 5_100, 4_900], [400_000, 600_000, 450_000]] },
  ],
  pairs: [{ row: "Catga", against: "raw" }, { row: "Catga", against: "a peer that is not there" }],
  notes: ["one client"],
};
const setting = { runtime: "Deno 2.9.6", machine: "2 × CPU", natsServer: "2.15.1", transports: "transport-node" };
const run = (date: string, tables: Table[]): Run => ({ version: 1, date, setting, tables });

describe("report", () => {
  it("text: medians with their spread, and the median of the ratios of the rounds", () => {
    assertEquals(textOf(table).split("\n").map((line) => line.replace(/ +/g, " ")), [
      "Requests a second",
      "",
      " 1 64",
      " raw 5.00 k/s ±2 % 45.0 k/s ±11 %",
      " Catga 5.10 k/s ±6 % 450 k/s ±22 %",
      " Catga ÷ raw × 1.00 (1.00–1.10) × 10.0 (10.0–12.0)",
      " (one client)",
    ]);
  });

  it("markdown: a table with the same figures", () => {
    const lines = markdownOf(table).split("\n");
    assertEquals(lines.slice(0, 5), [
      "**Requests a second**",
      "",
      "|  | 1 | 64 |",
      "| --- | ---: | ---: |",
      "| raw | 5.00 k/s ±2 % | 45.0 k/s ±11 % |",
    ]);
    assertEquals(lines.slice(-2), ["", "- one client"]);
  });

  it("amount: three digits and a unit that fits", () => {
    assertEquals(
      [
        amount(1_234_567, "per second"),
        amount(42.31, "ns"),
        amount(2_345, "ns"),
        amount(0.1234, "ms"),
        amount(61.25, "MB"),
      ],
      ["1.23 M/s", "42.3 ns", "2.35 µs", "0.123 ms", "61.3 MB"],
    );
  });

  it("figureOf, ratioOf: a median of 0 has no percentages and no ratio", () => {
    assertEquals([figureOf([0, 0, 3], "count"), figureOf([2, 5, 4], "count")], ["0 (0–3)", "4 (2–5)"]);
    assertEquals([figureOf([4.4439], "count"), figureOf([1.96, 2.04], "count")], ["4.4", "2 (2–2)"]);
    assertEquals([figureOf([0, 0, 3], "ms"), figureOf([0, 0, 0], "ms")], ["0.000 ms", "0.000 ms ±0 %"]);
    assertEquals([ratioOf([0, 0], [0, 0]), ratioOf([4, 4], [2, 2])], ["–", "× 2.00 (2.00–2.00)"]);
  });

  it("changesOf: names what has changed by more than the rounds lie apart", () => {
    const [raw, ours] = table.rows;
    const faster = { ...ours, cells: [[5_100, 5_200, 5_000], [900_000, 910_000, 890_000]] };
    const text = changesOf(run("before", [table]), run("now", [{ ...table, rows: [raw, faster] }]));
    assertStringIncludes(text, "better   +100 %  remote, Catga, 64: 450 k/s → 900 k/s");
    assertStringIncludes(text, "3 of 4 figures are as they were");
  });

  it("pairedChanges: compares round by round, so that a machine that grows slower changes nothing", () => {
    const times = (name: string, rounds: number[]) => ({ name, cells: [rounds] });
    const local = (same: number[], slower: number[]): Table => ({
      ...{ id: "local", title: "Local", unit: "ns", columns: ["a send"], pairs: [], notes: [] },
      rows: [times("same", same), times("slower", slower)],
    });
    const before = run("before", [local([100, 200, 400], [100, 200, 400])]);
    const now = run("now", [local([101, 198, 404], [120, 250, 470])]);
    assertEquals(pairedChanges(before, now).split("\n"), [
      "worse     +20 %  local, slower, a send: 200 ns → 250 ns; round by round × 1.18–1.25",
      "1 of 2 figures are the same, as far as the rounds can tell",
    ]);
  });

  it("changesOf: fewer ns are better", () => {
    const local = (ns: number): Table => ({
      ...table,
      id: "local",
      unit: "ns",
      columns: ["a send"],
      rows: [{ name: "Catga", cells: [[ns]] }],
    });
    const text = changesOf(run("before", [local(60)]), run("now", [local(45)]));
    assertStringIncludes(text, "better    -25 %  local, Catga, a send: 60.0 ns → 45.0 ns");
  });

  it("filled: a table replaces the earlier one of its name, with its setting, and a new one follows the others", () => {
    const other: Table = { ...table, id: "other" };
    const block = (id: string, inside: string) => `<!-- bench ${id} -->\n\n${inside}\n\n<!-- /bench -->`;
    const figures = `${markdownOf(table)}\n\nDeno 2.9.6, nats-server 2.15.1, transport-node; 2 × CPU; 2026-11-22.`;
    const page = `# a\n\n${block("remote", "old")}\n\n${block("kept", "kept")}\n`;
    assertEquals(
      filled(page, blocksOf(run("2026-11-22T04:00", [table, other]))),
      `# a\n\n${block("remote", figures)}\n\n${block("kept", "kept")}\n\n${block("other", figures)}\n`,
    );
  });

  it("comparedBlocks: each figure before and now, ratios of rows too, and names of what one tree has", () => {
    const [raw, ours] = table.rows;
    const faster = { ...ours, cells: [[5_500, 5_100, 4_900], [800_000, 600_000, 1_350_000]] };
    const added = { ...raw, name: "raw, synced" };
    const before = run("2026-11-21T04:00", [{ ...table, rows: [raw, ours, { ...raw, name: "gone" }] }]);
    const now = run("2026-11-22T04:00", [{ ...table, rows: [raw, faster, added] }, { ...table, id: "new" }]);
    const [{ text, measured }, ...others] = comparedBlocks(before, now, { before: "aaaa", now: "bbbb" });
    assertEquals(text.split("\n"), [
      "**Requests a second**",
      "",
      "|  | before | now | now ÷ before, more is better |",
      "| --- | ---: | ---: | ---: |",
      "| raw, 1 | 5.00 k/s ±2 % | 5.00 k/s ±2 % | × 1.00 (1.00–1.00) |",
      "| raw, 64 | 45.0 k/s ±11 % | 45.0 k/s ±11 % | × 1.00 (1.00–1.00) |",
      "| Catga, 1 | 5.10 k/s ±6 % | 5.10 k/s ±6 % | × 1.00 (1.00–1.00) |",
      "| Catga, 64 | 450 k/s ±22 % | 800 k/s ±47 % | × 2.00 (1.00–3.00) |",
      "| Catga ÷ raw, 1 | × 1.00 ±5 % | × 1.00 ±5 % | × 1.00 (1.00–1.00) |",
      "| Catga ÷ raw, 64 | × 10.0 ±10 % | × 20.0 ±45 % | × 2.00 (1.00–3.00) |",
      "",
      "- only before: gone, 1; gone, 64",
      "- only now: raw, synced, 1; raw, synced, 64",
    ]);
    assertEquals(
      measured,
      "before: aaaa, now: bbbb; transport-node; Deno 2.9.6, nats-server 2.15.1; 2 × CPU; 2026-11-22.",
    );
    assertEquals(others.map(({ id, text }) => [id, text]), [["new", "**Requests a second**\n\n- only now"]]);
  });

  it("comparedBlocks: says so if the trees ran on different packages", () => {
    const before = { ...run("2026-11-21T04:00", [table]), setting: { ...setting, transports: "JSR's packages" } };
    const [{ measured }] = comparedBlocks(before, run("2026-11-22T04:00", [table]), { before: "aaaa", now: "bbbb" });
    assertStringIncludes(
      measured,
      "ON DIFFERENT PACKAGES: before: aaaa, JSR's packages; now: bbbb, transport-node; Deno 2.9.6",
    );
  });

  it("draw: a bar for each row that is there, as long as its median, and words that are escaped", () => {
    const picture = {
      table: "remote",
      title: "A < B",
      groups: [{ column: "64", caption: "64 under way" }, { column: "no such", caption: "" }],
      bars: [{ row: "Catga", caption: "Catga" }, { row: "raw", caption: "raw" }, { row: "no such", caption: "" }],
    };
    const svg = draw(picture, table, "here");
    const widths = [...svg.matchAll(/<rect class="(\w+)".* width="([\d.]+)"/g)].map((
      [, kind, width],
    ) => [kind, +width]);
    assertEquals(widths.map(([kind]) => kind), ["ours", "theirs"]);
    assertEquals(Number(widths[0][1]) / Number(widths[1][1]), 10);
    assertStringIncludes(svg, "A &lt; B");
  });

  it("draw: a table whose columns are the bars", () => {
    const picture = {
      table: "remote",
      title: "growth",
      transposed: true,
      groups: [{ column: "Catga", caption: "Catga" }],
      bars: [{ row: "64", caption: "64" }],
    } as const;
    const svg = draw(picture, table, "here");
    assertEquals([...svg.matchAll(/<rect class="(\w+)"/g)].map(([, kind]) => kind), ["ours"]);
  });
});

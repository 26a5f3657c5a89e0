/**
 * Tables as text, for a terminal and for the docs: each figure is the median of its rounds, beside it half of the
 * distance between the lowest and the highest round.
 *
 * @module
 */
import { median, ratios, type Rounds, spread } from "./statistics.ts";
import { pairsOf, type Table, type Unit } from "./table.ts";

/** A table for a terminal. */
export function textOf(table: Table): string {
  const lines = linesOf(table);
  const widths = lines[0].map((_, at) => Math.max(...lines.map((cells) => cells[at].length)));
  const text = lines.map((cells) =>
    cells.map((cell, at) => at === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[at])).join("   ").trimEnd()
  );
  return [table.title, "", ...text.map((line) => `  ${line}`), ...table.notes.map((note) => `  (${note})`)].join("\n");
}

/** A table for the docs. */
export function markdownOf(table: Table): string {
  const [head, ...lines] = linesOf(table);
  const row = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = head.map((_, at) => at === 0 ? "---" : "---:");
  const notes = table.notes.map((note) => `- ${note}`);
  return [`**${table.title}**`, "", ...[head, rule, ...lines].map(row), ...notes.length > 0 ? ["", ...notes] : []]
    .join("\n");
}

function linesOf(table: Table): string[][] {
  const { columns, rows, unit } = table;
  return [
    ["", ...columns],
    ...rows.map(({ name, cells }) => [name, ...cells.map((rounds) => figureOf(rounds, unit))]),
    ...pairsOf(table).map(({ row, against }) => [
      `${row.name} ÷ ${against.name}`,
      ...row.cells.map((rounds, at) => ratioOf(rounds, against.cells[at])),
    ]),
  ];
}

/** A figure, or a dash. */
export function figureOf(rounds: Rounds, unit: Unit): string {
  if (rounds.length === 0) return "–";
  if (unit === "count" && rounds.length > 1) {
    const [middle, least, most] = [median(rounds), Math.min(...rounds), Math.max(...rounds)];
    return `${amount(middle, unit)} (${amount(least, unit)}–${amount(most, unit)})`;
  }
  const apart = spread(rounds);
  const margin = rounds.length < 2 || !Number.isFinite(apart) ? "" : ` ±${(apart * 100).toFixed(0)} %`;
  return `${amount(median(rounds), unit)}${margin}`;
}

/** The median of the rounds' ratios, and the lowest and the highest of them. */
export function ratioOf(rounds: Rounds, others: Rounds): string {
  if (rounds.length === 0 || others.length === 0) return "–";
  const all = ratios(rounds, others);
  if (!all.every(Number.isFinite)) return "–"; // a count may be 0
  const range = all.length < 2 ? "" : ` (${short(Math.min(...all))}–${short(Math.max(...all))})`;
  return `× ${short(median(all))}${range}`;
}

/** A value with its unit, to three digits or so. */
export function amount(value: number, unit: Unit): string {
  switch (unit) {
    case "per second":
      return value >= 1e6
        ? `${digits(value / 1e6)} M/s`
        : value >= 1e3
        ? `${digits(value / 1e3)} k/s`
        : `${digits(value)} /s`;
    case "ns":
      return value >= 1e6
        ? `${digits(value / 1e6)} ms`
        : value >= 1e3
        ? `${digits(value / 1e3)} µs`
        : `${digits(value)} ns`;
    case "ms":
      return `${digits(value)} ms`;
    case "bytes":
      return `${value.toFixed(0)} B`;
    case "MB":
      return `${value.toFixed(1)} MB`;
    case "times":
      return `× ${short(value)}`;
    case "count":
      return `${Number(value.toFixed(1))}`;
  }
}

function digits(value: number): string {
  return value >= 100
    ? value.toFixed(0)
    : value >= 10
    ? value.toFixed(1)
    : value >= 1
    ? value.toFixed(2)
    : value.toFixed(3);
}

function short(value: number): string {
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

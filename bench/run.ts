/**
 * A run of the bench as a file, and what has changed between two of them.
 *
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { amount } from "./report.ts";

import { median, ratios, type Rounds, spread } from "./statistics.ts";
import type { Setting } from "./surroundings.ts";
import { moreIsBetter, type Table } from "./table.ts";

/** All figures of a run. */
export interface Run {
  /** Of this format. */
  readonly version: 1;
  /** When, in ISO 8601. */
  readonly date: string;
  readonly setting: Setting;
  readonly tables: Table[];
}

/** Writes a run's figures as JSON. */
export async function writeRun(file: string, run: Run): Promise<void> {
  await writeFile(file, `${JSON.stringify(run, null, 1)}\n`);
}

/** Reads what {@link writeRun} wrote; rejects with a `TypeError` when the file is something else. */
export async function readRun(file: string): Promise<Run> {
  const run = JSON.parse(await readFile(file, "utf8"));
  if (run?.version !== 1 || !Array.isArray(run.tables)) throw new TypeError(`${file} holds no figures of this bench`);
  return run as Run; // it says so
}

/** A figure that both runs have. */
interface Change {
  readonly name: string;
  readonly before: Rounds;
  readonly now: Rounds;
  readonly table: Table;
}

/** What has changed by more than the rounds of either run lie apart; a line each. */
export function changesOf(before: Run, now: Run): string {
  const { runtime, machine, transports } = before.setting;
  const same = runtime === now.setting.runtime && machine === now.setting.machine;
  const title = `against ${before.date}, ${runtime}, ${transports}${
    same ? "" : ` (another runtime or machine: ${machine})`
  }`;
  const all = now.tables.flatMap((table) => inBoth(before, table));
  const lines = all.filter(isChange).map((change) => lineOf(change));
  const rest = `${all.length - lines.length} of ${all.length} figures are as they were, as far as the rounds can tell`;
  return [title, ...lines, rest].map((line, at) => at === 0 ? line : `  ${line}`).join("\n");
}

/**
 * What differs between two builds that were measured in turns: each round of one run has its counterpart in the other,
 * and all of their ratios are on one side of 1. A line each.
 */
export function pairedChanges(before: Run, now: Run): string {
  const all = now.tables.flatMap((table) => inBoth(before, table)).map((change) => ({
    ...change,
    times: ratios(change.now, change.before),
  }));
  const differing = all.filter(({ times }) =>
    Math.abs(median(times) - 1) > 0.02 && new Set(times.map((ratio) => Math.sign(ratio - 1))).size === 1
  );
  const lines = differing.map((change) => {
    const { times } = change;
    const [least, most] = [Math.min(...times), Math.max(...times)].map((ratio) => ratio.toFixed(2));
    return `${lineOf(change, median(times) - 1)}; round by round × ${least}–${most}`;
  });
  const rest = `${all.length - lines.length} of ${all.length} figures are the same, as far as the rounds can tell`;
  return [...lines, rest].join("\n");
}

function inBoth(before: Run, table: Table): Change[] {
  const old = before.tables.find(({ id }) => id === table.id);
  return table.rows.flatMap(({ name, cells }) =>
    table.columns.flatMap((column, at) => {
      const oldCells = old?.rows.find((row) => row.name === name)?.cells;
      const rounds = oldCells?.[old!.columns.indexOf(column)] ?? [];
      if (rounds.length === 0 || cells[at].length === 0) return [];
      return [{ name: `${table.id}, ${name}, ${column}`, before: rounds, now: cells[at], table }];
    })
  );
}

function isChange({ before, now }: Change): boolean {
  return Math.abs(median(now) / median(before) - 1) > Math.max(0.02, spread(before), spread(now));
}

function lineOf(
  { name, before, now, table: { unit } }: Change,
  change: number = median(now) / median(before) - 1,
): string {
  const better = change > 0 === moreIsBetter(unit) ? "better" : "worse";
  const percent = `${change > 0 ? "+" : ""}${(change * 100).toFixed(0)} %`;
  return `${better.padEnd(6)}  ${percent.padStart(7)}  ${name}: ${amount(median(before), unit)} → ${
    amount(median(now), unit)
  }`;
}

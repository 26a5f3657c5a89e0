/**
 * The figures of one question: a row for each that was measured, a column for each way in which it was. All rounds are
 * kept, so that ratios can be taken round by round.
 *
 * @module
 */
import type { Rounds } from "./statistics.ts";

/** What a figure counts. */
export type Unit = "per second" | "ns" | "ms" | "bytes" | "MB" | "times" | "count";

/** A row. */
export interface Row {
  readonly name: string;
  /** Its rounds, column by column; none where it was not measured. */
  readonly cells: readonly Rounds[];
}

/** A pair of rows of which the ratio counts. */
export interface Pair {
  readonly row: string;
  readonly against: string;
}

/** A table. */
export interface Table {
  /** Names it among all, for example `remote`. */
  readonly id: string;
  readonly title: string;
  readonly unit: Unit;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  readonly pairs: readonly Pair[];
  /** What a reader has to know in order not to be misled. */
  readonly notes: readonly string[];
  /** Claims of the docs that the figures refute, a line each: the bench then ends with code 1. */
  readonly refuted?: readonly string[] | undefined;
}

/** Returns true if a larger figure is a better one. */
export function moreIsBetter(unit: Unit): boolean {
  return unit === "per second";
}

/** The pairs of which both rows are there. */
export function pairsOf({ rows, pairs }: Table): { row: Row; against: Row }[] {
  const find = (name: string) => rows.find((row) => row.name === name);
  return pairs.flatMap((pair) => {
    const [row, against] = [find(pair.row), find(pair.against)];
    return row === undefined || against === undefined ? [] : [{ row, against }];
  });
}

/**
 * The reasons for which Catga has parts of its own beside NATS's packages, each as a ratio: docs/internals/packages.md
 * has a row for each. A reason that does not hold any more is refuted, and the bench ends with code 1.
 */
import { resolvesToJsr } from "../surroundings.ts";
import { median } from "../statistics.ts";
import type { Row, Table } from "../table.ts";
import type { Measure } from "./section.ts";

/** A row of docs/internals/packages.md. */
interface Claim {
  readonly row: string;
  /** `times`: how many times what Catga's part costs the package costs; `part`: of the cases in which it fails. */
  readonly kind: "times" | "part";
  /** The claim holds while the ratio is no less, or for a package that is used, no more. */
  readonly least?: number;
  readonly most?: number;
}

/** In the order of the page. Bounds lie far from what was measured, so that a busy machine refutes nothing. */
export const CLAIMS: readonly Claim[] = [
  { row: "publish", kind: "times", least: 1.5 },
  { row: "reads", kind: "times", most: 2 },
  { row: "load", kind: "times", least: 1.02 },
  { row: "core-publish", kind: "times", least: 1.2 },
  { row: "core-headers", kind: "times", least: 1.2 },
  { row: "core-servers", kind: "part", least: 0.4 },
  { row: "core-clock", kind: "part", least: 0.5 },
  { row: "core-dead-link", kind: "part", least: 0.5 },
  { row: "core-outage", kind: "part", least: 0.5 },
  { row: "core-lost", kind: "part", least: 0.5 },
  { row: "node-dial", kind: "part", least: 0.5 },
  { row: "watch", kind: "part", least: 0.5 },
  { row: "ordered-pull", kind: "part", least: 0.01 },
  { row: "ordered-push", kind: "times", least: 2 },
  { row: "consumers-add", kind: "part", least: 0.5 },
  { row: "any-answer", kind: "part", least: 0.5 },
  { row: "kv-update", kind: "part", least: 0.5 },
  { row: "kv-create", kind: "times", least: 2 },
  { row: "kv-purge", kind: "part", least: 0.5 },
  { row: "kv-watch", kind: "times", least: 2 },
  { row: "getbatch", kind: "part", least: 0.5 },
  { row: "transport-deno", kind: "times", least: 1.5 },
];

type Both = Readonly<Record<"package" | "own", number>>;

/** Measures each claim. */
export const packages: Measure = async (stage, effort) => {
  await stage.clear();
  const program = await stage.start("programs/packages.ts", [stage.url]);
  const found = new Map<string, number[]>(CLAIMS.map(({ row }) => [row, []]));
  const compare = async (row: string, count: number) => {
    const { package: theirs, own } = await program.ask<Both>(row, { count });
    found.get(row)!.push(theirs / own);
  };
  const skipped = resolvesToJsr() ? [] : ["transport-deno"];
  for (let round = 0; round < effort.rounds(5, 3); round++) {
    await compare("publish", effort.count(20_000, 8_000, 400));
    await compare("reads", effort.count(8_000, 4_000, 400));
    await compare("core-publish", effort.count(100_000, 40_000, 2_000));
    await compare("core-headers", effort.count(10_000, 5_000, 512));
    const fresh = await stage.start("programs/package_load.ts", [stage.url]);
    const { package: loaded, own: connected } = await fresh.ask<Both>("load");
    found.get("load")!.push(loaded / connected);
    await fresh.stop();
    if (skipped.length === 0) await compare("transport-deno", effort.count(20_000, 8_000, 400));
  }
  await compare("kv-create", 1);
  const silence = await program.ask<Record<string, number>>("silence");
  for (const row of ["kv-watch", "ordered-push"]) found.get(row)!.push(silence[row] / silence.own);
  for (const { row, kind } of CLAIMS) if (kind === "part") found.get(row)!.push(await program.ask<number>(row));
  await stage.clear();
  return [tableOf(found, skipped)];
};

/** The table of what was found, with the claims that it refutes. */
export function tableOf(found: ReadonlyMap<string, readonly number[]>, skipped: readonly string[]): Table {
  const measured = CLAIMS.filter(({ row }) => !skipped.includes(row));
  const refuted = measured.filter(({ row, least = -Infinity, most = Infinity }) => {
    const ratio = median(found.get(row) ?? []);
    return !(ratio >= least && ratio <= most);
  });
  return {
    id: "packages",
    title: "NATS's packages: the package ÷ Catga's part, or the part of the cases in which the package fails",
    unit: "times",
    columns: ["ratio", "at least", "at most"],
    rows: measured.map(({ row, least, most }): Row => ({
      name: row,
      cells: [found.get(row) ?? [], least === undefined ? [] : [least], most === undefined ? [] : [most]],
    })),
    pairs: [],
    notes: [
      "publish, reads, load, core-publish, core-headers: processor; kv-create: requests; kv-watch, ordered-push: silence after the consumer was lost, 30 s at most",
      ...skipped.map((row) => `not measured: ${row}, which needs JSR's packages in Deno`),
    ],
    refuted: refuted.map(({ row }) => `the reason in row ${row} of docs/internals/packages.md is gone`),
  };
}

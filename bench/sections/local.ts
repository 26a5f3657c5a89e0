/** Local sends: ns and bytes for each, by hand, with Catga, and with peers. */
import { alternate } from "../rounds.ts";
import type { Row, Table } from "../table.ts";
import type { Measure } from "./section.ts";

/** A program, and the arguments that make it one row of a table. */
interface Contestant {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
}

const CATGA: readonly Contestant[] = ["sync", "async", "1 behavior", "3 behaviors", "schema", "idempotent"].map(
  (variant) => ({ name: `Catga, ${variant}`, file: "programs/catga_local.ts", args: [variant] }),
);

const BY_HAND: readonly Contestant[] = [
  { name: "by hand, sync", file: "programs/by_hand.ts", args: ["sync"] },
  { name: "by hand, async", file: "programs/by_hand.ts", args: ["async"] },
  { name: "by hand, in the loop", file: "programs/by_hand.ts", args: ["sync", "inline"] },
];

const PAIRS = [
  { row: "Catga, sync", against: "by hand, sync" },
  { row: "Catga, async", against: "by hand, async" },
  { row: "Catga, sync", against: "by hand, in the loop" },
];

/** Measures local sends. */
export const local: Measure = async (stage, effort) => {
  const contestants = [...BY_HAND, ...CATGA];
  const programs = await Promise.all(contestants.map(async ({ name, file, args }) => {
    return { name, program: await stage.start(file, args) };
  }));
  const ms = effort.ms(200, 50);
  await alternate(programs.map(({ name, program }) => ({ name, play: () => program.ask("time", { ms }) })), 2);
  const times = await alternate<number>(
    programs.map(({ name, program }) => ({ name, play: () => program.ask("time", { ms }) })),
    effort.rounds(7, 3),
  );
  await stage.clear();
  const heap = await heapRows([...contestants], stage);
  const tables: Table[] = [{
    id: "local",
    title: "Local: a send, awaited before the next one; twenty contracts in use",
    unit: "ns",
    columns: ["a send"],
    rows: [...times].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: PAIRS,
    notes: [
      "by hand: an async function that looks a handler up in a Map, awaits what it gives and makes a result of it; " +
      "in the loop: the same without a function of its own, so without a promise of a result",
    ],
  }];
  if (heap.length > 0) {
    tables.push({
      id: "local-heap",
      title: "Local: heap that a send takes, before it is collected",
      unit: "bytes",
      columns: ["a send"],
      rows: heap,
      pairs: [],
      notes: [],
    });
  }
  return tables;
};

/** A young generation that holds all that is made between two looks; only V8 says how much that was. */
const V8 = ["--v8-flags=--expose-gc,--min-semi-space-size=256,--max-semi-space-size=256"];

async function heapRows(
  contestants: readonly Contestant[],
  stage: Parameters<Measure>[0],
): Promise<Row[]> {
  if (!stage.setting.runtime.startsWith("Deno")) return [];
  const rows: Row[] = [];
  for (const { name, file, args } of contestants) {
    await using program = await stage.start(file, args, V8);
    rows.push({ name, cells: [[await program.ask<number>("heap")]] });
  }
  return rows;
}

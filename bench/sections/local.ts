/** Local sends: ns and bytes for each, by hand, with Catga, and with peers. */
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Row, Table } from "../table.ts";
import { type Contestant, type Effort, type Measure, timed } from "./section.ts";

const CATGA: readonly Contestant[] = [
  "sync",
  "async",
  "1 behavior",
  "3 behaviors",
  "1 async behavior",
  "schema",
  "idempotent",
].map(
  (variant) => ({ name: `Catga, ${variant}`, file: "programs/catga_local.ts", args: [variant] }),
);

const BY_HAND: readonly Contestant[] = [
  { name: "by hand, sync", file: "programs/by_hand.ts", args: ["sync"] },
  { name: "by hand, async", file: "programs/by_hand.ts", args: ["async"] },
  { name: "by hand, sync, no async function", file: "programs/by_hand.ts", args: ["sync", "plain"] },
  { name: "by hand, async, no async function", file: "programs/by_hand.ts", args: ["async", "plain"] },
  { name: "by hand, in the loop", file: "programs/by_hand.ts", args: ["sync", "inline"] },
  { name: "by hand, idempotent", file: "programs/by_hand.ts", args: ["sync", "idempotent"] },
];

/** Those whose packages are in `bench/package.json`. */
const PEERS: readonly Contestant[] = ["sync", "async"].flatMap((kind) => [
  { name: `Moleculer, ${kind}`, file: "peers/moleculer_local.ts", args: [kind] },
  { name: `NestJS CQRS, ${kind}`, file: "peers/nest_cqrs.ts", args: [kind] },
  { name: `mediatr-ts, ${kind}`, file: "peers/mediatr.ts", args: [kind] },
]);

/** In little time, sync handlers alone: the others differ by a promise. */
function peers({ quick }: Effort): Contestant[] {
  return PEERS.filter(({ args: [kind] }) => !quick || kind === "sync");
}

const PAIRS = [
  { row: "Catga, sync", against: "by hand, sync" },
  { row: "Catga, async", against: "by hand, async" },
  { row: "Catga, sync", against: "by hand, sync, no async function" },
  { row: "Catga, async", against: "by hand, async, no async function" },
  { row: "Catga, sync", against: "by hand, in the loop" },
  { row: "Catga, idempotent", against: "by hand, idempotent" },
  ...PEERS.map(({ name, args: [kind] }) => ({ row: name, against: `Catga, ${kind}` })),
];

/** Measures local sends. */
export const local: Measure = async (stage, effort) => {
  await stage.clear();
  const contestants = [...BY_HAND, ...CATGA, ...effort.peers ? peers(effort) : []];
  const ms = effort.ms(120, 20);
  const players = await timed(stage, contestants, ms);
  await alternate(players, effort.warm(2));
  const times = await alternate(players, effort.rounds(7, 3, 3));
  await stage.clear();
  const weighed = contestants.filter(({ name, file }) =>
    times.get(name)?.length && !(effort.quick && file.startsWith("peers/"))
  );
  // a trial has one of each program: in Deno each is started a second time, and the others do what it does
  const some = effort.count(weighed.length, weighed.length, 1);
  const ofEach = Map.groupBy(weighed, ({ file }) => file).values().flatMap((all) => all.slice(0, some));
  const heap = await heapRows([...ofEach], stage, effort.ms(300, 100));
  const tables: Table[] = [{
    id: "local",
    title: "Local: a send, awaited before the next one; twenty contracts in use",
    unit: "ns",
    columns: ["a send"],
    rows: [...times].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: PAIRS,
    notes: [
      "by hand: an async function that looks a handler up in a Map, awaits what it gives and makes a result of it; " +
      "no async function: the same with Promise.resolve and then, as a careful hand writes it; in the loop: the same without a function of its own, so without a promise of a result",
      "idempotent by hand: a hash of the payload, a claim and the result in its place in the store in memory that Catga " +
      "has, and the result read from its text; no deadline, renewal, fence or other attempt",
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

/**
 * A young generation that holds all that is made between two looks; only V8 says how much that was. Code that is
 * compiled under these flags is no use to other programs.
 */
const V8 = ["--no-code-cache", "--v8-flags=--expose-gc,--min-semi-space-size=256,--max-semi-space-size=256"];

async function heapRows(
  contestants: readonly Contestant[],
  stage: Stage,
  ms: number,
): Promise<Row[]> {
  if (!stage.setting.runtime.startsWith("Deno")) return [];
  return await Promise.all(contestants.map(async ({ name, file, args }) => {
    await using program = await stage.start(file, args, V8);
    return { name, cells: [[await program.ask<number>("heap", { ms })]] };
  }));
}

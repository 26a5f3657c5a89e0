/**
 * A file instead of a server: workflows, durable events and commands of entities on it, beside the same in memory, by
 * hand and with peers; what a start on it and an idle program take. Each with what the disk's own sync takes.
 */
import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Program } from "../program.ts";
import type { EventsOptions } from "../programs/filed.ts";
import type { AtOnce, Ran } from "../programs/flowing.ts";
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Row, Table } from "../table.ts";
import type { Rounds } from "../statistics.ts";
import type { Effort, Measure } from "./section.ts";

const AT_ONCE = [1, 64, 256];
const OWN = "Catga, a file, synced";
const KEPT = "Catga, a file, not synced";
const MEMORY = "Catga, in memory";
const BY_HAND = "by hand: a synced transaction a step";
const RESTATE = "Restate";

/** A program that keeps messages in a file, and handles them. */
interface Keeper {
  readonly name: string;
  readonly program: Program;
  readonly drop?: ((error: unknown) => void) | undefined;
}

/** The disk: it measures what a sync takes, in ms. */
interface Disk {
  readonly sync: () => Promise<number>;
  readonly took: { readonly what: string; readonly rounds: Rounds }[];
}

/** Measures a file. */
export const file: Measure = async (stage, effort, company) => {
  const folder = await mkdtemp(join(tmpdir(), "catga-bench-file-"));
  try {
    await stage.clear();
    const restate = effort.peers ? await company.engage([{ name: RESTATE, file: "peers/restate.ts", nodes: 1 }]) : [];
    const start = (file: string, ...args: string[]) => stage.start(file, args);
    const ours: Keeper[] = [
      { name: OWN, program: await start("programs/filed_catga.ts", join(folder, "disk.db"), "disk") },
      { name: KEPT, program: await start("programs/filed_catga.ts", join(folder, "process.db"), "process") },
      { name: MEMORY, program: await start("programs/filed_catga.ts") },
    ];
    const byHand = await start("programs/filed_by_hand.ts", join(folder, "hand.db"));
    const disk: Disk = { sync: () => byHand.ask<number>("sync", { ms: effort.ms(200, 50) }), took: [] };
    const peers = effort.peers ? await queues(stage, folder) : [];
    const flowing = [
      ...ours,
      { name: BY_HAND, program: byHand },
      ...restate.map(({ name, client, drop }) => ({ name, program: client, drop })),
    ];
    const tables = [
      await workflows(flowing, disk, effort),
      await events([...ours, ...peers], disk, effort),
      await commands(ours, disk, effort),
      syncs(disk),
    ];
    await stage.clear();
    return [...tables, ...await starts(stage, folder, effort)];
  } finally {
    await stage.clear();
    await rm(folder, { recursive: true, force: true });
  }
};

/** What the disk's own sync takes, beside each question. */
function syncs({ took }: Disk): Table {
  return {
    id: "file-disk",
    title: "A file: what the disk takes to sync 4 kB, between the rounds of each table",
    unit: "ms",
    columns: took.map(({ what }) => what),
    rows: [{ name: SYNC, cells: took.map(({ rounds }) => rounds) }],
    pairs: [],
    notes: ["written behind a growing file, fdatasync in the event loop; figures that are synced depend on it"],
  };
}

/** Queues of others on a file, those that this runtime has. */
async function queues(stage: Stage, folder: string): Promise<Keeper[]> {
  const isDeno = stage.setting.runtime.startsWith("Deno");
  const all = isDeno ? [{ name: "Deno KV, enqueue", file: "peers/deno_kv.ts", words: ["--unstable-kv"] }] : [
    { name: "plainjob, synced", file: "peers/plainjob.ts", words: [] },
    { name: "bunqueue, durable", file: "peers/bunqueue.ts", words: [] },
  ];
  const started = await Promise.all(all.map(({ name, file, words }) =>
    stage.orLeaveOut(name, file, async () => {
      const program = await stage.start(file, [join(folder, `${name.split(/[ ,]/)[0]}.db`)], words);
      return { name, program, drop: stage.dropping(name, file) };
    })
  ));
  return started.filter((peer) => peer !== undefined);
}

/** Rounds of all programs, in turn, and beside each what a sync takes then: other programs use the disk, too. */
async function together(
  all: readonly Keeper[],
  ask: (program: Program) => Promise<number>,
  disk: Disk,
  effort: Effort,
): Promise<Map<string, number[]>> {
  const players = all.map(({ name, program, drop }) => ({ name, drop, play: () => ask(program) }));
  await alternate(players, effort.warm(2));
  return await alternate([...players, { name: SYNC, play: disk.sync }], effort.rounds(7, 3));
}

async function workflows(all: readonly Keeper[], disk: Disk, effort: Effort): Promise<Table> {
  const figures: Map<string, number[]>[] = [];
  for (const atOnce of AT_ONCE) {
    const options: AtOnce = { atOnce, ms: effort.ms(1_000, 400), runs: 1 };
    figures.push(await together(all, async (program) => (await program.ask<Ran>("run", options)).rate, disk, effort));
  }
  disk.took.push({ what: "workflows", rounds: figures.flatMap((rounds) => rounds.get(SYNC)!) });
  return {
    id: "file-workflows",
    title: "A file: workflows of three steps a second, from start to result, in one process",
    unit: "per second",
    columns: AT_ONCE.map((atOnce) => atOnce === 1 ? "alone" : `${atOnce} at once`),
    rows: all.map(({ name }) => ({ name, cells: figures.map((rounds) => rounds.get(name)!) })),
    pairs: [BY_HAND, RESTATE, MEMORY].map((against) => ({ row: OWN, against })),
    notes: ["by hand: three transactions of SQLite a run, each synced in the event loop, and nothing else"],
  };
}

async function events(all: readonly Keeper[], disk: Disk, effort: Effort): Promise<Table> {
  const options: EventsOptions = { atOnce: 256, ms: effort.ms(1_000, 400) };
  const figures = await together(all, (program) => program.ask<number>("events", options), disk, effort);
  disk.took.push({ what: "events", rounds: figures.get(SYNC)! });
  return {
    id: "file-events",
    title: "A file: durable events a second, 256 published at once, until all are handled, in order by key",
    unit: "per second",
    columns: ["stored and handled"],
    rows: all.map(({ name }) => ({ name, cells: [figures.get(name)!] })),
    pairs: all.filter(({ name }) => name !== OWN).map(({ name }) => ({ row: OWN, against: name })),
    notes: ["Deno KV and bunqueue promise no order by key; what Deno KV syncs was not looked up"],
  };
}

async function commands(all: readonly Keeper[], disk: Disk, effort: Effort): Promise<Table> {
  const ms = effort.ms(1_000, 400);
  const figures = await together(all, (program) => program.ask<number>("commands", { ms }), disk, effort);
  disk.took.push({ what: "commands", rounds: figures.get(SYNC)! });
  return {
    id: "file-entities",
    title: "A file: commands of 256 entities a second, one of each at a time",
    unit: "per second",
    columns: ["commands"],
    rows: all.map(({ name }) => ({ name, cells: [figures.get(name)!] })),
    pairs: [{ row: OWN, against: MEMORY }],
    notes: [],
  };
}

/** What a start on an empty file takes, and a program that then waits: its memory, and what it writes. */
async function starts(stage: Stage, folder: string, effort: Effort): Promise<Table[]> {
  const took = new Map<string, Started[]>();
  let made = 0;
  const players = [MEMORY, OWN].map((name) => ({
    name,
    async play(): Promise<Started> {
      const inner = join(folder, `start-${made++}`);
      await mkdir(inner);
      const program = await stage.start(START, name === MEMORY ? [] : [join(inner, "empty.db")]);
      const { ms, processor } = await program.ask<Pick<Started, "ms" | "processor">>("start");
      // what a start leaves to do is done by then
      await pause(effort.ms(3_000, 1_500));
      const before = await written(inner);
      await pause(effort.ms(2_000, 500));
      const changed = (await written(inner)).filter((each, at) => each !== before[at]).length;
      const memory = await program.megabytes();
      await program.leave();
      await stage.clear();
      return { ms, processor, memory, changed };
    },
  }));
  await alternate(players, effort.warm(1));
  for (const [name, rounds] of await alternate(players, effort.rounds(7, 3))) took.set(name, rounds);
  const pairs = [{ row: OWN, against: MEMORY }];
  const rows = (of: (started: Started) => number): Row[] =>
    [...took].map(([name, rounds]) => ({ name, cells: [rounds.map(of)] }));
  return [
    {
      ...{ id: "file-start", title: "A file: catga() on an empty file, in a fresh process", unit: "ms", pairs },
      columns: ["from the call", "of it: processor"],
      rows: rows(({ ms }) => ms).map(({ name, cells }) => ({
        name,
        cells: [...cells, took.get(name)!.map(({ processor }) => processor)],
      })),
      notes: ["with code that runs for the first time; a new file is made and synced"],
    },
    {
      ...{ id: "file-idle", title: "A file: a program that waits", unit: "MB", pairs },
      ...{ columns: ["resident"], rows: rows(({ memory }) => memory) },
      notes: [],
    },
    {
      ...{
        id: "file-idle-writes",
        title: "A file: files that a program that waits writes to",
        unit: "count",
        pairs: [],
      },
      ...{ columns: ["files"], rows: rows(({ changed }) => changed).filter(({ name }) => name === OWN) },
      notes: [],
    },
  ];
}

/** Start of a program, and what it takes while it waits. */
interface Started {
  readonly ms: number;
  readonly processor: number;
  /** In MB. */
  readonly memory: number;
  /** Number of files that it has written to while it waited. */
  readonly changed: number;
}

/** When each file of a folder was last written, and its size. */
async function written(folder: string): Promise<string[]> {
  return await Promise.all(
    (await readdir(folder)).sort().map(async (name) => {
      const { mtimeMs, size } = await stat(join(folder, name));
      return `${name} ${mtimeMs} ${size}`;
    }),
  );
}

const SYNC = "a sync of 4 kB";
const START = "programs/filed_start.ts";

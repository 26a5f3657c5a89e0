/**
 * Workflows: runs of three steps from start to result, beside four chained appends by hand and Restate; long runs that
 * go on, and many that wake at once.
 */
import type { AtOnce, Ran } from "../programs/flowing.ts";
import type { Program } from "../program.ts";
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import { startNatsServer } from "../../tools/nats_server.ts";
import { type Contestant, overOf, overRaw, pairsOf, type Running } from "./contestants.ts";
import type { Effort, Measure } from "./section.ts";

const AT_ONCE = [1, 64, 256];
const RAW = "by hand";
const FOLLOWED = "by hand, followed by a second process";
/** Over transport-node in Deno, too: over transport-deno a run alone takes 35 ms, which is no floor. */
const LED = "by hand, with steps over transport-node, led by a second process";
/** Rows by hand with a second process: over one transport only, and not on the server that syncs each write. */
const SINGLE = [FOLLOWED, LED];
/** In one process without NATS. */
const LOCAL = "in one process without NATS";
const LOCAL_BY_HAND = `by hand, ${LOCAL}`;
const OWN = "Catga";
const SYNCED = "each write synced";
const RESTATE: Contestant = { name: "Restate", file: "peers/restate.ts", nodes: 1 };
/** Runs of each row before it is measured: in the first ones compilers take up to half of the processor. */
const WARM_RUNS = 20_000;
/** The same for rows whose rate is the disk's: 20,000 runs would take a minute. */
const WARM_RUNS_SYNCED = 5_000;

/** Measures workflows. */
export const workflows: Measure = async (stage, effort, company) => {
  await using server = await startNatsServer({ config: "jetstream { sync_interval: always }" });
  const all = ours(stage);
  const byHand = all.filter(({ name }) => name.startsWith(RAW));
  const onSynced = ({ name, options, against = [], ...contestant }: Contestant) => ({
    ...contestant,
    name: synced(name),
    options: { ...options, url: server.url },
    against: [...against.filter((name) => name.startsWith(RAW) && !SINGLE.includes(name)).map(synced), RESTATE.name],
  });
  const contestants = await company.engage([
    ...all,
    { ...byHand[0], name: FOLLOWED, nodes: 1, against: [RAW] },
    {
      ...{ name: LED, file: "programs/workflows_led.ts", nodes: 1, options: { transport: "node" } },
      against: byHand.map(({ name }) => name),
    },
    { name: LOCAL_BY_HAND, file: "programs/workflows_local.ts", nodes: 0, options: { variant: RAW } },
    { name: `${OWN}, ${LOCAL}`, file: "programs/workflows_local.ts", nodes: 0, against: [LOCAL_BY_HAND] },
    ...all.map(onSynced),
    ...effort.peers ? [RESTATE] : [],
  ]);
  const catga = contestants.filter(({ name }) =>
    name.startsWith(OWN) && !name.includes(SYNCED) && !name.includes(LOCAL)
  );
  const tables = await together(contestants, effort);
  return effort.floors ? tables : [...tables, await resuming(catga, effort), await waking(catga, effort)];
};

/** Measures what sleeping runs cost: some minutes, so it runs only when it is asked for. */
export const workflowsGrowth: Measure = async (stage, effort, company) => {
  const runs = effort.count(100_000, 20_000, 80);
  const [{ client, nodes }] = await company.engage(ours(stage).filter(({ name }) => name === OWN));
  const programs = [client, ...nodes];
  const memory = programs.map((): number[][] => []);
  const look = async () => {
    for (const [i, program] of programs.entries()) memory[i].push([await program.megabytes()]);
  };
  await look();
  for (let part = 0; part < PARTS; part++) {
    // each task must end within a minute
    for (let n = 0; n < TASKS; n++) await client.ask("sleep", { runs: runs / PARTS / TASKS });
    await look();
  }
  const reached = Array.from({ length: PARTS }, (_, at) => Math.round((at + 1) * runs / PARTS).toLocaleString("en"));
  return [{
    id: "workflows-growth-memory",
    title: `Workflows: ${runs.toLocaleString("en")} sleeping runs, memory of the nodes`,
    unit: "MB",
    columns: ["before", ...reached],
    rows: ["starts and drives them", "drives them"].map((name, i) => ({ name, cells: memory[i] })),
    pairs: [],
    notes: ["resident, of which most is what starting them leaves to the garbage collector"],
  }];
};

const PARTS = 4;
const TASKS = 5;

/** The name of a row on a server that syncs each write. */
function synced(name: string): string {
  return `${name}, ${SYNCED}`;
}

/** By hand and Catga, over each transport. */
function ours(stage: Stage): Contestant[] {
  const { transports, rawTransports } = stage;
  return [
    ...rawTransports.map((transport) => ({
      name: `${RAW}${overOf(transport, rawTransports)}`,
      file: "programs/workflows_nats.ts",
      nodes: 0,
      options: { transport },
    })),
    ...transports.map((transport, at) => ({
      name: `${OWN}${overOf(transport, transports)}`,
      file: "programs/workflows_catga.ts",
      nodes: 1,
      options: { transport },
      against: [
        `${RAW}${overRaw(transport, stage)}`,
        ...at === 0 ? [...SINGLE, RESTATE.name] : [OWN],
      ],
    })),
  ];
}

async function together(contestants: readonly Running[], effort: Effort): Promise<Table[]> {
  const [warm, warmSynced] = [WARM_RUNS, WARM_RUNS_SYNCED].map((runs) => effort.count(runs, runs, 20));
  const warming = contestants.map((running) => {
    const { name, drop } = running;
    const isSynced = name.endsWith(SYNCED) || name === RESTATE.name;
    return { name, drop, play: () => warmUp(running, isSynced ? warmSynced : warm) };
  });
  await alternate(warming, 1);
  const figures: Map<string, Round[]>[] = [];
  for (const atOnce of AT_ONCE) {
    const least = Math.max(200, atOnce * 10);
    const options: AtOnce = {
      atOnce,
      ms: effort.ms(effort.floors ? 400 : 1_000, 400),
      runs: effort.count(least, least, 1),
    };
    const players = contestants.map((running) => ({
      ...{ name: running.name, drop: running.drop },
      play: () => round(running, options),
    }));
    await alternate(players, effort.warm(1));
    figures.push(await alternate(players, effort.rounds(9, 3, 3)));
  }
  const rows = (of: (round: Round) => number) =>
    contestants.map(({ name }) => ({ name, cells: figures.map((rounds) => rounds.get(name)!.map(of)) }));
  const columns = AT_ONCE.map((atOnce) => atOnce === 1 ? "alone" : `${atOnce} at once`);
  const [p50, p99] = [rows(({ p50 }) => p50), rows(({ p99 }) => p99)];
  const pairs = pairsOf(contestants);
  return [
    {
      id: "workflows",
      title: "Workflows: runs of three local steps a second, from start to result, on two nodes",
      unit: "per second",
      columns,
      rows: rows(({ rate }) => rate),
      pairs,
      notes: [
        `each is measured after ${warm.toLocaleString("en")} runs, ${
          warmSynced.toLocaleString("en")
        } of Restate and where each write is synced`,
        "by hand: four appends, each of which expects the one before, in one process that decides nothing; a run is four appends",
        "followed: the second process reads them and knows which runs are open, which is the least that lets it go on with them",
        "led: a handler with three steps; the second process hands starts out and records how far runs have ended, as a leader does",
        "in one process without NATS: four appends by hand to the store in memory that the run of Catga is stored in",
        "Restate syncs what it stores to the disk, nats-server every two minutes; each write: with sync_interval: always",
      ],
    },
    {
      id: "workflows-latency",
      title: "Workflows: the same, from start to result",
      unit: "ms",
      columns: columns.flatMap((column) => [`${column}, p50`, `${column}, p99`]),
      rows: p50.map(({ name, cells }, at) => ({ name, cells: cells.flatMap((cell, n) => [cell, p99[at].cells[n]]) })),
      pairs,
      notes: [],
    },
    {
      id: "workflows-processor",
      title: "Workflows: the processor's time of all processes but the servers', for each run",
      unit: "ms",
      columns,
      rows: rows(({ processor }) => processor),
      pairs,
      notes: [],
    },
  ];
}

/** Has a program do so many runs, some in a task, which must end within a minute; resolves with their number. */
export async function warmUp({ client }: { readonly client: Pick<Program, "ask"> }, runs: number): Promise<number> {
  let done = 0;
  while (done < runs) {
    const options: AtOnce = { atOnce: 256, ms: 0, runs: Math.min(1_000, runs - done) };
    done += (await client.ask<Ran>("run", options)).runs;
  }
  return done;
}

interface Round extends Ran {
  /** For each run, in ms. */
  readonly processor: number;
}

async function round({ client, nodes }: Running, options: AtOnce): Promise<Round> {
  const processor = async () => {
    const all = await Promise.all([client, ...nodes].map((program) => program.ask<number>("processor", {})));
    return all.reduce((sum, one) => sum + one);
  };
  const before = await processor();
  const ran = await client.ask<Ran>("run", options);
  return { ...ran, processor: (await processor() - before) / ran.runs };
}

async function resuming(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const lengths = [effort.count(1_000, 1_000, 20), effort.count(9_500, 9_500, 40)];
  const figures: Map<string, number[]>[] = [];
  for (const steps of lengths) {
    const players = contestants.map(({ name, client }) => ({
      name,
      play: () => client.ask<number>("resume", { steps }),
    }));
    figures.push(await alternate(players, effort.rounds(5, 2)));
  }
  return {
    id: "workflows-resume",
    title: "Workflows: a run that no node has in memory goes on, from the signal to the result",
    unit: "ms",
    columns: lengths.map((steps) => `${steps.toLocaleString("en")} steps`),
    rows: contestants.map(({ name }) => ({ name, cells: figures.map((rounds) => rounds.get(name)!) })),
    pairs: [],
    notes: [],
  };
}

async function waking(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const runs = effort.count(1_000, 1_000, 10);
  // until all of them sleep
  const ms = effort.count(8_000, 8_000, 500) + runs * 5;
  const players = contestants.map(({ name, client }) => ({
    name,
    play: () => client.ask<number>("wake", { runs, ms }),
  }));
  const rounds = await alternate(players, effort.rounds(3, 1));
  return {
    id: "workflows-wake",
    title: `Workflows: ${
      runs.toLocaleString("en")
    } sleeping runs wake within one second; how long after its begin all have ended`,
    unit: "ms",
    columns: ["all ended"],
    rows: [...rounds].map(([name, times]) => ({ name, cells: [times] })),
    pairs: [],
    notes: [],
  };
}

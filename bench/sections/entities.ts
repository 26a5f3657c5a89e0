/**
 * Entities: commands until they are stored, in the own process and through another node, and loading what is stored.
 */
import type { Program } from "../program.ts";
import type { Changing, Reading } from "../programs/decided.ts";
import { alternate } from "../rounds.ts";
import type { Stage } from "../stage.ts";
import type { Table } from "../table.ts";
import { type Contestant, overOf, overRaw, pairsOf, type Running } from "./contestants.ts";
import type { Effort, Measure } from "./section.ts";

/** So many entities have a command under way each. */
const AT_ONCE = 256;
/**
 * How many events of an entity that is loaded are in its snapshot, which comes when there are so many, and how many
 * behind it.
 */
const WITHIN = 100;
const BEHIND = 50;
/** How those by hand read it. */
const SNAPSHOT = "direct get of a snapshot";

const RAW = "by hand";
const LOADED = "by hand, with its load";
const RAW_FAR = "by hand, through another node";
const OWN = "Catga";
const FAR = "Catga, through another node";

/** Measures entities. */
export const entities: Measure = async (stage, effort, company) => {
  const all = await company.engage(ours(stage));
  const contestants = all.filter(({ name }) => name !== LOADED);
  return [
    ...await commands(contestants, effort),
    await steady(contestants, effort),
    await alone(all, effort),
    await together(contestants, effort),
    ...await loading(contestants, effort),
  ];
};

function ours(stage: Stage): Contestant[] {
  const { transports: [transport, ...others], rawTransports } = stage;
  const file = "programs/entities_catga.ts";
  const byHand = { file: "programs/entities_nats.ts", nodes: 0 };
  return [
    { ...byHand, name: RAW, options: { transport: rawTransports[0] } },
    { ...byHand, name: LOADED, options: { transport: rawTransports[0], variant: "load" } },
    { ...byHand, name: RAW_FAR, nodes: 1, options: { transport: rawTransports[0] }, against: [RAW] },
    { name: OWN, file, nodes: 0, options: { transport }, against: [RAW, LOADED] },
    { name: FAR, file, nodes: 1, options: { transport }, against: [RAW, LOADED, RAW_FAR] },
    ...rawTransports.slice(1).map((transport) => ({
      ...{ ...byHand, name: `${RAW}${overOf(transport, rawTransports)}`, options: { transport } },
    })),
    ...others.flatMap((transport) =>
      [OWN, FAR].map((name, nodes) => ({
        name: `${name}${overOf(transport, stage.transports)}`,
        file,
        nodes,
        options: { transport },
        against: [`${RAW}${overRaw(transport, stage)}`, name],
      }))
    ),
  ];
}

interface Changed {
  readonly rate: number;
  readonly p50: number;
  readonly processor: number;
}

function changing(contestants: readonly Running[], options: Changing) {
  return contestants.map(({ name, client }) => ({ name, play: () => client.ask<Changed>("change", options) }));
}

async function commands(contestants: readonly Running[], effort: Effort): Promise<Table[]> {
  const players = changing(contestants, { entities: AT_ONCE, ms: effort.ms(400, 100) });
  // in Bun the rate still rises after some seconds
  await alternate(players, effort.warm(12, 1));
  const figures = await alternate(players, effort.rounds(24, 3));
  const table = { columns: ["stored"], pairs: pairs(contestants) };
  return [{
    ...table,
    id: "entities",
    title: `Entities: commands stored a second, one under way for each of ${AT_ONCE} entities`,
    unit: "per second",
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds.map(({ rate }) => rate)] })),
    notes: [
      "by hand: the same message by nc.publish, with Nats-Expected-Last-Subject-Sequence, and one subscription for all " +
      "acknowledgements; it decides nothing, and remembers a number",
    ],
  }, {
    ...table,
    id: "entities-processor",
    title:
      `Entities: processor of a command in the process that sends it, one under way for each of ${AT_ONCE} entities`,
    unit: "ns",
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds.map(({ processor }) => processor * 1_000)] })),
    notes: [],
  }];
}

/** The pairs of those that take part. */
function pairs(contestants: readonly Running[]): { row: string; against: string }[] {
  return pairsOf(contestants).filter(({ against }) => contestants.some(({ name }) => name === against));
}

/** The same for a minute, in windows that alternate with those by hand. */
async function steady(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const both = contestants.filter(({ name }) => name === RAW || name === OWN);
  const players = changing(both, { entities: AT_ONCE, ms: effort.ms(5_000, 100) });
  const thirds = ["first third", "second third", "last third"];
  const cells = new Map(both.map(({ name }) => [name, [] as (readonly number[])[]]));
  for (const _ of thirds) {
    const figures = await alternate(players, effort.count(2, 1));
    for (const [name, rounds] of figures) cells.get(name)!.push(rounds.map(({ rate }) => rate));
  }
  return {
    id: "entities-steady",
    title: `Entities: the same commands, for a minute`,
    unit: "per second",
    columns: thirds,
    rows: [...cells].map(([name, cells]) => ({ name, cells })),
    pairs: pairs(both),
    notes: ["windows of 5 s, one by hand and one of Catga in turn"],
  };
}

/** Many commands of one entity at once: by hand each would wait for the one before. */
async function together(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const both = contestants.filter(({ name }) => name.startsWith(OWN));
  const players = changing(both, { entities: 1, each: AT_ONCE, ms: effort.ms(500, 100) });
  await alternate(players, effort.warm(1));
  const figures = await alternate(players, effort.rounds(7, 3));
  return {
    id: "entities-together",
    title: `Entities: one entity, ${AT_ONCE} commands at once`,
    unit: "per second",
    columns: ["stored"],
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds.map(({ rate }) => rate)] })),
    pairs: [],
    notes: ["those that wait while one is stored are decided one on the other's state, and stored in one message"],
  };
}

async function alone(contestants: readonly Running[], effort: Effort): Promise<Table> {
  const players = changing(contestants, { entities: 1, ms: effort.ms(500, 100) });
  await alternate(players, effort.warm(1));
  const figures = await alternate(players, effort.rounds(7, 3));
  return {
    id: "entities-alone",
    title: "Entities: one entity, one command after the other",
    unit: "ms",
    columns: ["p50"],
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds.map(({ p50 }) => p50)] })),
    pairs: pairs(contestants),
    notes: [
      "by hand: it remembers the sequence and the state of its own last append; with its load: it reads the last message " +
      "of the entity before each, as a process must that is not the only one",
    ],
  };
}

async function loading(contestants: readonly Running[], effort: Effort): Promise<Table[]> {
  const length = effort.count(1_000, 1_000, 200);
  const [raw, own] = [RAW, OWN].map((name) => contestants.find((contestant) => contestant.name === name)!.client);
  await raw.ask("grow", { entity: "long", events: length });
  await raw.ask("grow", { entity: "behind", events: WITHIN });
  await raw.ask("read", { way: SNAPSHOT, entity: "behind", events: WITHIN, count: 1 });
  await raw.ask("grow", { entity: "behind", events: BEHIND });
  await own.ask("grow", { entity: "long", events: length });
  await own.ask("grow", { entity: "within", events: WITHIN });
  await own.ask("grow", { entity: "behind", events: WITHIN });
  // snapshots gather for 100 ms
  await new Promise((resolve) => setTimeout(resolve, 500));
  await own.ask("grow", { entity: "behind", events: BEHIND });
  const count = effort.count(20, 5);
  const reading = (name: string, program: Program, { way, entity, events }: Omit<Reading, "count">) => ({
    name,
    play: () => program.ask<number>("read", { way, entity, events, count }),
  });
  const long = { entity: "long", events: length };
  const within = { entity: "within", events: WITHIN };
  const behind = { entity: "behind", events: WITHIN + BEHIND };
  const players = [
    reading("direct get in a batch", raw, { way: "direct get", ...long }),
    reading(`direct get, ${BEHIND} events behind a snapshot`, raw, { way: SNAPSHOT, ...behind }),
    reading("load", own, { way: "load", ...long }),
    reading("load, all in the snapshot", own, { way: "load with snapshot", ...within }),
    reading(`load, ${BEHIND} events behind the snapshot`, own, { way: "load with snapshot", ...behind }),
  ];
  await alternate(players, effort.warm(3, 1));
  const figures = await alternate(players, effort.rounds(7, 3));
  return [{
    id: "entities-load",
    title: `Entities: one that is not in memory, of ${length.toLocaleString("en")} events, is loaded`,
    unit: "ms",
    columns: ["p50"],
    rows: [...figures].map(([name, rounds]) => ({ name, cells: [rounds] })),
    pairs: [
      { row: "load", against: "direct get in a batch" },
      {
        row: `load, ${BEHIND} events behind the snapshot`,
        against: `direct get, ${BEHIND} events behind a snapshot`,
      },
    ],
    notes: [
      "direct get: parsed and added up by hand; load: a snapshot exists, but is one of another version of the entity",
    ],
  }];
}

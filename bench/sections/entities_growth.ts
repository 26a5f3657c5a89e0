/** A million events of ten thousand entities: storing them, the memory of the node that decides, and loading. */
import type { Program } from "../program.ts";
import type { Table } from "../table.ts";
import type { Effort, Measure } from "./section.ts";

/** Each entity has ten commands, and each of these emits ten events: the tenth one makes a snapshot. */
const PAGES = 10;
const EVENTS = 10;
const QUARTERS = 4;
/** So many loads at once. */
const AT_ONCE = 64;

/** Measures many entities: some minutes, so it runs only when it is asked for. */
export const entitiesGrowth: Measure = async (stage, effort) => {
  const entities = effort.count(10_000, 200, 40);
  const options = JSON.stringify({ url: stage.url, group: stage.nextGroup() });
  const writer = await stage.start("programs/entities_growth.ts", [options]);
  const { written, memory } = await fill(writer, entities);
  // it has none of them in memory
  const reader = await stage.start("programs/entities_growth.ts", [options]);
  const read = await load(reader, entities, effort);
  const stored = await reader.ask<Stored>("stored");
  const after = await writer.megabytes();
  await stage.clear();
  return tables({ entities, written, memory: [...memory, after], read, stored });
};

interface Stored {
  readonly messages: number;
  readonly megabytes: number;
  readonly snapshots: number;
  readonly snapshotMegabytes: number;
}

/**
 * Writes all of them, quarter by quarter: events a second, by parts; and the memory of the node, before and after each.
 */
async function fill(writer: Program, entities: number): Promise<{ written: number[][]; memory: number[] }> {
  const memory = [await writer.megabytes()];
  const written: number[][] = [];
  const part = entities / QUARTERS / PARTS;
  for (let quarter = 0; quarter < QUARTERS; quarter++) {
    const rates: number[] = [];
    for (let at = quarter * PARTS; at < (quarter + 1) * PARTS; at++) {
      const range = { from: at * part, to: (at + 1) * part };
      rates.push(await writer.ask<number>("fill", { ...range, pages: PAGES, events: EVENTS }));
    }
    written.push(rates);
    memory.push(await writer.megabytes());
  }
  return { written, memory };
}

/** How many tasks there are to a quarter: each must end within a minute. */
const PARTS = 10;

interface Read {
  readonly many: readonly number[];
  readonly loaded: readonly number[];
  readonly anew: readonly number[];
  readonly changed: readonly number[];
  /** How many messages came for each load, with snapshots and without. */
  readonly messages: number;
  readonly messagesAnew: number;
}

async function load(reader: Program, entities: number, effort: Effort): Promise<Read> {
  const rounds = effort.rounds(10, 2);
  const part = Math.floor(entities / rounds);
  const many: number[] = [];
  const loaded: { ms: number; messages: number }[] = [];
  const anew: { ms: number; messages: number }[] = [];
  const changed: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const from = round * part;
    const few = { from, to: from + Math.min(part, SAMPLE) };
    many.push(await reader.ask("loadMany", { from, to: from + part, outstanding: AT_ONCE }));
    loaded.push(await reader.ask("load", { ...few, anew: false }));
    anew.push(await reader.ask("load", { ...few, anew: true }));
  }
  for (let round = 0; round < rounds; round++) {
    const from = round * part;
    const few = { from, to: from + Math.min(part, SAMPLE) };
    changed.push(await reader.ask("command", { ...few, page: PAGES, events: EVENTS }));
  }
  const mean = (all: readonly { messages: number }[]) => all.reduce((sum, { messages }) => sum + messages, 0) / rounds;
  return {
    ...{ many, changed, loaded: loaded.map(({ ms }) => ms), anew: anew.map(({ ms }) => ms) },
    ...{ messages: mean(loaded), messagesAnew: mean(anew) },
  };
}

/** Entities of a round that are loaded one after the other. */
const SAMPLE = 200;

interface Measured {
  readonly entities: number;
  readonly written: readonly (readonly number[])[];
  readonly memory: readonly number[];
  readonly read: Read;
  readonly stored: Stored;
}

function tables({ entities, written, memory, read, stored }: Measured): Table[] {
  const count = (value: number) => Math.round(value).toLocaleString("en");
  const what = `${count(entities * PAGES * EVENTS)} events of ${count(entities)} entities`;
  const reached = Array.from({ length: QUARTERS }, (_, at) => count((at + 1) * entities / QUARTERS));
  const table = { pairs: [], notes: [] };
  return [{
    ...table,
    id: "entities-growth",
    title: `Entities: ${what} are stored, up to so many entities`,
    unit: "per second",
    columns: reached,
    rows: [{ name: "events", cells: written }],
    notes: [`256 commands under way, of ${EVENTS} events each, and a snapshot of each entity`],
  }, {
    ...table,
    id: "entities-growth-memory",
    title: `Entities: ${what}, memory of the node that decides`,
    unit: "MB",
    columns: ["before", ...reached, "later"],
    rows: [{ name: "resident", cells: memory.map((value) => [value]) }],
    notes: [
      "states are kept up to 64 MB by the length of their texts, those that were used last; " +
      "later: while another node loads",
    ],
  }, {
    ...table,
    id: "entities-growth-load",
    title: `Entities: ${what}, one that is not in memory`,
    unit: "ms",
    columns: ["p50"],
    rows: [
      { name: "load", cells: [read.loaded] },
      { name: "load, without snapshots", cells: [read.anew] },
      { name: "a command", cells: [read.changed] },
    ],
    notes: [
      `one after the other; ${read.messages.toFixed(1)} messages come for a load, ${
        read.messagesAnew.toFixed(1)
      } without snapshots`,
      `stored: ${count(stored.messages)} messages of ${count(stored.megabytes)} MB, and ${
        count(stored.snapshots)
      } snapshots of ${count(stored.snapshotMegabytes)} MB`,
    ],
  }, {
    ...table,
    id: "entities-growth-loads",
    title: `Entities: ${what}, loaded a second, ${AT_ONCE} under way`,
    unit: "per second",
    columns: ["loaded"],
    rows: [{ name: "load", cells: [read.many] }],
  }];
}

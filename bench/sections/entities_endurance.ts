/**
 * Ten minutes of many entities, some of which are always busy: what a command takes at the end as at the beginning, and
 * the memory.
 */
import type { Table } from "../table.ts";
import type { Effort, Measure } from "./section.ts";

/** So many entities, and how many of them are always busy. */
const ENTITIES = 10_000;
const HOT = 256;
const MINUTES = 10;

/** Measures them: it takes ten minutes, so it runs only when it is asked for. */
export const entitiesEndurance: Measure = async (stage, effort) => {
  const [transport] = stage.transports;
  const options = JSON.stringify({ url: stage.url, group: stage.nextGroup(), transport, nodes: 0 });
  const program = await stage.start("programs/entities_catga.ts", ["client", options]);
  const minutes: Minute[] = [];
  for (let minute = 0; minute < MINUTES; minute++) {
    const endured = await program.ask<Omit<Minute, "megabytes">>("endure", {
      ...{ entities: effort.count(ENTITIES, 1_000), hot: HOT, ms: partOf(effort) },
    });
    minutes.push({ ...endured, megabytes: await program.megabytes() });
  }
  await stage.clear();
  return tables(minutes);
};

interface Minute {
  readonly rate: number;
  readonly processor: number;
  readonly megabytes: number;
}

/** Each task must end within a minute. */
function partOf(effort: Effort): number {
  return effort.ms(58_000, 100);
}

function tables(minutes: readonly Minute[]): Table[] {
  const columns = minutes.map((_, at) => `${at + 1}`);
  const of = (figure: keyof Minute) => minutes.map((minute) => [minute[figure]]);
  const processor = minutes.map(({ processor }) => [processor * 1_000]);
  const what = `Entities: ${ENTITIES.toLocaleString("en")} of them, ${HOT} always busy, minute by minute`;
  const table = { columns, pairs: [], notes: [] };
  return [
    {
      ...{ ...table, id: "entities-endurance", title: `${what}, commands stored`, unit: "per second" },
      rows: [{ name: "Catga", cells: of("rate") }],
    },
    {
      ...{ ...table, id: "entities-endurance-processor", title: `${what}, processor of a command`, unit: "ns" },
      rows: [{ name: "Catga", cells: processor }],
    },
    {
      ...{ ...table, id: "entities-endurance-memory", title: `${what}, memory of the node`, unit: "MB" },
      rows: [{ name: "resident", cells: of("megabytes") }],
    },
  ];
}

/**
 * Runs that answer: a question beside a signal and a result, many at once beside code by hand, lives beside starts, a
 * look at what a run shows beside a direct get, and a thousand watchers of one run.
 */
import type { Answered } from "../programs/answered.ts";
import type { Program } from "../program.ts";
import { alternate } from "../rounds.ts";
import type { Rounds } from "../statistics.ts";
import type { Table } from "../table.ts";
import type { Effort, Measure } from "./section.ts";

const AT_ONCE = 64;
const WATCHERS = 1_000;
const OWN = "Catga";
const BY_HAND = "by hand";
/** Purges begin a minute after a life: only then lives are measured with them. */
const WITH_PURGES = 75_000;

/** Measures them: some minutes, so it runs only when it is asked for. */
export const answers: Measure = async (stage, effort) => {
  const [transport] = stage.transports;
  const start = async (file: string) => {
    const options = JSON.stringify({ url: stage.url, group: stage.nextGroup(), transport });
    await stage.start(file, ["node", options]);
    return await stage.start(file, ["client", options]);
  };
  const [catga, byHand] = [await start("programs/answers_catga.ts"), await start("programs/answers_nats.ts")];
  const ms = effort.ms(2_000, 300);
  const p50 = ({ p50 }: Answered) => p50;
  const rate = ({ rate }: Answered) => rate;
  const tables = [
    await compared(effort, {
      ...{ id: "answers-one", title: "Runs that answer: one after the other, p50", unit: "ms" },
      rows: [
        ["a signal and the result", () => catga.ask<Answered>("one", { what: "tell", ms }).then(p50)],
        ["a question and its answer", () => catga.ask<Answered>("one", { what: "ask", ms }).then(p50)],
      ],
    }),
    await compared(effort, {
      ...{ id: "answers-many", title: `Runs that answer: ${AT_ONCE} questions at once`, unit: "per second" },
      rows: [BY_HAND, OWN].map((name, n) => {
        const program = n === 0 ? byHand : catga;
        return [name, () => program.ask<Answered>("many", { atOnce: AT_ONCE, ms }).then(rate)];
      }),
    }),
    await compared(effort, {
      ...{ id: "answers-view", title: "Runs that answer: what a run shows, p50", unit: "ms" },
      rows: [
        ["a direct get by hand", () => byHand.ask<Answered>("view", { ms }).then(p50)],
        ["app.view", () => catga.ask<Answered>("view", { ms }).then(p50)],
      ],
    }),
    await lives(catga, effort),
    await watched(catga, effort),
  ];
  await stage.clear();
  return tables;
};

interface Compared {
  readonly id: string;
  readonly title: string;
  readonly unit: Table["unit"];
  readonly rows: readonly (readonly [name: string, play: () => Promise<number>])[];
}

/** A table of rows that take turns, the last one against the first. */
async function compared(effort: Effort, { id, title, unit, rows }: Compared): Promise<Table> {
  const players = rows.map(([name, play]) => ({ name, play }));
  await alternate(players, effort.warm(1));
  const played = await alternate(players, effort.rounds(7, 3));
  return {
    ...{ id, title, unit, columns: [""], notes: [] },
    rows: rows.map(([name]) => ({ name, cells: [played.get(name) as Rounds] })),
    pairs: [{ row: rows.at(-1)![0], against: rows[0][0] }],
  };
}

/** Lives of runs, with the purges that follow a minute later, beside starts of runs with the same step. */
async function lives(catga: Program, effort: Effort): Promise<Table> {
  const ms = effort.ms(WITH_PURGES, 500);
  const { rate: again } = await catga.ask<Answered>("again", { atOnce: AT_ONCE, ms });
  const { rate: starts } = await catga.ask<Answered>("starts", { atOnce: AT_ONCE, ms: effort.ms(15_000, 300) });
  const [before, after] = ["a run is started and ends", "a run begins anew"];
  return {
    id: "answers-again",
    title: `Runs that begin anew: a step each, ${AT_ONCE} runs at once`,
    unit: "per second",
    columns: [""],
    rows: [{ name: before, cells: [[starts]] }, { name: after, cells: [[again]] }],
    pairs: [{ row: after, against: before }],
    notes: [`for ${ms / 1_000} s: purges of earlier lives begin after a minute`],
  };
}

async function watched(catga: Program, effort: Effort): Promise<Table> {
  const watchers = effort.count(WATCHERS, WATCHERS, 20);
  const { p50, most } = await catga.ask<{ p50: number; most: number }>("watch", {
    ...{ watchers, changes: effort.count(10, 3, 1) },
  });
  return {
    id: "answers-watch",
    title: `A change of a run, until all of ${watchers.toLocaleString("en")} watches of one process have it`,
    unit: "ms",
    columns: ["p50", "longest"],
    rows: [{ name: "from the signal that leads to it", cells: [[p50], [most]] }],
    pairs: [],
    notes: [],
  };
}

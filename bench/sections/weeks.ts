/** A little of everything for two weeks of virtual time: what is left of it, in memory and in the store, day by day. */
import type { Day } from "../programs/weeks.ts";
import type { Measure } from "./section.ts";

const DAYS = 14;
/** Limit of a day in ms: one takes two minutes. */
const PATIENCE = 3_600_000;

/** Measures what grows, for as many days as there are rounds: half an hour, so it runs only when it is asked for. */
export const weeks: Measure = async (stage, effort) => {
  const words = stage.setting.runtime.startsWith("Deno") ? ["--v8-flags=--expose-gc"] : ["--expose-gc"];
  const program = await stage.start("programs/weeks.ts", [], words);
  const of = { times: effort.count(12, 12, 6), hours: effort.count(24, 24, 1) };
  await program.ask("start");
  const days: Day[] = [];
  for (let left = effort.rounds(DAYS, 3); left > 0; left--) {
    days.push(await program.ask<Day>("day", of, PATIENCE));
  }
  await stage.clear();
  const names = (of: "messages" | "entries") => Object.keys(days.at(-1)![of]).sort();
  const columns = days.map((_, at) => `day ${at + 1}`);
  const last = days.at(-1)!;
  const hours = of.hours * days.length;
  return [{
    id: "weeks-memory",
    title: "Weeks on virtual time: memory at the end of each day",
    unit: "MB",
    columns,
    rows: [{ name: "heap, collected", cells: days.map(({ heap }) => [heap]) }],
    pairs: [],
    notes: [
      `two nodes and all that their server keeps, in one process; each hour ${of.times} of each: commands with ids, locks,` +
      " durable and other events, queued commands, streams, entities that are forgotten, runs that sleep and are told;" +
      " dead letters that are discarded once a day; a cron, and a run that begins anew every ten minutes",
      "a node restarts every six hours, once a day by a kill; what has ended is kept for six hours",
      `${hours} hours: ${last.done.events} events, ${last.done.packed} queued commands, ${last.done.nightly} nights and ` +
      `${last.done.rounds} rounds of the endless run were handled`,
    ],
  }, {
    id: "weeks-stored",
    title: "Weeks on virtual time: what is stored at the end of each day, and timers",
    unit: "count",
    columns,
    rows: [
      ...names("messages").map((name) => ({
        name: `messages of ${name}`,
        cells: days.map((day) => [day.messages[name]]),
      })),
      ...names("entries").map((name) => ({
        name: `entries of ${name}`,
        cells: days.map((day) => [day.entries[name] ?? 0]),
      })),
      { name: "timers of both nodes and their server", cells: days.map(({ timers }) => [timers]) },
    ],
    pairs: [],
    notes: [],
  }];
};

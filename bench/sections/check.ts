/** `catga check`: how fast it reads and judges what is stored, beside `consume()` of the same messages; its memory. */
import type { Measure } from "./section.ts";

/** Measures a check of many events and open runs: some minutes, so it runs only when it is asked for. */
export const check: Measure = async (stage, effort) => {
  const [events, runs] = [effort.count(1_000_000, 100_000, 1_000), effort.count(10_000, 500, 20)];
  const options = JSON.stringify({ url: stage.url, group: stage.nextGroup() });
  const writer = await stage.start("programs/checked.ts", [options]);
  // each task must end within a minute
  for (let from = 0; from < runs; from += PART_OF_RUNS) {
    await writer.ask("runs", { from, to: Math.min(runs, from + PART_OF_RUNS) });
  }
  for (let from = 0; from < events; from += PART) {
    await writer.ask("events", { from, to: Math.min(events, from + PART) });
  }
  const reader = await stage.start("programs/checked.ts", [options]);
  const [consumed, checked, replayed, memory]: number[][] = [[], [], [], []];
  for (let round = 0; round < effort.rounds(3, 1); round++) {
    consumed.push(await writer.ask<number>("consume", { events }));
    const rates = await reader.ask<{ events: number; runs: number }>("check", { events, runs });
    checked.push(rates.events);
    replayed.push(rates.runs);
    memory.push(await reader.megabytes());
  }
  await stage.clear();
  const count = (value: number) => value.toLocaleString("en");
  return [{
    ...{ id: "check", unit: "per second", columns: ["messages"] },
    title: `Check: ${count(events)} stored events, one in a message`,
    rows: [{ name: OWN, cells: [checked] }, { name: CONSUME, cells: [consumed] }],
    pairs: [{ row: OWN, against: CONSUME }],
    notes: ["catga check parses each message and passes it through a schema of zod; consume() counts messages"],
  }, {
    ...{ id: "check-runs", unit: "per second", columns: ["runs"], pairs: [] },
    title: `Check: ${count(runs)} open runs of two steps, replayed`,
    rows: [{ name: OWN, cells: [replayed] }],
    notes: [],
  }, {
    ...{ id: "check-memory", unit: "MB", columns: ["resident"], pairs: [] },
    title: `Check: ${count(events)} stored events and ${count(runs)} open runs, memory`,
    rows: [{ name: OWN, cells: [memory] }],
    notes: [],
  }];
};

const OWN = "catga check";
const CONSUME = "consume()";
const PART = 50_000;
const PART_OF_RUNS = 2_000;

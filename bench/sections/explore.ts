/** `explore`: what a seed takes, on one thread and on two, beside the same seeds by hand with `testCluster`. */
import type { Row } from "../table.ts";
import type { Measure } from "./section.ts";

/** Measures seeds of a shop's orders. */
export const explore: Measure = async (stage, effort) => {
  const program = await stage.start("programs/explored_orders.ts");
  const [seeds, onThreads] = [effort.count(20, 6, 1), effort.count(40, 20, 2)];
  const ways = [
    { name: THREADS, task: "onThreads", options: { seeds: onThreads, workers: 2 } },
    { name: THREAD, task: "explored", options: { seeds } },
    { name: BY_HAND, task: "byHand", options: { seeds: Math.ceil(seeds / 2) } },
  ];
  const found = ways.map(() => [] as { readonly wall: number; readonly processor: number }[]);
  const memory: number[] = [];
  // what a runtime compiles when it first gets there is no part of a seed
  for (const task of effort.warm(1) > 0 ? ["explored", "byHand"] : []) await program.ask(task, { seed: 1, seeds: 5 });
  for (let round = 0; round < effort.rounds(5, 3); round++) {
    for (const [i, { task, options }] of ways.entries()) {
      found[i].push(await program.ask(task, { seed: round * onThreads + 1, ...options }));
    }
    memory.push(await program.megabytes());
  }
  const rows = (part: "wall" | "processor") =>
    ways.map(({ name }, i): Row => ({ name, cells: [found[i].map((times) => times[part])] }));
  return [{
    ...{ id: "explore", title: `Explore: ${ORDERS}, a seed`, unit: "ms", columns: ["time"] },
    rows: rows("wall"),
    pairs: [{ row: THREADS, against: BY_HAND }, { row: THREAD, against: BY_HAND }],
    notes: ["threads have to import and compile the program first; testCluster keeps a pace: 1 ms for each 100 ms"],
  }, {
    ...{ id: "explore-processor", title: `Explore: ${ORDERS}, processor time of a seed`, unit: "ms" },
    columns: ["time"],
    rows: rows("processor"),
    pairs: [{ row: THREAD, against: BY_HAND }],
    notes: [],
  }, {
    ...{ id: "explore-memory", title: "Explore: memory after each round", unit: "MB", columns: ["resident"] },
    rows: [{ name: "all of them", cells: [memory] }],
    ...{ pairs: [], notes: [] },
  }];
};

const ORDERS = "a shop of three nodes, 100 orders in 20 s of virtual time";
const THREADS = "explore, two threads";
const THREAD = "explore, one thread";
const BY_HAND = "testCluster by hand";

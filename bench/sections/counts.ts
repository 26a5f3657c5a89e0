/** What it costs a node to be asked what it has counted, in a cluster of 50 nodes with 100 contracts each. */
import type { Measure } from "./section.ts";

/** Measures answers; some ten seconds, most of them to start the nodes. */
export const counts: Measure = async (stage, effort) => {
  await stage.clear();
  const nodes = await stage.start("programs/counts.ts", ["nodes", stage.url]);
  const asker = await stage.start("programs/counts.ts", ["ask", stage.url]);
  await nodes.ask("grow", effort.quick ? { nodes: 5, contracts: 100 } : { nodes: 50, contracts: 100 });
  const ms = effort.ms(4_000, 500);
  /** CPU time of the nodes in ms, while something else goes on. */
  const spent = async <T>(work: () => Promise<T>) => {
    const before = await nodes.ask<number>("cpu");
    const result = await work();
    return { ms: await nodes.ask<number>("cpu") - before, result };
  };
  const costs: number[] = [];
  let size = 0;
  // the first round is for the compilers
  for (let round = effort.rounds(5, 2); round >= 0; round--) {
    const idle = await spent(() => new Promise((resolve) => setTimeout(resolve, ms)));
    const asked = await spent(() => asker.ask<{ answers: number; bytes: number }>("ask", { rate: RATE, ms }));
    costs.push((asked.ms - idle.ms) / asked.result.answers);
    size = asked.result.bytes;
  }
  await stage.clear();
  const about = { columns: ["an answer"], pairs: [] };
  return [
    {
      ...about,
      id: "counts",
      title: "Counts: CPU time of a node for an answer; 50 nodes with 100 contracts each",
      unit: "ms",
      rows: [{ name: "50 nodes, 100 contracts, 49 peers", cells: [costs.slice(1)] }],
      notes: [
        "asked 5 times a second; what the same process takes when nobody asks is taken off. Asked once a second, a node " +
        "takes this much of a second",
      ],
    },
    {
      ...about,
      id: "counts-size",
      title: "Counts: the largest of these answers",
      unit: "bytes",
      rows: [{ name: "50 nodes, 100 contracts, 49 peers", cells: [[size]] }],
      notes: [],
    },
  ];
};

const RATE = 5; // a second: an answer is made anew ten times a second at most

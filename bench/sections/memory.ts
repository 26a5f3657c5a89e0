/** How much memory processes take: idle, and while they answer as many requests as they can. */
import type { Program } from "../program.ts";
import { ours, type Running } from "./contestants.ts";
import type { Measure } from "./section.ts";

/** Measures resident memory. */
export const memory: Measure = async (stage, effort, company) => {
  await stage.clear();
  const idle: { name: string; program: Program }[] = [];
  for (const transport of stage.transports) {
    const suffix = transport === stage.transports[0] ? "" : `, transport-${transport}`;
    for (
      const [name, what] of [["bare", "bare"], ["one NATS connection", "nats"], ["a node of Catga", "catga"]] as const
    ) {
      if (what === "bare" && idle.length > 0) continue;
      const program = await stage.start("programs/idle.ts", [what, stage.url, transport]);
      idle.push({ name: what === "bare" ? "a program that does nothing" : `${name}${suffix}`, program });
    }
  }
  const settle = effort.ms(3_000, 300);
  const rounds = 5;
  const figures = idle.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    await new Promise((resolve) => setTimeout(resolve, settle / rounds));
    for (const [at, { program }] of idle.entries()) figures[at].push(await megabytes(program));
  }
  await stage.clear();
  const players = await company.engage(ours(stage));
  const loaded: { name: string; peak: Peak }[] = [];
  for (const player of players) {
    loaded.push({ name: player.name, peak: await underLoad(player, effort.ms(2_000, 300)) });
  }
  await stage.clear();
  return [{
    id: "memory",
    title: "Memory: resident, idle and under load",
    unit: "MB",
    columns: ["resident"],
    rows: [
      ...idle.map(({ name }, at) => ({ name: `idle: ${name}`, cells: [figures[at]] })),
      ...loaded.flatMap(({ name, peak }) => [
        { name: `1,024 requests under way: ${name}, node`, cells: [[peak.node]] },
        { name: `1,024 requests under way: ${name}, client`, cells: [[peak.client]] },
      ]),
    ],
    pairs: [],
    notes: [
      "under load: the most that was seen of the node, and what the client has at the end; " +
      "idle: the difference to one NATS connection is what Catga costs",
    ],
  }];
};

interface Peak {
  readonly node: number;
  readonly client: number;
}

async function underLoad({ client, nodes: [node] }: Running, ms: number): Promise<Peak> {
  let over = false;
  const load = client.ask("closed", { outstanding: 1_024, ms }).finally(() => over = true);
  let most = 0;
  while (!over) {
    most = Math.max(most, await megabytes(node));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await load;
  return { node: most, client: await megabytes(client) };
}

async function megabytes(program: Program): Promise<number> {
  return await program.ask<number>("rss") / 1e6;
}

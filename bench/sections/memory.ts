/** How much memory processes take: idle, and while they answer as many requests as they can. */
import process from "node:process";
import type { Stage } from "../stage.ts";
import { ours, overOf, type Running } from "./contestants.ts";
import type { Measure } from "./section.ts";

/** Measures resident memory. */
export const memory: Measure = async (stage, effort, company) => {
  if (process.platform === "win32") return []; // there is no ps
  await stage.clear();
  // Deno compiles what it has not run before, which takes memory
  for (const { file, args } of idlers(stage)) await (await stage.start(`programs/${file}.ts`, args)).leave();
  const idle = await Promise.all(
    idlers(stage).map(async ({ name, file, args }) => {
      return { name, program: await stage.start(`programs/${file}.ts`, args) };
    }),
  );
  const settle = effort.ms(3_000, 300);
  const rounds = 5;
  const figures = idle.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    await new Promise((resolve) => setTimeout(resolve, settle / rounds));
    for (const [at, { program }] of idle.entries()) figures[at].push(await program.megabytes());
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
      "a node by hand: a connection, a KV bucket, its record, a watch and a subscription over the modules of nats.js",
    ],
  }];
};

/** Who waits: nothing, a connection and a node over each transport. */
function idlers({ url, transports, rawTransports }: Stage): { name: string; file: string; args: string[] }[] {
  return [
    { name: "a program that does nothing", file: "idle", args: ["bare"] },
    ...rawTransports.map((transport) => ({
      name: `one NATS connection${overOf(transport, rawTransports)}`,
      file: "idle",
      args: ["nats", url, transport],
    })),
    ...rawTransports.map((transport) => ({
      name: `a node by hand${overOf(transport, rawTransports)}`,
      file: "idle",
      args: ["by-hand", url, transport],
    })),
    ...transports.map((transport) => ({
      name: `a node of Catga${overOf(transport, transports)}`,
      file: "idle_node",
      args: [url, transport],
    })),
  ];
}

interface Peak {
  readonly node: number;
  readonly client: number;
}

async function underLoad({ client, nodes: [node] }: Running, ms: number): Promise<Peak> {
  let over = false;
  const load = client.ask("closed", { outstanding: 1_024, ms }).finally(() => over = true);
  let most = 0;
  while (!over) {
    most = Math.max(most, await node.megabytes());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await load;
  return { node: most, client: await client.megabytes() };
}

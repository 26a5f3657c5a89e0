/**
 * A soak from its first to its last moment: a cluster of processes at work in a storm, then the verdict on its log.
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import { catga } from "@catga/catga";
import type { Runtime } from "../node_messages.ts";
import { check, evidence, type Findings } from "./checker.ts";
import { type Deed, type Member, SoakCluster } from "./cluster.ts";
import { hasGrown, type Memory, memoryOf } from "./memory.ts";
import { SERVICES, type SoakLine, type Sums, View } from "./messages.ts";
import type { Plant } from "./node.ts";
import { Storm } from "./storm.ts";

/** Options of {@link soak}. */
export interface SoakOptions {
  readonly seconds: number;
  /** A safe integer. */
  readonly seed: number;
  /** Sends a second, of all clients. */
  readonly rate: number;
  /** The mean time between two blows, in ms; `Infinity` for none. */
  readonly every: number;
  /** Nodes, and at most. */
  readonly nodes: readonly [number, number];
  readonly clients: number;
  readonly plant?: Plant | undefined;
  /** Whether the log is kept though nothing is wrong; `false`. */
  readonly keep?: boolean;
  /** Hears of the course of things now and then. */
  onProgress?(progress: Progress): void;
}

/** How far a soak is. */
export interface Progress {
  /** Since its start. */
  readonly seconds: number;
  readonly sums: Sums;
  readonly deeds: Readonly<Record<Deed, number>>;
  /** The nodes that nothing happens to just now, of all that there are. */
  readonly awake: number;
  readonly nodes: number;
}

/** What came of a soak. */
export interface SoakReport extends Omit<Findings, "violations"> {
  readonly seed: number;
  readonly deeds: Readonly<Record<Deed, number>>;
  /** In ms. */
  readonly longestDrain: number;
  /** Of the processes that lived from the first to the last moment, by id. */
  readonly memory: ReadonlyMap<string, Memory>;
  /** What must not be; none. */
  readonly violations: readonly string[];
  /** Lines of the log about the first of them. */
  readonly evidence: readonly string[];
  /** Where the log is kept; only with violations, or when asked to. */
  readonly log?: string;
}

const HEARTBEAT = 5_000; // ms
const SETTLE = 20_000; // ms: a record expires within 5 s, and whoever missed something reads all of them in as long
const SHOWN = 10; // messages of which the evidence is shown
const PROGRESS = 5_000; // ms

/** Runs one. Rejects when it cannot be run, not for what it finds. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seconds, seed, rate, every, nodes: [nodes, most], clients, plant, keep, onProgress } = options;
  await using cluster = await SoakCluster.open({ services: SERVICES, heartbeat: HEARTBEAT, plant });
  const runtime = (i: number): Runtime => i % 2 === 0 ? "deno" : "bun";
  await Promise.all(
    Array.from({ length: nodes }, (_, i) => cluster.startNode(runtime(i), `${runtime(i)}-${i >> 1}`, i < 2)),
  );
  const from = Date.now();
  const until = from + seconds * 1_000;
  await Promise.all(Array.from({ length: clients }, (_, client) => {
    const pace = rate / clients;
    return cluster.startClient(runtime(client), `client-${client}`, { client, clients, seed, rate: pace, until });
  }));
  const lasting = [...cluster.members].filter((member) => member.lasting);
  const programs = lasting.filter(({ role }) => role === "client").map(({ program }) => program);
  const progress = setInterval(() => {
    onProgress?.({
      seconds: (Date.now() - from) / 1_000,
      sums: add(programs.map(({ lines }) => lastSums(lines))),
      deeds: cluster.done,
      awake: cluster.awake.length,
      nodes: [...cluster.members].filter(({ role }) => role === "node").length,
    });
  }, PROGRESS);
  try {
    const storm = new Storm(cluster, { seed, every, most, heartbeat: HEARTBEAT });
    await storm.rage(until);
    for (const { id, program } of lasting.filter(({ role }) => role === "client")) {
      await program.line(({ event }) => event === "done", until - Date.now() + 30_000).catch((error: Error) =>
        cluster.violations.push(`${id} does not come to an end: ${error.message.slice(-500)}`)
      );
    }
    cluster.violations.push(...await wrongViews(cluster));
    await cluster.stop();
  } finally {
    clearInterval(progress);
  }
  const memory = memories(lasting);
  const grown = [...memory].filter(([, one]) => hasGrown(one)).map(([id, { rss }]) =>
    `the memory of ${id} has grown from ${rss.early} to ${rss.late} bytes`
  );
  const { violations: wrong, ...findings } = await check(cluster.folder, cluster.outages);
  const violations = [...cluster.violations, ...grown, ...wrong.map(({ text }) => text)];
  const report = { ...findings, seed, deeds: cluster.done, longestDrain: cluster.longestDrain, memory, violations };
  if (violations.length === 0) return { ...report, evidence: [], ...keep ? { log: await cluster.keepLog() } : {} };
  const lines = await evidence(cluster.folder, new Set(wrong.slice(0, SHOWN).map(({ n }) => n)));
  return { ...report, evidence: lines, log: await cluster.keepLog() };
}

/** Which processes do not see who is there, when nothing happens any more: nobody too few, nobody too many. */
async function wrongViews(cluster: SoakCluster): Promise<string[]> {
  await using witness = await catga({ nats: cluster.url, id: "witness", service: "witness", heartbeat: HEARTBEAT });
  const live = [...cluster.members].map(({ endpoint }) => endpoint);
  const right = [...live, witness.self.endpoint].sort().join(" ");
  const late = Date.now() + SETTLE;
  for (;;) {
    const views = new Map<string, string>();
    for (const { id } of cluster.members) views.set(id, "(no answer)");
    views.set("witness", witness.nodes().map(({ endpoint }) => endpoint).sort().join(" "));
    for (const { node, result } of await witness.broadcast(View, undefined, { timeout: 2_000 })) {
      views.set(node, result.ok ? [...result.value].sort().join(" ") : `(${result.error.code})`);
    }
    const wrong = [...views].filter(([, view]) => view !== right);
    if (wrong.length === 0) return [];
    if (Date.now() > late) return wrong.map(([id, view]) => `${id} sees ${view}, and there are ${right}`);
    await wait(100);
  }
}

function memories(lasting: readonly Member[]): Map<string, Memory> {
  const found = new Map<string, Memory>();
  for (const { id, program } of lasting) {
    const memory = memoryOf(program.lines);
    if (memory !== undefined) found.set(id, memory);
  }
  return found;
}

function lastSums(lines: readonly SoakLine[]): Sums {
  const last = lines.findLast((line) => line.event === "stat" || line.event === "done");
  return last !== undefined && "sums" in last && last.sums || { sent: 0, settled: 0, answered: 0 };
}

function add(sums: readonly Sums[]): Sums {
  const total = (what: keyof Sums) => sums.reduce((sum, one) => sum + one[what], 0);
  return { sent: total("sent"), settled: total("settled"), answered: total("answered") };
}

/**
 * A soak from its first to its last moment: a cluster of processes at work in a storm, then the verdict on its log.
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import { catga } from "@catga/catga";
import type { Runtime } from "../processes/node_messages.ts";
import { startProgram } from "../processes/node_process.ts";
import { lockViolations } from "../support/lock_history.ts";
import { ELECTION, OVERDUE, readStore, storeViolations } from "../support/store_check.ts";
import type { LockLine } from "../processes/lock_node.ts";
import type { LoopGap } from "../processes/loop_gaps.ts";
import { check, evidence, type Findings } from "./checker.ts";
import type { LastLookLine, LastLookOptions } from "./last_look.ts";
import { readNotes } from "./log.ts";
import { CLAIM_LEASE, LOCK_TTL, type NeverNote, type OnceNote } from "./shared.ts";
import { lateViolations, onceViolations, type Trouble, unfinished } from "./shared_check.ts";
import { LOCK_WAIT } from "./state_work.ts";
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
  /** NATS servers: one, or three; one. */
  readonly servers?: 1 | 3;
  /** The mean time between two blows to the servers, in ms; none. */
  readonly serverEvery?: number;
  /**
   * True if there are shared state, wrong clocks, links that can be cut, and user code that never settles. Default:
   * `false`.
   */
  readonly state?: boolean;
  /** True if some commands block their process for up to 12 s. Default: `false`. */
  readonly blocked?: boolean;
  /** Where the sources of the processes are; this tree. */
  readonly root?: string | undefined;
  readonly plant?: Plant | undefined;
  /** True if the log is kept though nothing is wrong. Default: `false`. */
  readonly keep?: boolean;
  /** Called every 5 s. */
  onProgress?(progress: Progress): void;
}

/** The progress of a soak. */
export interface Progress {
  /** Since its start. */
  readonly seconds: number;
  readonly sums: Sums;
  readonly deeds: Readonly<Record<Deed, number>>;
  /** Nodes without a fault at the moment, and all nodes. */
  readonly awake: number;
  readonly nodes: number;
}

/** The outcome of a soak. */
export interface SoakReport extends Omit<Findings, "violations"> {
  readonly seed: number;
  readonly deeds: Readonly<Record<Deed, number>>;
  /** In ms. */
  readonly longestDrain: number;
  /** Of the processes that lived from the first to the last moment, by id. */
  readonly memory: ReadonlyMap<string, Memory>;
  /** Broken promises; none if all is well. */
  readonly violations: readonly string[];
  /** Lines of the log about the first of them. */
  readonly evidence: readonly string[];
  /** Where the log is kept; only with violations, or when asked to. */
  readonly log?: string;
}

const HEARTBEAT = 5_000; // ms
const START = 5_000; // ms: what the processes take to start
const LOOK = 90_000; // ms: longer than anything is waited for
/**
 * Of the ids without a result so many are asked for: all, as a rule. An entry that nobody asks for is seen by nobody,
 * and a server that forgot its ttl keeps it.
 */
const IDS = 2_000;
const FRESH = 16; // ids that were not used before
// ms: a record expires within 5 s, and a node that missed an update reads all records again in that time
const SETTLE = 20_000;
const SHOWN = 10; // messages of which the evidence is shown
const PROGRESS = 5_000; // ms

/** Runs a soak. Rejects if it cannot run; broken promises are in the report. */
export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { seconds, seed, rate, every, nodes: [nodes, most], clients, plant, keep, onProgress } = options;
  const { servers = 1, serverEvery = Infinity, state = false, blocked = false, root } = options;
  await using cluster = await SoakCluster.open({
    services: SERVICES,
    heartbeat: HEARTBEAT,
    plant,
    servers,
    state,
    blocked,
    root,
  });
  // nodes with shared state get it as an option when they start
  let until = Date.now() + START + seconds * 1_000;
  const runtime = (i: number): Runtime => i % 2 === 0 ? "deno" : "bun";
  await Promise.all(
    Array.from({ length: nodes }, (_, i) => cluster.startNode(runtime(i), `${runtime(i)}-${i >> 1}`, until, i < 2)),
  );
  const from = Date.now();
  if (!state) until = from + seconds * 1_000;
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
    const storm = new Storm(cluster, { seed, every, most, heartbeat: HEARTBEAT, serverEvery });
    await storm.rage(until);
    // the load ends when the storm does, or a little earlier
    if (state) cluster.violations.push(...await stateAfter(cluster, Math.max(until, Date.now()), root));
    for (const { id, program } of lasting.filter(({ role }) => role === "client")) {
      await program.line(({ event }) => event === "done", Math.max(0, until - Date.now()) + 30_000).catch((
        error: Error,
      ) => cluster.violations.push(`${id} does not come to an end: ${error.message.slice(-500)}`));
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
  const { violations: wrong, ...findings } = await check(cluster.folder, cluster.outages, cluster.troubles);
  const shared = state ? await stateViolations(cluster, findings.gaps) : [];
  const violations = [...cluster.violations, ...grown, ...shared, ...wrong.map(({ text }) => text)];
  const report = { ...findings, seed, deeds: cluster.done, longestDrain: cluster.longestDrain, memory, violations };
  if (violations.length === 0) return { ...report, evidence: [], ...keep ? { log: await cluster.keepLog() } : {} };
  const lines = await evidence(cluster.folder, new Set(wrong.slice(0, SHOWN).map(({ n }) => n)));
  return { ...report, evidence: lines, log: await cluster.keepLog() };
}

/**
 * What of the shared state does not work again when everything is up, and what outlived its ttl. The store is read once
 * more when whatever was left by the last fault has had its time.
 */
async function stateAfter(cluster: SoakCluster, since: number, root: string | undefined): Promise<string[]> {
  const { url, replicas, folder } = cluster;
  const notes = [...(await readNotes<OnceNote>(folder, "once")).values()].flat();
  const options: LastLookOptions = {
    folder,
    replicas,
    heartbeat: HEARTBEAT,
    election: replicas === 1 ? 0 : ELECTION,
    ids: unfinished(notes).slice(-IDS),
    fresh: Array.from({ length: FRESH }, (_, i) => `fresh-${i}`),
    nodes: [...cluster.members].filter(({ role }) => role === "node").map(({ id }) => id),
  };
  await using program = await startProgram<LastLookLine>(
    "deno",
    "test/soak/last_look.ts",
    [url, JSON.stringify(options)],
    root,
  );
  const { violations } = await program.line(({ event }) => event === "looked", LOOK);
  await wait(Math.max(0, since + CLAIM_LEASE + OVERDUE + 1_000 - Date.now()));
  const stale = storeViolations(await readStore(url, "default"));
  // an entry that was stale then is older now
  const about = (line: string) => line.split(": ")[0];
  const known = new Set(violations.map(about));
  return [...violations, ...stale.filter((line) => !known.has(about(line)))];
}

/** What was done wrong with shared state while the storm raged. */
async function stateViolations(
  cluster: SoakCluster,
  gaps: ReadonlyMap<string, readonly LoopGap[]>,
): Promise<string[]> {
  const { folder, troubles } = cluster;
  const once = await readNotes<OnceNote>(folder, "once");
  const late = [...once, ...await readNotes<NeverNote>(folder, "never")].flatMap(([id, notes]) =>
    lateViolations(id, notes, gaps.get(id) ?? [])
  );
  const stalls: Trouble[] = [...gaps].flatMap(([id, of]) =>
    // a gap belongs to the process that had it, and a claim is that of an endpoint
    [...cluster.endpoints(id)].flatMap((endpoint) => of.map(({ from, to }) => ({ kind: "freeze", endpoint, from, to })))
  );
  const wipes = troubles.filter(({ kind }) => kind === "wipe");
  const lines = new Map(
    [...await readNotes<LockLine>(folder, "locks")].map(([id, of]) => {
      // what was written down when the process woke, it may have been given long before; a paused holder goes on
      const asleep = of.flatMap((line) => line.event === "stall" ? [{ from: line.from, to: line.at }] : []);
      const kept = of.filter(({ event, at }) =>
        // of a lock that was lost with its store two may believe for a ttl that they have it
        !wipes.some(({ from, to }) => at >= from && at <= to + LOCK_TTL) &&
        !((event === "enter" || event === "hold") && asleep.some(({ from, to }) => at > from && at < to))
      );
      return [id, kept] as const;
    }),
  );
  const locks = lockViolations({ lines, writes: [], faults: [], ttl: LOCK_TTL, limit: 0, timeout: LOCK_WAIT });
  return [...onceViolations([...once.values()].flat(), [...troubles, ...stalls]), ...late, ...locks];
}

/** Processes whose view is not exactly the nodes that run, once the storm is over: a line each. */
async function wrongViews(cluster: SoakCluster): Promise<string[]> {
  await using sends = await catga({
    nats: { servers: cluster.url.split(",") },
    id: "sends",
    service: "sends",
    heartbeat: HEARTBEAT,
    replicas: cluster.replicas,
  });
  const live = [...cluster.members].map(({ endpoint }) => endpoint);
  const right = [...live, sends.self.endpoint].sort().join(" ");
  const late = Date.now() + SETTLE;
  for (;;) {
    const views = new Map<string, string>();
    for (const { id } of cluster.members) views.set(id, "(no answer)");
    views.set("sends", sends.nodes().map(({ endpoint }) => endpoint).sort().join(" "));
    for (const { node, result } of await sends.broadcast(View, undefined, { timeout: 2_000 })) {
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

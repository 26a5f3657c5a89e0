/**
 * Processes in Deno and Bun that work under a few locks, each with its own link to NATS, and faults against lock
 * holders.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { LockLine, LockNodeOptions } from "../processes/lock_node.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import type { Moment, Phase } from "../processes/kv_phases.ts";
import { SKEWS } from "../processes/skewed_clock.ts";
import { connectsAgain, startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { aftermath } from "./aftermath.ts";
import { eventually } from "./eventually.ts";
import { watchStalls } from "./server_stalls.ts";
import type { Span } from "../processes/loop_gaps.ts";
import { startOrDispose } from "./start_or_dispose.ts";
import { lockProbe } from "./liveness.ts";
import type { FencedWrite } from "../../src/testing/checkers/locks.ts";
import { FencedResource } from "./fenced_resource.ts";
import { type LockFault, type LockHistory, workUnder } from "./lock_history.ts";

/** Options of {@link LockCluster.open}. */
export interface LockClusterOptions {
  /** The ids of the processes: `d…` are processes of Deno, `b…` of Bun. */
  readonly ids: readonly string[];
  /**
   * The URLs of NATS servers on this machine. Of one, each process has a link of its own to it; of several it takes the
   * first that is there, beginning with another one than the process before it.
   */
  readonly urls: readonly string[];
  readonly keys: readonly string[];
  readonly namespace: string;
  readonly replicas?: number;
  /** True if the times in which the servers give no answer are noted: only where no fault is against them. */
  readonly watchesServer?: boolean;
  /** True if the links recognise the writes that pass. Default: `false`. */
  readonly phases?: boolean;
  /** Options of single processes, by id. */
  readonly node?: Readonly<Record<string, Partial<LockNodeOptions>>>;
}

/** The ttl of all locks, in ms. */
export const TTL = 2_000;
/** How long a lock is waited for, in ms. */
export const TIMEOUT = 20_000;

/** Some processes, some locks, a resource. */
export class LockCluster implements AsyncDisposable {
  readonly resource: FencedResource;
  readonly faults: LockFault[] = [];
  readonly #options: LockClusterOptions;
  readonly #folder: string;
  readonly #programs = new Map<string, Program<{ event: string }>>();
  readonly #unanswered: Span[] = [];
  #endWatch = () => Promise.resolve();
  readonly #retired: Program<{ event: string }>[] = [];
  readonly #links = new Map<string, TcpProxy>();
  readonly #ways = new Map<string, string>();
  /** The processes that have a fault at the moment. */
  readonly #victims = new Set<string>();

  private constructor(options: LockClusterOptions, resource: FencedResource, folder: string) {
    this.#options = options;
    this.resource = resource;
    this.#folder = folder;
  }

  /** Starts it; resolves when all work. */
  static async open(options: LockClusterOptions): Promise<LockCluster> {
    const folder = await mkdtemp(join(tmpdir(), "catga-locks-"));
    const cluster = new LockCluster(options, await FencedResource.open(), folder);
    return await startOrDispose(cluster, async () => {
      if (options.watchesServer) {
        cluster.#endWatch = await watchStalls(options.urls, (from, to) => void cluster.#unanswered.push({ from, to }));
      }
      await Promise.all(options.ids.map(async (id, i) => {
        const { urls } = options;
        if (urls.length === 1) {
          const attended = options.phases ? { node: id } : {};
          cluster.#links.set(id, await startTcpProxy(Number(new URL(urls[0]).port), attended));
        }
        const turned = urls.map((_, n) => urls[(i + n) % urls.length]).join(",");
        cluster.#ways.set(id, cluster.#links.get(id)?.url ?? turned);
        await cluster.start(id);
      }));
    });
  }

  /** Starts a process, or starts it again. */
  async start(id: string): Promise<void> {
    const { keys, namespace, replicas, node = {} } = this.#options;
    const options: LockNodeOptions = {
      folder: this.#folder,
      namespace,
      keys,
      resource: this.resource.port,
      ttl: TTL,
      timeout: TIMEOUT,
      // their clocks disagree, as those of machines do
      skew: SKEWS[this.#options.ids.indexOf(id) % SKEWS.length],
      ...(replicas === undefined ? {} : { replicas }),
      ...node[id],
    };
    const before = this.#programs.get(id);
    if (before !== undefined) this.#retired.push(before);
    const args = [this.#ways.get(id)!, id, JSON.stringify(options)];
    const program = await startProgram<{ event: string }>(
      id.startsWith("d") ? "deno" : "bun",
      "test/processes/lock_node.ts",
      args,
    );
    this.#programs.set(id, program);
    await program.line(({ event }) => event === "ready");
  }

  /** The way of a process to NATS. */
  link(id: string): TcpProxy {
    return this.#links.get(id)!;
  }

  signal(id: string, signal: NodeJS.Signals): void {
    this.#programs.get(id)!.kill(signal);
  }

  /**
   * Mistreats who holds a lock, again and again, until `end` (ms since 1970): each time otherwise, at its first write.
   */
  async mistreat(key: string, end: number): Promise<void> {
    for (let i = this.#options.keys.indexOf(key); Date.now() < end; i++) {
      const kind = KINDS[i % KINDS.length];
      const struck = await this.strike(key, end, (id) => this.#begin(kind, id));
      if (struck === undefined) return;
      const { id, from } = struck;
      await this.#heal(kind, id);
      this.faults.push({ kind, id, key, from, to: Date.now() });
      this.#victims.delete(id);
      await this.moved(key, struck, 10_000);
      await wait(300);
    }
  }

  /**
   * Does something to the next holder of a lock at its first write, once somebody waits for it; says to whom, and when.
   */
  strike(key: string, end: number, act: (id: string) => void): Promise<{ id: string; from: number } | undefined> {
    const { watchers } = this.resource;
    const tokens = new Set<number>();
    return new Promise((resolve) => {
      const done = (struck?: { id: string; from: number }) => {
        clearTimeout(timer);
        watchers.delete(watch);
        resolve(struck);
      };
      const timer = setTimeout(done, Math.max(0, end - Date.now()));
      const watch = (write: FencedWrite) => {
        if (write.key !== key || this.#victims.has(write.by) || tokens.has(write.token)) return;
        tokens.add(write.token);
        if (!this.#awaited(write)) return;
        this.#victims.add(write.by);
        act(write.by);
        done({ id: write.by, from: Date.now() });
      };
      watchers.add(watch);
    });
  }

  /** Does something to the process that writes for this, at this moment; says to whom; nobody when none did in time. */
  strikeAt(phase: Phase, moment: Moment, limit: number, act: (id: string) => void): Promise<string | undefined> {
    return new Promise((resolve) => {
      const done = (id?: string) => {
        clearTimeout(timer);
        for (const link of this.#links.values()) link.onWrite = undefined;
        resolve(id);
      };
      const timer = setTimeout(done, limit);
      for (const [id, link] of this.#links) {
        link.onWrite = (write, at) => {
          if (write.phase !== phase || at !== moment) return;
          done(id);
          act(id);
        };
      }
    });
  }

  /** Its fault is over. */
  spare(id: string): void {
    this.#victims.delete(id);
  }

  /** Resolves when somebody has worked under a lock since now. */
  async works(): Promise<void> {
    const { length } = this.resource.writes;
    await eventually("work under a lock", () => this.resource.writes.length > length);
  }

  /** Resolves when the resource has refused so many writes. */
  async refused(count: number, end: number): Promise<void> {
    while (this.resource.writes.filter(({ accepted }) => !accepted).length < count) {
      if (Date.now() > end) throw new Error(`the resource has not refused ${count} writes`);
      await wait(10);
    }
  }

  /** Returns true if somebody sound has waited for the lock for long enough to have a place in its queue. */
  #awaited({ key, by, at }: FencedWrite): boolean {
    return [...this.resource.waiting].some(([other, { key: wanted, since }]) =>
      other !== by && wanted === key && since < at - ENROLLED && !this.#victims.has(other)
    );
  }

  #begin(kind: LockFault["kind"], id: string): void {
    if (kind === "frozen") this.signal(id, "SIGSTOP");
    else if (kind === "killed") this.signal(id, "SIGKILL");
    else if (kind === "cut off") this.link(id).cut();
    else this.link(id).freeze();
  }

  async #heal(kind: LockFault["kind"], id: string): Promise<void> {
    if (kind === "killed") return await this.start(id);
    await wait(TTL + 1_000 + 1_000 * Math.random());
    if (kind === "frozen") return this.signal(id, "SIGCONT");
    const link = this.link(id);
    if (kind === "cut off") await connectsAgain(link, () => link.restore());
    else link.restore();
  }

  /** Resolves when another one than who was struck then has worked under the lock, or after `limit` ms. */
  async moved(key: string, { id, from }: { id: string; from: number }, limit: number): Promise<void> {
    const end = Date.now() + limit;
    const other = () => this.resource.writes.some((write) => write.key === key && write.by !== id && write.at > from);
    while (!other() && Date.now() < end) await wait(50);
  }

  /**
   * Sees what works again after the last fault, ends all processes in good order, and gives what is known. What they
   * print when they crash is thrown. `election`: what the store takes beyond a ttl to answer again, in ms.
   */
  async finish(limit: number, { election = 0 } = {}): Promise<LockHistory> {
    const left = await aftermath(
      { ...this.#options, gaps: () => this.#stalls() },
      (app) =>
        this.#options.keys.map((key) => ({
          ...lockProbe(app, key, TTL + election),
          excused: () => this.#worked(key),
        })),
    );
    const programs = [...this.#programs.values()];
    for (const program of programs) program.kill("SIGTERM");
    await Promise.all(programs.map((program) => program.end()));
    for (const { output } of [...programs, ...this.#retired]) {
      if (/unhandled rejection|uncaught exception/.test(output)) throw new Error(output);
    }
    return { ...await this.history(limit), aftermath: left };
  }

  /** When processes were not allowed to run. */
  async #stalls(): Promise<{ from: number; to: number }[]> {
    const { lines } = await this.history(0);
    return [...lines.values()].flat().flatMap((line) =>
      line.event === "stall" ? [{ from: line.from, to: line.at }] : []
    );
  }

  /** When processes worked under a lock: those who waited for it had to. */
  async #worked(key: string): Promise<{ from: number; to: number }[]> {
    const { lines } = await this.history(0);
    return [...lines.values()].flatMap((all) => workUnder(key, all));
  }

  /** What is known by now. */
  async history(limit: number): Promise<LockHistory> {
    const lines = new Map<string, LockLine[]>();
    for (const id of this.#options.ids) {
      const text = await readFile(join(this.#folder, `${id}.locks`), "utf8");
      lines.set(id, text.split("\n").slice(0, -1).map((line) => JSON.parse(line) as LockLine));
    }
    const { resource: { writes }, faults } = this;
    return { lines, writes, faults, unanswered: this.#unanswered, ttl: TTL, limit, timeout: TIMEOUT };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endWatch();
    await Promise.all([...this.#programs.values()].map((program) => program.stop()));
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.resource[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const KINDS = ["frozen", "killed", "cut off", "cable dead"] as const;
const ENROLLED = 30; // ms

/**
 * What a soak runs on: a nats-server, nodes and clients in processes of their own, and all that can be done to them.
 * Whatever a process does that nobody asked for is a violation.
 *
 * @module
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { LastWill } from "../last_will.ts";
import { type NatsServer, startNatsServer } from "../nats_server.ts";
import type { Runtime } from "../node_messages.ts";
import { type Program, startProgram } from "../node_process.ts";
import type { Span } from "./log.ts";
import type { SoakClientOptions } from "./client.ts";
import type { SoakLine } from "./messages.ts";
import type { SoakNodeOptions } from "./node.ts";

/** A process of a soak. */
export interface Member {
  readonly id: string;
  readonly runtime: Runtime;
  readonly role: "node" | "client";
  /** Whether it lives from the first to the last moment. */
  readonly lasting: boolean;
  readonly program: Program<SoakLine>;
  readonly endpoint: string;
  state: "up" | "frozen" | "ending";
}

/** What was done to a cluster, and how often. */
export type Deed = "kill" | "freeze" | "restart" | "join" | "leave" | "server restart" | "server freeze";

/** Where a cluster is started. */
export interface SoakClusterOptions extends Pick<SoakNodeOptions, "heartbeat" | "plant"> {
  /** The services that nodes are replicas of, in turn. */
  readonly services: readonly string[];
}

/** A cluster of processes. */
export class SoakCluster implements AsyncDisposable {
  /** Where the log stands. */
  readonly folder: string;
  readonly members: Set<Member> = new Set();
  readonly done: Record<Deed, number> = {
    kill: 0,
    freeze: 0,
    restart: 0,
    join: 0,
    leave: 0,
    "server restart": 0,
    "server freeze": 0,
  };
  /** When there was no server, up to the moment when everybody has had the time to come back to it. */
  readonly outages: Span[] = [];
  readonly violations: string[] = [];
  /** The longest that a node took to leave, in ms. */
  longestDrain = 0;
  readonly #options: SoakClusterOptions;
  readonly #base = mkdtempSync(join(tmpdir(), "catga-soak-"));
  readonly #will = new LastWill(this.#base);
  readonly #running: Set<Program<SoakLine>> = new Set();
  #server: Promise<NatsServer>;
  #url = "";
  #outages = 0;
  #nodes = 0;

  private constructor(options: SoakClusterOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(this.#base, "log-"));
    this.#server = startNatsServer({ storeDir: this.#store });
  }

  /** Starts the server. */
  static async open(options: SoakClusterOptions): Promise<SoakCluster> {
    const cluster = new SoakCluster(options);
    try {
      cluster.#url = (await cluster.#server).url;
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return this.#url;
  }

  /** The nodes that nothing happens to just now. */
  get awake(): Member[] {
    return [...this.members].filter(({ role, state }) => role === "node" && state === "up");
  }

  /** Starts a node; it is missing, and a violation, when it does not come up. */
  async startNode(runtime: Runtime, id: string, lasting = false): Promise<void> {
    const { services, heartbeat, plant } = this.#options;
    const service = services[this.#nodes++ % services.length];
    await this.#start("node", runtime, id, lasting, { folder: this.folder, service, heartbeat, plant });
  }

  /** Starts a client. */
  async startClient(
    runtime: Runtime,
    id: string,
    options: Omit<SoakClientOptions, "folder" | "heartbeat">,
  ): Promise<void> {
    const { heartbeat } = this.#options;
    await this.#start("client", runtime, id, true, { ...options, folder: this.folder, heartbeat });
  }

  /** SIGKILL. */
  async kill(member: Member): Promise<void> {
    this.#did("kill", member.id);
    member.state = "ending";
    this.members.delete(member);
    await member.program.stop();
  }

  /** SIGSTOP for `ms`, and then SIGCONT or, with `fatal`, SIGKILL. */
  async freeze(member: Member, ms: number, fatal = false): Promise<void> {
    this.#did("freeze", `${member.id} for ${Math.round(ms)} ms`);
    member.state = "frozen";
    member.program.kill("SIGSTOP");
    await wait(ms);
    if (fatal) return await this.kill(member);
    member.program.kill("SIGCONT");
    this.note(`${member.id} goes on`);
    member.state = "up";
  }

  /** SIGTERM, and another process of the same name. */
  async restart(member: Member): Promise<void> {
    this.#did("restart", member.id);
    await this.#drain(member);
    await this.startNode(member.runtime, member.id);
  }

  /** SIGTERM. */
  async leave(member: Member): Promise<void> {
    this.#did("leave", member.id);
    await this.#drain(member);
  }

  /** A node that was never there. */
  async join(runtime: Runtime, id: string): Promise<void> {
    this.#did("join", id);
    await this.startNode(runtime, id);
  }

  /** Ends the server and starts it anew after `ms`, on its store or, with `empty`, on none. */
  async restartServer(signal: "SIGKILL" | "SIGTERM", ms: number, empty: boolean): Promise<void> {
    this.#did("server restart", `by ${signal}, away for ${Math.round(ms)} ms${empty ? ", its store lost" : ""}`);
    const server = await this.#server;
    this.#outages++;
    const from = Date.now();
    const next = Promise.withResolvers<NatsServer>();
    this.#server = next.promise;
    await server.kill(signal);
    await server.stop();
    if (empty) rmSync(this.#store, { recursive: true, force: true });
    await wait(ms);
    startNatsServer({ storeDir: this.#store, port: server.port }).then(next.resolve, next.reject);
    await next.promise;
    this.note("the server is back");
    this.outages.push({ from, to: Date.now() + RETURN });
  }

  /** SIGSTOP for `ms`, and then SIGCONT. */
  async freezeServer(ms: number): Promise<void> {
    this.#did("server freeze", `for ${Math.round(ms)} ms`);
    const server = await this.#server;
    const from = Date.now();
    await server.kill("SIGSTOP");
    await wait(ms);
    await server.kill("SIGCONT");
    this.note("the server goes on");
    this.outages.push({ from, to: Date.now() + RETURN });
  }

  /** Ends every process with SIGTERM. */
  async stop(): Promise<void> {
    await Promise.all([...this.members].map((member) => this.#drain(member)));
  }

  /** Writes something down about the course of things. */
  note(text: string): void {
    appendFileSync(join(this.folder, "storm"), `${Date.now()} ${text}\n`);
  }

  /** Takes the log out of the folder that is about to be deleted, and says where it is. */
  async keepLog(): Promise<string> {
    const kept = `${this.#base}-log`;
    await rename(this.folder, kept);
    return kept;
  }

  /** Kills what still runs and deletes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members) member.state = "ending";
    await Promise.all([...this.#running].map((program) => program.stop()));
    await (await this.#server.catch(() => undefined))?.stop();
    rmSync(this.#base, { recursive: true, force: true });
  }

  get #store(): string {
    return join(this.#base, "store");
  }

  #did(deed: Deed, what: string): void {
    this.done[deed]++;
    this.note(`${deed} ${what}`);
  }

  async #start(
    role: Member["role"],
    runtime: Runtime,
    id: string,
    lasting: boolean,
    options: SoakNodeOptions | SoakClientOptions,
  ): Promise<void> {
    for (;;) {
      await this.#server;
      const outages = this.#outages;
      const program = await startProgram<SoakLine>(runtime, `soak/${role}`, [this.#url, id, JSON.stringify(options)]);
      this.#remember(program);
      try {
        const isReady = (line: SoakLine): line is SoakLine & { event: "ready" } => line.event === "ready";
        const { endpoint } = await program.line(isReady, START);
        const member: Member = { id, runtime, role, lasting, program, endpoint, state: "up" };
        this.members.add(member);
        this.note(`${id} is ready: ${endpoint}`);
        program.ended.then(({ by }) => {
          if (member.state === "ending") return;
          this.members.delete(member);
          this.violations.push(`${id} ended by itself (${by}):\n${program.output.slice(-2_000)}`);
        });
        return;
      } catch (error) {
        await program.stop();
        // without a server it cannot
        if (outages !== this.#outages) continue;
        this.violations.push(`${id} did not start: ${(error as Error).message.slice(-2_000)}`);
        return;
      }
    }
  }

  /** Has it killed when this process dies before it. */
  #remember(program: Program<SoakLine>): void {
    const tell = () => this.#will.kill([...this.#running].map(({ pid }) => pid));
    this.#running.add(program);
    tell();
    program.ended.then(() => {
      this.#running.delete(program);
      tell();
    });
  }

  async #drain(member: Member): Promise<void> {
    member.state = "ending";
    const { id, program } = member;
    const began = performance.now();
    program.kill("SIGTERM");
    try {
      const { by } = await program.end(DRAIN);
      if (by !== "SIGTERM") this.violations.push(`${id} drained and ended by ${by}:\n${program.output.slice(-2_000)}`);
      this.longestDrain = Math.max(this.longestDrain, performance.now() - began);
    } catch (error) {
      this.violations.push(`${id} did not drain: ${(error as Error).message.slice(-2_000)}`);
      await program.stop();
    }
    this.members.delete(member);
    this.note(`${id} has ended`);
  }
}

const START = 20_000; // ms
const RETURN = 3_000; // ms
const DRAIN = 35_000; // ms: a drain's own limit, and some

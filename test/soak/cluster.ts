/**
 * What a soak runs on: a nats-server or three, nodes and clients in processes of their own, and all that can be done to
 * them. An unexpected end of a process is a violation.
 *
 * @module
 */
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { LastWill } from "../../tools/last_will.ts";
import { LoneServer, type ServerBlow, type StormyServer, strikeServer } from "../processes/server_storm.ts";
import { ServerTrio } from "../processes/server_trio.ts";
import { SKEWS } from "../processes/skewed_clock.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { DRAINED, type Program, startProgram } from "../processes/node_process.ts";
import { ELECTION } from "../support/store_check.ts";
import type { Span } from "../processes/loop_gaps.ts";
import type { SoakClientOptions } from "./client.ts";
import type { SoakLine } from "./messages.ts";
import type { SoakNodeOptions } from "./node.ts";
import type { Trouble } from "./shared_check.ts";

/** A process of a soak. */
export interface Member {
  readonly id: string;
  readonly runtime: Runtime;
  readonly role: "node" | "client";
  /** True if it lives from the first to the last moment. */
  readonly lasting: boolean;
  readonly program: Program<SoakLine>;
  readonly endpoint: string;
  /** Its way to the server, when it has one of its own. */
  readonly link: TcpProxy | undefined;
  state: "up" | "frozen" | "cut off" | "ending";
}

/** What was done to a cluster, and how often. */
export type Deed =
  | "kill"
  | "freeze"
  | "cut"
  | "restart"
  | "join"
  | "leave"
  | "server kill"
  | "server stop"
  | "server freeze"
  | "server wipe";

/** Where a cluster is started. */
export interface SoakClusterOptions extends Pick<SoakNodeOptions, "heartbeat" | "plant"> {
  /** The services that nodes are replicas of, in turn. */
  readonly services: readonly string[];
  /** NATS servers: one, or three that replicate what they store. */
  readonly servers: 1 | 3;
  /** True if there are shared state, wrong clocks, links that can be cut, and user code that never settles. */
  readonly state: boolean;
  /** True if some commands block their process. */
  readonly blocked: boolean;
  /** Where the sources of the processes are; this tree. */
  readonly root?: string | undefined;
}

/** A cluster of processes. */
export class SoakCluster implements AsyncDisposable {
  /** Where the log stands. */
  readonly folder: string;
  readonly members: Set<Member> = new Set();
  readonly done: Record<Deed, number> = {
    kill: 0,
    freeze: 0,
    cut: 0,
    restart: 0,
    join: 0,
    leave: 0,
    "server kill": 0,
    "server stop": 0,
    "server freeze": 0,
    "server wipe": 0,
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
  readonly #links: Map<string, TcpProxy> = new Map();
  readonly #endpoints: Map<string, Set<string>> = new Map();
  /** The faults so far. */
  readonly troubles: Trouble[] = [];
  #servers: LoneServer | ServerTrio | undefined;
  /** Resolves when there is a server. */
  #up: Promise<void> = Promise.resolve();
  #outages = 0;
  #nodes = 0;
  #started = 0;

  private constructor(options: SoakClusterOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(this.#base, "log-"));
  }

  /** Starts the server, or the servers. */
  static async open(options: SoakClusterOptions): Promise<SoakCluster> {
    const cluster = new SoakCluster(options);
    try {
      cluster.#servers = options.servers === 1
        ? await LoneServer.open(join(cluster.#base, "store"))
        : await ServerTrio.open();
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of the server; of several with commas. */
  get url(): string {
    return this.#servers instanceof ServerTrio ? this.#servers.urlsFrom(0) : this.#servers!.url;
  }

  get replicas(): 1 | 3 {
    return this.#options.servers;
  }

  /** All processes that there were of an id. */
  endpoints(id: string): ReadonlySet<string> {
    return this.#endpoints.get(id) ?? new Set();
  }

  /** The nodes that nothing happens to just now. */
  get awake(): Member[] {
    return [...this.members].filter(({ role, state }) => role === "node" && state === "up");
  }

  /** Starts a node; it is missing, and a violation, when it does not come up. */
  async startNode(runtime: Runtime, id: string, until: number, lasting = false): Promise<void> {
    const { services, heartbeat, plant, state, blocked } = this.#options;
    const service = services[this.#nodes % services.length];
    const skew = state ? SKEWS[this.#nodes % SKEWS.length] : {};
    this.#nodes++;
    const { folder, replicas } = this;
    const options = {
      folder,
      service,
      heartbeat,
      plant,
      replicas,
      skew,
      never: state && lasting,
      blocked,
      ...state && { until },
    };
    // a link costs this process the carrying of all that goes over it, and only one server has one way to it
    const link = state && !lasting && this.#servers instanceof LoneServer
      ? await this.#linkOf(id, this.#servers)
      : undefined;
    await this.#start("node", runtime, id, lasting, options, link);
  }

  async #linkOf(id: string, server: LoneServer): Promise<TcpProxy> {
    let link = this.#links.get(id);
    if (link === undefined) this.#links.set(id, link = await startTcpProxy(server.port));
    return link;
  }

  /** Starts a client. */
  async startClient(
    runtime: Runtime,
    id: string,
    options: Omit<SoakClientOptions, "folder" | "heartbeat" | "replicas" | "state">,
  ): Promise<void> {
    const { heartbeat, state } = this.#options;
    const { folder, replicas } = this;
    await this.#start("client", runtime, id, true, { ...options, folder, heartbeat, replicas, state }, undefined);
  }

  /** SIGKILL. `since`: the last sign of life, in ms since 1970; now. */
  async kill(member: Member, since?: number): Promise<void> {
    this.#did("kill", member.id);
    member.state = "ending";
    this.members.delete(member);
    await member.program.stop();
    const now = Date.now();
    this.troubles.push({ kind: "death", endpoint: member.endpoint, from: since ?? now, to: now });
  }

  /** SIGSTOP for `ms`, and then SIGCONT or, with `fatal`, SIGKILL. */
  async freeze(member: Member, ms: number, fatal = false): Promise<void> {
    this.#did("freeze", `${member.id} for ${Math.round(ms)} ms`);
    member.state = "frozen";
    const from = Date.now();
    member.program.kill("SIGSTOP");
    await wait(ms);
    this.troubles.push({ kind: "freeze", endpoint: member.endpoint, from, to: Date.now() });
    if (fatal) return await this.kill(member, from);
    member.program.kill("SIGCONT");
    this.note(`${member.id} goes on`);
    member.state = "up";
  }

  /** Breaks its connection and refuses new ones for `ms`; again a second later when `twice`, as a bad cable does. */
  async cut(member: Member, ms: number, twice: boolean): Promise<void> {
    const { link, id, endpoint } = member;
    if (link === undefined) return;
    this.#did("cut", `${id} for ${Math.round(ms)} ms${twice ? ", twice" : ""}`);
    member.state = "cut off";
    for (let times = twice ? 2 : 1; times > 0; times--) {
      const from = Date.now();
      link.cut();
      await wait(ms);
      link.restore();
      this.troubles.push({ kind: "cut", endpoint, from, to: Date.now() });
      if (times > 1) await wait(1_000);
    }
    this.note(`${id} is there again`);
    // unless it ended meanwhile
    if (this.members.has(member)) member.state = "up";
  }

  /** SIGTERM, and another process of the same name. */
  async restart(member: Member, until: number): Promise<void> {
    this.#did("restart", member.id);
    await this.#drain(member);
    await this.startNode(member.runtime, member.id, until);
  }

  /** SIGTERM. */
  async leave(member: Member): Promise<void> {
    this.#did("leave", member.id);
    await this.#drain(member);
  }

  /** A node that was never there. */
  async join(runtime: Runtime, id: string, until: number): Promise<void> {
    this.#did("join", id);
    await this.startNode(runtime, id, until);
  }

  /** Does something to the server, or to one of three: `which` in [0, 1). */
  async strikeServer(blow: ServerBlow, which: number): Promise<void> {
    const servers = this.#servers!;
    const index = Math.floor(which * 3);
    const [server, name] = servers instanceof ServerTrio
      ? [servers.server(index), `n${index}`]
      : [servers, "the server"];
    await strikeServer(this.#watched(server, name), blow);
  }

  /** A server of which is written down what happens to it. */
  #watched(server: StormyServer, name: string): StormyServer {
    let from = 0;
    let up = Promise.withResolvers<void>();
    const back = (what: string) => {
      this.note(`${name} ${what}`);
      const to = Date.now();
      this.outages.push({ from, to: to + RETURN });
      // of three the others go on, after an election
      this.troubles.push({ kind: "outage", from, to: this.replicas === 1 ? to : to + ELECTION });
    };
    return {
      stop: async (by) => {
        this.#did(by === "SIGKILL" ? "server kill" : "server stop", `${name} by ${by}`);
        this.#outages++;
        from = Date.now();
        up = Promise.withResolvers();
        if (this.replicas === 1) this.#up = up.promise;
        await server.stop(by);
      },
      start: async (options) => {
        if (options.wipe) this.#did("server wipe", name);
        const wiped = Date.now();
        await server.start(options);
        if (options.wipe && this.replicas === 1) this.troubles.push({ kind: "wipe", from: wiped, to: Date.now() });
        up.resolve();
        back("is back");
      },
      freeze: async () => {
        this.#did("server freeze", name);
        from = Date.now();
        await server.freeze();
      },
      thaw: async () => {
        await server.thaw();
        back("goes on");
      },
    };
  }

  /** Ends every process with SIGTERM. */
  async stop(): Promise<void> {
    await Promise.all([...this.members].map((member) => this.#drain(member)));
  }

  /** Writes something down about the course of things. */
  note(text: string): void {
    appendFileSync(join(this.folder, "storm"), `${Date.now()} ${text}\n`);
  }

  /** Moves the log out of the folder that is about to be deleted; returns its path. */
  async keepLog(): Promise<string> {
    const kept = `${this.#base}-log`;
    await rename(this.folder, kept);
    return kept;
  }

  /** Kills what still runs and deletes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.members) member.state = "ending";
    await Promise.all([...this.#running].map((program) => program.stop()));
    await Promise.all([...this.#links.values()].map((link) => link.close()));
    await this.#servers?.[Symbol.asyncDispose]();
    await this.#will.carryOut();
    rmSync(this.#base, { recursive: true, force: true });
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
    link: TcpProxy | undefined,
  ): Promise<void> {
    const servers = this.#servers!;
    for (;;) {
      await this.#up;
      const outages = this.#outages;
      const url = servers instanceof ServerTrio ? servers.urlsFrom(this.#started++ % 3) : (link ?? servers).url;
      const args = [url, id, JSON.stringify(options)];
      const program = await startProgram<SoakLine>(runtime, `test/soak/${role}.ts`, args, this.#options.root);
      this.#remember(program);
      try {
        const isReady = (line: SoakLine): line is SoakLine & { event: "ready" } => line.event === "ready";
        const { endpoint } = await program.line(isReady, START);
        const member: Member = { id, runtime, role, lasting, program, endpoint, link, state: "up" };
        this.members.add(member);
        const endpoints = this.#endpoints.get(id);
        if (endpoints === undefined) this.#endpoints.set(id, new Set([endpoint]));
        else endpoints.add(endpoint);
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
      if (!DRAINED.includes(by)) {
        this.violations.push(`${id} drained and ended by ${by}:\n${program.output.slice(-2_000)}`);
      }
      this.longestDrain = Math.max(this.longestDrain, performance.now() - began);
    } catch (error) {
      this.violations.push(`${id} did not drain: ${(error as Error).message.slice(-2_000)}`);
      await program.stop();
    }
    this.members.delete(member);
    this.note(`${id} has ended`);
  }
}

const START = 90_000; // ms: a busy machine takes long to start a process
const RETURN = 3_000; // ms
const DRAIN = 35_000; // ms: a drain's own limit, and some

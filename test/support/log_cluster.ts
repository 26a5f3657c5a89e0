/** Processes that publish to the log and handle it, in both runtimes, whose clocks disagree, on a real nats-server. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { mkdtemp, open as openFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import type { EnqueueOptions, KeepOptions } from "../../src/contract/calls/durable_messages.ts";
import type { Result } from "../../src/contract/calls/result.ts";
import { catga } from "../../src/catga.ts";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../tools/nats_server.ts";
import { logFile, openLogFile } from "../processes/log_file.ts";
import {
  type Category,
  type Contracts,
  contracts,
  isKeyed,
  type LogLine,
  type Task,
} from "../processes/log_messages.ts";
import { type LogHandler, type LogNodeLine, type LogNodeOptions, subscriptionOf } from "../processes/log_node.ts";
import type { LogPublisherLine, LogPublisherOptions } from "../processes/log_publisher.ts";
import { DRAINED, type Program, startProgram } from "../processes/node_process.ts";
import { SKEWS, trueNow } from "../processes/skewed_clock.ts";
import { eventually } from "./eventually.ts";
import { LogHistory, type LogHistoryOptions, streamViolations } from "./log_history.ts";
import { readLogEntries } from "./log_stream.ts";
import { watchStalls } from "./server_stalls.ts";
import { PATIENT } from "./patient.ts";
import { startOrDispose } from "./start_or_dispose.ts";

/** Options of {@link LogCluster.open}. */
export interface LogClusterOptions {
  /** What its nodes handle. */
  readonly handles: readonly LogHandler[];
  /** The ids of its nodes: `d…` are processes of Deno, `b…` of Bun; none. */
  readonly nodes?: readonly string[];
  /** What they are started with. */
  readonly node?: Partial<LogNodeOptions>;
  /** The URLs of servers that the test starts itself; one server of its own. */
  readonly urls?: readonly string[];
  readonly server?: NatsServerOptions;
  readonly replicas?: number;
  readonly history?: LogHistoryOptions;
  /**
   * True (default) if servers that this process sees standing still excuse what is handled again. A pause of this
   * process looks like that, too: without it a planted bug is found nevertheless.
   */
  readonly excusesStalls?: boolean;
  /** Where the sources of its processes are; this tree. */
  readonly root?: string | undefined;
}

const NAMESPACE = "log";
const SERVICE = "app";
/** How long after the last fault everything that was stored has been handled, on a busy machine, in ms. */
const SETTLED = 120_000;

/** Such processes, and a caller in this one without handlers. */
export class LogCluster implements AsyncDisposable {
  readonly folder: string;
  readonly history: LogHistory;
  /** What the caller, in this process, has logged: level and text. */
  readonly said: string[] = [];
  readonly #options: LogClusterOptions;
  readonly #note: (line: LogLine) => void;
  readonly #nodes = new Map<string, Program<LogNodeLine>>();
  readonly #ended: Program<LogNodeLine>[] = [];
  readonly #publishers: Program<LogPublisherLine>[] = [];
  /** Subscriptions that handle everything stored, and the categories that they have. */
  readonly #expected = new Map<string, readonly Category[]>();
  #endWatch: () => Promise<void> = () => Promise.resolve();
  #server: NatsServer | undefined;
  #caller: Catga | undefined;
  #read = 0;
  /** Made once: it is read every 10 ms. */
  readonly #buffer = new Uint8Array(1 << 20);
  #rest = "";
  #started = 0;
  #published = 0;
  #stopping = false;

  private constructor(options: LogClusterOptions, folder: string) {
    this.#options = options;
    this.folder = folder;
    this.#note = openLogFile(folder);
    const attempts = Math.max(10, ...options.handles.map(({ retry }) => retry?.attempts ?? 10));
    this.history = new LogHistory({ attempts, ...options.history });
  }

  /** Starts it; resolves when all its nodes are ready. */
  static async open(options: LogClusterOptions): Promise<LogCluster> {
    const cluster = new LogCluster(options, await mkdtemp(join(tmpdir(), "catga-log-")));
    return await startOrDispose(cluster, () => cluster.#begin());
  }

  async #begin(): Promise<void> {
    const { nodes = [], urls, server, handles, replicas = 1, excusesStalls = true } = this.#options;
    if (urls === undefined) this.#server = await startNatsServer({ ...server, storeDir: this.#store });
    const note = this.#note;
    if (excusesStalls) {
      this.#endWatch = await watchStalls(
        this.urls,
        (from, at) => note({ event: "stalled", pid: 0, from, at }),
      );
    }
    for (const handler of handles) if (handler.each !== "node") this.expect(handler);
    await Promise.all(nodes.map((id) => this.start(id)));
    const write = (level: string) => (text: string, { error = "" }: { error?: unknown }) =>
      void this.said.push(`${level} ${text} ${error}`);
    this.#caller = await catga({
      nats: { servers: [...this.urls] },
      id: "caller",
      service: "caller",
      namespace: NAMESPACE,
      replicas,
      logger: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") },
    });
  }

  get namespace(): string {
    return NAMESPACE;
  }

  get server(): NatsServer {
    assert(this.#server !== undefined, "the servers are the test's own");
    return this.#server;
  }

  /**
   * Starts the server again that was killed, on its port and its store, or an empty one; resolves when it takes
   * connections.
   */
  async restartServer({ wipe = false }: { wipe?: boolean } = {}): Promise<void> {
    const { port } = this.server;
    if (wipe) await rm(this.#store, { recursive: true, force: true });
    await this.server.stop();
    this.#server = await startNatsServer({ ...this.#options.server, port, storeDir: this.#store });
  }

  /** Where its server keeps its data. */
  get #store(): string {
    return join(this.folder, "store");
  }

  get urls(): readonly string[] {
    return this.#options.urls ?? [this.server.url];
  }

  /** The app of this process. */
  get caller(): Catga {
    return this.#caller!;
  }

  /** Has what is stored from now on handled by this subscription as well. */
  expect(handler: LogHandler, service: string = this.#options.node?.service ?? SERVICE): void {
    const sub = subscriptionOf(handler, service, "");
    this.#expected.set(sub, [...this.#expected.get(sub) ?? [], handler.category]);
  }

  /** No longer expects a subscription to handle what is stored: all its nodes are gone for good. */
  forget(sub: string): void {
    this.#expected.delete(sub);
  }

  /** Starts a node, or starts it again; resolves when it is ready. `url`: of the link that it has to the servers. */
  async start(id: string, more: Partial<LogNodeOptions> = {}, url?: string): Promise<Program<LogNodeLine>> {
    const program = await this.#launch(id, more, url);
    await isReady(program);
    return program;
  }

  async #launch(
    id: string,
    more: Partial<LogNodeOptions>,
    url: string = this.#turned(),
  ): Promise<Program<LogNodeLine>> {
    const { handles, node, replicas = 1, root } = this.#options;
    const before = this.#nodes.get(id);
    if (before !== undefined) this.#ended.push(before);
    const ids = [...new Set([...this.#nodes.keys(), id])];
    const options: LogNodeOptions = {
      folder: this.folder,
      namespace: NAMESPACE,
      service: SERVICE,
      replicas,
      handles,
      skew: SKEWS[ids.indexOf(id) % SKEWS.length],
      ...node,
      ...more,
    };
    const args = [url, id, JSON.stringify(options)];
    const runtime = id.startsWith("d") ? "deno" : "bun";
    const program = await startProgram<LogNodeLine>(runtime, "test/processes/log_node.ts", args, root);
    this.#nodes.set(id, program);
    return program;
  }

  /** Starts a node, and starts it again whenever it has been killed, until the end of the test. */
  async keep(id: string, more: Partial<LogNodeOptions> = {}): Promise<void> {
    const program = await this.#launch(id, more);
    await isReady(program).catch(async (error) => {
      // a message may kill it before it says so
      if ((await program.end()).by !== "SIGKILL") throw error;
    });
    program.ended.then(async () => {
      if (this.#stopping || this.#nodes.get(id) !== program) return;
      await this.keep(id, more);
    }).catch((error) => {
      if (!this.#stopping) this.#failures.push(`${id} could not be started again: ${error}`);
    });
  }

  readonly #failures: string[] = [];

  /** All URLs, with commas; each process begins with another one. */
  #turned(): string {
    const { urls } = this;
    const first = this.#started++;
    return urls.map((_, i) => urls[(first + i) % urls.length]).join(",");
  }

  node(id: string): Program<LogNodeLine> {
    const node = this.#nodes.get(id);
    assert(node !== undefined, `there is no node ${id}`);
    return node;
  }

  /** Kills a node; resolves when it is gone. */
  async kill(id: string): Promise<void> {
    const node = this.node(id);
    this.#note({ event: "killed", pid: node.pid, at: trueNow() });
    node.kill("SIGKILL");
    await node.ended;
  }

  freeze(id: string): void {
    this.unreachable(id);
    this.node(id).kill("SIGSTOP");
  }

  thaw(id: string): void {
    const node = this.node(id);
    this.#note({ event: "thawed", pid: node.pid, at: trueNow() });
    node.kill("SIGCONT");
  }

  /** Notes that a node is paused or cut off from now on: what it has begun may be handled by others. */
  unreachable(id: string): void {
    this.#note({ event: "frozen", pid: this.node(id).pid, at: trueNow() });
  }

  /** Notes that it is cut off no longer. */
  reachable(id: string): void {
    this.#note({ event: "reachable", pid: this.node(id).pid, at: trueNow() });
  }

  /** Drains a node as a deploy does; resolves when it has ended. */
  async retire(id: string): Promise<void> {
    const node = this.node(id);
    node.kill("SIGTERM");
    const { by } = await node.end();
    assert(DRAINED.includes(by), `${id} ended by ${by}: ${node.output}`);
  }

  /** Notes that something is done from which leaders may not recover at once. */
  fault(what: string): void {
    this.#note({ event: "fault", what, at: trueNow() });
  }

  discarded(sub: string, entry: string): void {
    this.#note({ event: "discarded", sub, entry, at: trueNow() });
  }

  replayed(sub: string, entry: string): void {
    this.#note({ event: "replayed", sub, entry, at: trueNow() });
  }

  rewound(sub: string): void {
    this.#note({ event: "rewound", sub, at: trueNow() });
  }

  /** Notes that the log is lost. */
  lost(): void {
    this.#note({ event: "lost", at: trueNow() });
  }

  /** Lets handlers go on that wait for this file. */
  async openGate(file: string): Promise<void> {
    await writeFile(join(this.folder, file), "");
  }

  /** Starts a process that publishes. */
  async publisher(
    id: string,
    { url, ...options }: Partial<LogPublisherOptions> & { readonly url?: string } = {},
  ): Promise<Program<LogPublisherLine>> {
    const { replicas = 1, root } = this.#options;
    const all: LogPublisherOptions = { folder: this.folder, namespace: NAMESPACE, replicas, ...options };
    const runtime = id.startsWith("d") ? "deno" : "bun";
    const args = [url ?? this.#turned(), id, JSON.stringify(all)];
    const program = await startProgram<LogPublisherLine>(runtime, "test/processes/log_publisher.ts", args, root);
    this.#publishers.push(program);
    await program.line(({ event }) => event === "ready");
    return program;
  }

  /** Publishes from this process, and notes what came of it. */
  async publish(
    category: Category,
    task: Omit<Task, "seq"> & { readonly seq?: number },
    options: EnqueueOptions = {},
    app: Catga = this.caller,
  ): Promise<Result<void>> {
    const made = all[category];
    const whole: Task = { seq: this.#published++, ...task };
    const { entry, key, seq } = whole;
    const recurring = options.cron !== undefined;
    const keyed = key !== undefined && isKeyed(category) ? { key } : {};
    this.#note({ event: "intent", entry, by: "caller", category, ...keyed, seq, recurring, at: trueNow() });
    const result: Result<void> = made.kind === "command"
      ? await app.enqueue(made as Contracts["Job"], whole, options)
      : await app.publish(made as Contracts["Happened"], whole, options as KeepOptions);
    const code = result.error?.code;
    const event = result.ok ? "ok" : code === "OUTCOME_UNKNOWN" ? "unknown" : "failed";
    this.#note({ event, entry, ...(code === undefined ? {} : { code }), at: trueNow() });
    return result;
  }

  /** Takes in what was written down since. */
  async read(): Promise<LogHistory> {
    await using file = await openFile(logFile(this.folder), "r");
    for (;;) {
      const { bytesRead } = await file.read(this.#buffer, 0, this.#buffer.length, this.#read);
      if (bytesRead === 0) return this.history;
      this.#read += bytesRead;
      // ids, keys and codes are ASCII
      const lines = (this.#rest + new TextDecoder("latin1").decode(this.#buffer.subarray(0, bytesRead))).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) this.history.take(JSON.parse(line) as LogLine);
    }
  }

  /**
   * Resolves when the history so far fits; rejects when it has not after `limit` ms, or so many since `left` was less
   * than ever before: what is not handled of all that had been stored, for how soon its turn comes is the machine's.
   */
  async until(
    what: string,
    fits: (history: LogHistory) => boolean,
    limit: number = SETTLED,
    left: () => number = this.#waiting(),
  ): Promise<void> {
    let end = performance.now() + limit;
    let least = Infinity;
    for (;;) {
      const history = await this.read();
      const asked = performance.now();
      if (fits(history)) return;
      const now = performance.now();
      const remaining = left();
      if (remaining < least) [least, end] = [remaining, now + limit];
      if (now > end) throw new Error(`waited ${limit} ms in vain for ${what}\n${await this.#state()}`);
      // a long history takes long to look at
      await wait(10 + 4 * (now - asked));
    }
  }

  /** Counts what had been stored, and was not handled, when it was asked first, and is not handled yet. */
  #waiting(): () => number {
    let waiting: (readonly [sub: string, entry: string])[] | undefined;
    return () => {
      waiting ??= [...this.#expected].flatMap(([sub, of]) =>
        this.history.missing(sub, of).map((entry) => [sub, entry] as const)
      );
      waiting = waiting.filter(([sub, entry]) => !this.history.isHandled(sub, entry));
      return waiting.length;
    };
  }

  /** Resolves when so many more have been stored than now. */
  async more(count: number, limit: number = SETTLED): Promise<void> {
    const { ok } = (await this.read()).sums;
    await this.until("more to be stored", ({ sums }) => sums.ok >= ok + count, limit);
  }

  /**
   * Resolves when each subscription has handled all that was stored so far; rejects when it handles nothing more for
   * `limit` ms: how fast it goes on is the machine's.
   */
  async settled(limit: number = SETTLED): Promise<void> {
    let left = Infinity;
    const isHandled = () => {
      const missing = [...this.#expected].flatMap(([sub, of]) => this.history.missing(sub, of));
      left = missing.length;
      return left === 0;
    };
    await this.until("everything stored to be handled", isHandled, limit, () => left).catch((error: Error) => {
      const of = [...this.#expected].map(([sub, of]) => {
        const missing = this.history.missing(sub, of);
        return `${sub}: ${missing.length} not handled: ${missing.slice(0, 8)}`;
      });
      throw new Error(`${error.message}\n${of.join("\n")}`);
    });
  }

  /** The id of the node that leads a subscription, when it has one that lives. */
  async leader(name: string): Promise<string> {
    const found = await eventually(`a leader of ${name}`, async () => {
      const found = (await this.caller.subscriptions()).find((one) => one.name === name && !one.abandoned);
      const leader = found?.leader;
      return leader !== undefined && this.#nodes.get(leader)?.gone === false ? { leader } : undefined;
    });
    return found!.leader;
  }

  /**
   * The two questions after every fault. Safety: what handlers wrote down breaks no promise, and the log has each `ok`
   * once. Liveness: all that was stored is handled, and what is published now as well; no process had an unhandled
   * error, and each ends at SIGTERM.
   */
  async finish({ stream = true, stored = true }: { stream?: boolean; stored?: boolean } = {}): Promise<void> {
    assertEquals((await this.read()).violations.slice(0, 20), []);
    if (stored) await this.settled();
    const { ok, runs } = this.history.sums;
    assertGreater(Math.min(ok, runs), 0, "nothing was stored and handled before the end");
    for (const category of new Set([...this.#expected.values()].flat())) {
      const result = await this.publish(category, { entry: `last-${category}`, key: "last" }, PATIENT);
      assert(result.ok, `${category} cannot be published at the end: ${result.error}`);
    }
    const last = [...this.#expected].flatMap(([sub, of]) => of.map((category) => [sub, `last-${category}`] as const));
    await this.until(
      "the last ones to be handled",
      (history) => last.every(([sub, entry]) => history.isHandled(sub, entry)),
    );
    assertEquals(await this.violations({ stream }), []);
    await this.stopAll();
  }

  /** What was wrong, of what handlers wrote down and of the log. */
  async violations({ stream = true }: { stream?: boolean } = {}): Promise<string[]> {
    const history = await this.read();
    const wrong = [...history.violations, ...history.orderViolations(), ...this.#failures];
    if (stream) wrong.push(...streamViolations(history.intended, await readLogEntries(this.urls, NAMESPACE)));
    return wrong.slice(0, 20);
  }

  /** Ends all nodes by SIGTERM, and looks for unhandled errors in what they printed. */
  async stopAll(): Promise<void> {
    this.#stopping = true;
    const running = [...this.#nodes.values()].filter(({ gone }) => !gone);
    for (const program of running) program.kill("SIGTERM");
    for (const program of running) {
      const { by } = await program.end();
      assert(DRAINED.includes(by), `ended by ${by}: ${program.output}`);
    }
    for (const { output } of [...this.#nodes.values(), ...this.#ended, ...this.#publishers]) {
      assert(!/unhandled rejection|uncaught exception/.test(output), output);
    }
  }

  /** What all nodes have printed. */
  get output(): string {
    return [...this.#ended, ...this.#nodes.values()].map(({ output }) => output).join("\n");
  }

  /** How the subscriptions stand, for the message of a failure. */
  async #state(): Promise<string> {
    const subscriptions = await this.caller.subscriptions().catch((error) => [`${error}`]);
    const nodes = [...this.#nodes].map(([id, { gone, output }]) =>
      `${id}${gone ? " (gone)" : ""}: ${output.slice(-1_500)}`
    );
    return [JSON.stringify(subscriptions), JSON.stringify(this.history.sums), ...nodes].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#nodes.values(), ...this.#publishers].map((program) => program.stop()));
    await this.#caller?.drain({ timeout: 0 });
    await this.#endWatch();
    await this.#server?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}

const all = contracts();

/** Resolves when a node is ready. */
async function isReady(program: Program<LogNodeLine>): Promise<void> {
  await program.line(({ event }) => event === "ready");
}

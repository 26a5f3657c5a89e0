/** A cluster of processes in Deno and Bun, whose clocks disagree, on a real nats-server, with faults to inject. */
import { assert, assertEquals } from "@std/assert";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import { catga, type CatgaOptions } from "../../src/catga.ts";
import type { LogFields } from "../../src/contract/nodes/observer.ts";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../tools/nats_server.ts";
import { DRAINED, type NodeProcess, startNode } from "../processes/node_process.ts";
import { RunLog } from "../processes/run_log.ts";
import { SKEWS } from "../processes/skewed_clock.ts";
import type { NodeOptions } from "../processes/test_node.ts";
import { type Runtime, Who } from "../processes/node_messages.ts";
import { startOrDispose } from "./start_or_dispose.ts";
import { eventually } from "./eventually.ts";
import { livenessViolations, probe, sendProbe } from "./liveness.ts";
import { lastingViolations, readStore } from "./store_check.ts";
import { CheckedSends } from "./checked_sends.ts";

/** Options of {@link FaultCluster.open}. */
export interface FaultClusterOptions {
  /** The ids of its nodes: `d…` are processes of Deno, `b…` of Bun; none. */
  readonly nodes?: readonly string[];
  /** What they are started with. */
  readonly node?: NodeOptions;
  /** What the caller, in this process, is started with. */
  readonly caller?: CatgaOptions;
  /** The server; one of its own. */
  readonly server?: NatsServerOptions;
  /** The URL of a server, or of several with commas, that the test starts itself. */
  readonly url?: string;
}

/** A cluster whose nodes write down their runs, and a caller in this process without handlers. */
export class FaultCluster implements AsyncDisposable {
  readonly log: RunLog;
  readonly sends: CheckedSends = new CheckedSends();
  readonly nodes: Map<string, NodeProcess> = new Map();
  /** What the caller has logged, all levels. */
  readonly said: string[] = [];
  readonly #options: FaultClusterOptions;
  readonly #retired: NodeProcess[] = [];
  #server: NatsServer | undefined;
  #caller: Catga | undefined;

  private constructor(log: RunLog, options: FaultClusterOptions) {
    this.log = log;
    this.#options = options;
  }

  /** Starts it; all nodes see each other. */
  static async open(options: FaultClusterOptions = {}): Promise<FaultCluster> {
    const cluster = new FaultCluster(await RunLog.open(), options);
    return await startOrDispose(cluster, () => cluster.#begin());
  }

  async #begin(): Promise<void> {
    const { url, server, caller, nodes = [] } = this.#options;
    if (url === undefined) this.#server = await startNatsServer(server);
    this.#caller = await this.app({ id: "caller", ...caller });
    await Promise.all(nodes.map((id) => this.start(id)));
    await this.complete();
  }

  /** The server that the cluster was started with. */
  get server(): NatsServer {
    assert(this.#server !== undefined, "the server is the test's own");
    return this.#server;
  }

  get url(): string {
    return this.#options.url ?? this.server.url;
  }

  /** The app of this process. */
  get caller(): Catga {
    return this.#caller!;
  }

  /** One more app of this process. What it logs is kept. */
  app(options: CatgaOptions): Promise<Catga> {
    const write = (message: string, { error = "" }: LogFields) => void this.said.push(`${message} ${error}`);
    const logger = { debug: write, info: write, warn: write, error: write };
    const nats = this.url.includes(",") ? { servers: this.url.split(","), noRandomize: true } : this.url;
    return catga({ nats, service: "caller", logger, ...options });
  }

  /** Starts a node, or starts it again; resolves when it is ready. */
  async start(id: string, options: NodeOptions = {}, url: string = this.url): Promise<NodeProcess> {
    const runtime: Runtime = id.startsWith("d") ? "deno" : "bun";
    const before = this.nodes.get(id);
    if (before !== undefined) this.#retired.push(before);
    const { folder } = this.log;
    // whose clocks disagree, as those of machines do; a node that comes again has the clock that it had
    const skew = SKEWS[[...this.nodes.keys(), id].indexOf(id) % SKEWS.length];
    const node = await startNode(runtime, url, id, { folder, signals: true, skew, ...this.#options.node, ...options });
    this.nodes.set(id, node);
    return node;
  }

  node(id: string): NodeProcess {
    const node = this.nodes.get(id);
    assert(node !== undefined, `there is no node ${id}`);
    return node;
  }

  /** Sends a signal to the process of a node; returns the time, in ms since 1970. */
  signal(id: string, signal: NodeJS.Signals): number {
    this.node(id).program.kill(signal);
    return Date.now();
  }

  /** Resolves when the caller and every running process see exactly the running nodes. */
  async complete(): Promise<void> {
    const running = [...this.nodes.values()].filter(({ program }) => !program.gone);
    const wanted = running.map(({ endpoint }) => endpoint).sort();
    const seen = (view: readonly string[]) =>
      JSON.stringify(view.filter((endpoint) => /^[db]/.test(endpoint)).sort()) === JSON.stringify(wanted);
    await eventually(
      `all to see ${wanted}`,
      () => [this.caller.nodes().map(({ endpoint }) => endpoint), ...running.map((node) => node.view())].every(seen),
    );
  }

  /** Returns true if the caller has suspected this node at least once. */
  wasSuspect(id: string): boolean {
    return this.said.some((line) => line.includes(`node ${id}: suspect`));
  }

  /**
   * Holds after every fault: results agree with runs, every node is reached, nothing in the store
   * outlived its ttl, no process had an unhandled error, and each ends at SIGTERM.
   */
  async finish(): Promise<void> {
    assertEquals(await this.sends.violations(this.log), []);
    assertEquals(this.sends.pending, 0, "a send has no result");
    const running = [...this.nodes.values()].filter(({ program }) => !program.gone);
    const { heartbeat = 30_000, namespace = "default" } = this.#options.node ?? {};
    const probed = await probe(
      running.map(({ id: node }) =>
        sendProbe(
          `node ${node}`,
          heartbeat,
          ({ signal }) => this.caller.send(Who, undefined, { node, signal, timeout: 1_000 }),
        )
      ),
    );
    assertEquals(livenessViolations(probed), []);
    assertEquals(await lastingViolations(() => readStore(this.url, namespace)), []);
    for (const { program } of running) program.kill("SIGTERM");
    for (const { program } of running) {
      const { by } = await program.end();
      assert(DRAINED.includes(by), `ended by ${by}: ${program.output}`);
    }
    for (const { program } of [...this.nodes.values(), ...this.#retired]) {
      assert(!/unhandled rejection|uncaught exception/.test(program.output), program.output);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.nodes.values()].map(({ program }) => program.stop()));
    await this.#caller?.drain({ timeout: 0 });
    await this.#server?.stop();
    await this.log[Symbol.asyncDispose]();
    this.sends[Symbol.dispose]();
  }
}

/** What a heap that does not grow may differ by after a collection of garbage, in bytes. */
export const FLAT = 2_000_000;

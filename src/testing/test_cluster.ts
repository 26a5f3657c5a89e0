/**
 * A cluster in one process for tests: its nodes can be killed, frozen and cut off.
 */
import { type Catga, catga, type CatgaOptions, entity, event, type Logger, stream, workflow } from "../../mod.ts";
import { checkString, MAX_TIMEOUT } from "../data/checks.ts";
import {
  driven,
  leaderOf,
  ledSubscriptions,
  type Pace,
  RealPace,
  unhandled,
  VirtualPace,
  type WaitingForLimit,
  waitingForLimits,
  type WellNodes,
} from "./pace.ts";
import { MessageRecorder, type Recorder } from "./recorder.ts";
import {
  checkLimit,
  checkNodeOptions,
  checkTestOptions,
  idsOf,
  type TestClusterOptions,
} from "./test_cluster_options.ts";
import { type Clock, doubled, systemClock } from "../ports/clock.ts";
import { MemoryNetwork } from "../memory/network.ts";

/**
 * Starts a cluster in memory, of `size` nodes with the ids `node-1`, `node-2`, …, or of nodes with the given ids.
 * Resolves when all nodes see each other. Rejects as `catga` does, with a `RangeError` for an invalid size, and with
 * a `TypeError` for a repeated id.
 *
 * Log lines are in {@link TestCluster.log}; errors go to the console as well, unless there are `faults` or a
 * `logger`.
 *
 * @example
 * ```ts
 * import { event, query, unwrap } from "@catga/catga";
 * import { testCluster } from "@catga/catga/testing";
 *
 * const Price = query<{ sku: string }, number>("Price");
 * const Asked = event<{ sku: string }>("Asked");
 * const price = Price.handle(async ({ sku }, ctx) => {
 *   unwrap(await ctx.publish(Asked, { sku }));
 *   return 420;
 * });
 *
 * await using cluster = await testCluster(["shop", "prices"], {
 *   node: (id) => ({ service: id, ...(id === "prices" ? { handlers: price } : {}) }),
 * });
 * const shop = cluster.app("shop");
 * console.log(unwrap(await shop.send(Price, { sku: "tea" }))); // 420
 * console.log((await cluster.recorder.next(Asked)).node); // prices
 * ```
 */
export async function testCluster(
  size: number | readonly string[],
  options: TestClusterOptions = {},
): Promise<TestCluster> {
  const cluster = new TestCluster(options);
  const { faults = {} } = options;
  try {
    const ids = idsOf(size, options.file);
    await Promise.all(ids.map((id) => cluster.start(id)));
    await cluster.agreed();
    cluster.network.faults = faults;
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return cluster;
}

/**
 * A cluster in memory for a test, made by {@link testCluster}. `await using` drains its nodes at the end.
 *
 * @example
 * ```ts
 * import { query, unwrap } from "@catga/catga";
 * import { type TestCluster, testCluster } from "@catga/catga/testing";
 *
 * const Who = query<void, string>("Who");
 * const ask = async (cluster: TestCluster, node: string) => unwrap(await cluster.app(node).send(Who));
 *
 * await using cluster = await testCluster(2, { handlers: Who.handle((_, { node }) => node) });
 * cluster.kill("node-1");
 * console.log(await ask(cluster, "node-2")); // node-2
 * ```
 */
export class TestCluster implements AsyncDisposable {
  /** The simulated network of the nodes. Its faults may be changed at any time. */
  readonly network: MemoryNetwork;
  /** Records of the messages that were sent, published and handled. */
  readonly recorder: Recorder;
  /** The log of all nodes, one entry a line: level and message. */
  readonly log: string[] = [];
  readonly #options: TestClusterOptions;
  readonly #recorder: MessageRecorder;
  readonly #pace: Pace;
  /** Apps of the nodes, by id, in the order in which the nodes first started; `undefined`: killed or drained. */
  readonly #nodes = new Map<string, Catga | undefined>();
  readonly #frozen = new Set<string>();
  readonly #cut = new Set<string>();

  /** Makes a cluster without nodes; {@link testCluster} makes one with nodes. */
  constructor(options: TestClusterOptions = {}) {
    checkTestOptions(options);
    const { seed = 1, servers = 1, maxPayload, time = "virtual" } = options;
    this.#options = options;
    const busy = () => [...this.#nodes.keys()].some((id) => this.#recorder.busy(id) && this.#awake(id));
    const asleep = () => this.#recorder.asleep;
    this.#pace = time === "real"
      ? new RealPace()
      : new VirtualPace({ auto: time === "virtual", awake: (id) => this.#awake(id), busy, asleep });
    this.network = new MemoryNetwork({ seed, servers, clock: this.#pace.clock, maxPayload });
    this.network.isFile = options.file === true;
    this.recorder = this.#recorder = new MessageRecorder({
      after: (ms, callback) => {
        const timer = this.network.clock.after(ms, callback);
        return () => timer.cancel();
      },
      drive: (promise) => time === "virtual" ? this.#pace.until(promise) : promise,
    });
  }

  /** Apps of the running nodes, in the order in which the nodes first started. */
  get apps(): readonly Catga[] {
    return [...this.#nodes.values()].filter((app) => app !== undefined);
  }

  /** The clock with the time of the cluster. {@link TestCluster.advance} makes its time pass. */
  get clock(): Clock {
    return this.network.clock;
  }

  /** Returns the app of the running node with this id. Throws a `TypeError` if no such node is running. */
  app(id: string): Catga {
    const app = this.#nodes.get(id);
    if (app !== undefined) return app;
    const others = [...this.#nodes].flatMap(([id, app]) => app === undefined ? [] : [id]);
    throw new TypeError(`no node ${JSON.stringify(id)} is there; there are ${others.join(", ") || "none"}`);
  }

  /**
   * Starts a new node, or a node that was killed or drained. `options`: options of `catga` for this node, in addition
   * to the options of the cluster. Rejects like `catga`, and with a `TypeError` if the node is running.
   */
  async start(id: string, options: Partial<Omit<CatgaOptions, "nats" | "network" | "id">> = {}): Promise<Catga> {
    if (this.#nodes.get(id) !== undefined) throw new TypeError(`the node ${JSON.stringify(id)} is there already`);
    const { node, file, seed: _s, faults: _f, servers: _n, maxPayload: _m, time: _t, ...common } = this.#options;
    if (file && this.apps.length > 0) {
      throw new TypeError(`one process at a time has a file: kill or drain ${[...this.#nodes.keys()][0]} before`);
    }
    const given = node === undefined ? {} : checkNodeOptions(`node(${id})`, node(id));
    const own = { ...common, ...given, ...checkNodeOptions(`start ${id}`, options) };
    if (this.#pace.isVirtual) await (loaded ??= loadModules());
    const behaviors = [this.#recorder.behavior, ...own.behaviors ?? []];
    if (!this.#nodes.has(id)) this.#nodes.set(id, undefined);
    const starting = catga({ logger: this.#logger(), ...own, network: this.network, id, behaviors });
    const app = await this.#pace.until(starting);
    const wrapped = driven(app, (promise) => this.#pace.drive(id, promise));
    this.#nodes.set(id, wrapped);
    const gone = () => {
      if (this.#nodes.get(id) === wrapped) this.#forget(id);
    };
    app.closed.then(gone, gone);
    return wrapped;
  }

  /**
   * Kills the node with this id, as SIGKILL does: its promises never settle. {@link TestCluster.start} starts a node
   * with the same id again.
   */
  kill(id: string): void {
    this.app(id);
    this.network.kill(id);
    this.#forget(id);
  }

  /**
   * Freezes the node with this id, as SIGSTOP does: the node stays connected, and does not answer. Its promises do
   * not settle until it resumes.
   */
  pause(id: string): void {
    this.app(id);
    this.network.pause(id);
    this.#frozen.add(id);
  }

  /** Resumes the frozen node with this id: it receives all messages that were sent to it while it was frozen. */
  resume(id: string): void {
    this.app(id);
    this.network.resume(id);
    this.#frozen.delete(id);
  }

  /** Breaks the connection of the node with this id: other nodes cannot reach it. */
  cut(id: string): void {
    this.app(id);
    this.network.cut(id);
    this.#cut.add(id);
  }

  /** Restores the connection of the node with this id after a cut. */
  restore(id: string): void {
    this.app(id);
    this.network.restore(id);
    this.#cut.delete(id);
  }

  /** Ends all faults, cuts and freezes of the cluster. Killed nodes stay killed. */
  heal(): void {
    this.network.heal();
    this.#frozen.clear();
    this.#cut.clear();
  }

  /**
   * Lets `ms` of the cluster's time pass, 0 or more; at 0, messages that no fault delays arrive. In real time, waits
   * that long.
   */
  advance(ms: number): Promise<void> {
    return this.#pace.advance(ms);
  }

  /**
   * Moves the time of day forward by `ms`, 0 or more, at once: schedules until then fire, and sleeping workflows go on.
   * No timeouts, leases or heartbeats pass, so that days take no longer than milliseconds.
   */
  leap(ms: number): Promise<void> {
    return this.#pace.leap(ms, () => this.network.log.leapt());
  }

  /**
   * Waits for something outside of the cluster, such as a query of a real database in a handler: `await
   * cluster.io(database.query(…))`. No virtual time passes until the promise has settled; settles like the promise.
   */
  io<T>(promise: Promise<T>): Promise<T> {
    return this.#pace.io(promise);
  }

  /**
   * Lets the cluster's time pass until a promise has settled, and settles like the promise. Rejects if the promise has
   * not settled within `limit` ms of the cluster's time (default 60,000).
   */
  async until<T>(promise: Promise<T>, limit = 60_000): Promise<T> {
    checkLimit("until", limit);
    const late = Promise.withResolvers<never>();
    const timer = limit > MAX_TIMEOUT ? undefined : this.clock.after(limit, () => {
      late.reject(new Error(`the promise has not settled within ${limit} ms${this.#unended()}`));
    });
    try {
      return await this.#pace.until(Promise.race([promise, late.promise]));
    } finally {
      timer?.cancel();
    }
  }

  /**
   * Lets time pass until all nodes that are neither frozen nor cut off see each other, and no other nodes. That takes
   * some seconds after a kill, 30 s after a freeze. Rejects if it takes longer than `limit` ms of the cluster's time
   * (default 60,000).
   */
  async agreed(limit = 60_000): Promise<void> {
    checkLimit("agreed", limit);
    const well = [...this.#well];
    const wanted = well.map(([id]) => id).sort().join(" ");
    const views = () => well.map(([id, app]) => [id, app.nodes().map((node) => node.id).join(" ")]);
    if (await this.#pace.reach(() => views().every(([, view]) => view === wanted), limit)) return;
    const seen = views().map(([id, view]) => `${id} sees ${view}`).join("; ");
    throw new Error(`the nodes do not agree on ${wanted} within ${limit} ms: ${seen}`);
  }

  /**
   * Lets time pass until each stored message of the log was handled by every subscription, with its retries, or is a
   * dead letter. Only nodes that are neither frozen nor cut off are asked. A schedule for later does not count before
   * its time. Rejects with the remaining messages if they are not handled within `limit` ms of the cluster's time
   * (default 60,000).
   */
  async handled(limit = 60_000): Promise<void> {
    checkLimit("handled", limit);
    await this.#pace.advance(0);
    const end = this.clock.monotonic() + limit;
    for (let looks = 0;; looks++) {
      const left = await this.#pace.until(unhandled(this.#well));
      if (left.length === 0) return;
      const rest = end - this.clock.monotonic();
      if (rest <= 0) throw new Error(`the log is not handled within ${limit} ms: ${left.join("; ")}${this.#unended()}`);
      const step = Math.min(doubled(looks, FIRST_STEP, LONGEST_STEP), rest);
      const passed = new Promise<void>((resolve) => void this.clock.after(step, resolve));
      // `advance` is not used, because handlers may wait for something outside of virtual time
      await this.#pace.until(passed);
    }
  }

  /** Returns the names of the handlers that have not ended, for errors. */
  #unended(): string {
    const handlers = [...this.#nodes.keys()].flatMap((id) =>
      this.#recorder.unended(id).map((label) => `the handler of ${label} on ${id} has not ended`)
    );
    if (handlers.length === 0) return "";
    return `; ${
      handlers.join("; ")
    } (if it waits for something outside of virtual time, use cluster.io(promise), or time: "real")`;
  }

  /**
   * Lets time pass until a node leads a subscription, given as its name or `service/name`, and resolves with the id of
   * the leader, for instance to kill it. Rejects if no node leads it within `limit` ms of the cluster's time (default
   * 60,000).
   */
  async leader(subscription: string, limit = 60_000): Promise<string> {
    checkString("leader: subscription", subscription);
    checkLimit("leader", limit);
    if (await this.#pace.reach(() => leaderOf(this.#well, subscription) !== undefined, limit)) {
      return leaderOf(this.#well, subscription)!;
    }
    const others = ledSubscriptions(this.#well).join(", ") || "none";
    throw new Error(`no node leads the subscription ${subscription} within ${limit} ms; those that are led: ${others}`);
  }

  /**
   * Returns the messages that wait for a limit (`limit` of `on` and `handle`) now, an entry for each limit, and of a
   * limit by key for each of the 10 keys of which most wait; empty if none waits. A message waits for one of the limits
   * that do not let it begin. Only nodes that are neither frozen nor cut off are asked.
   *
   * @example
   * ```ts
   * import { event, unwrap } from "@catga/catga";
   * import { testCluster } from "@catga/catga/testing";
   *
   * const Paid = event<{ account: string }>("Paid", { durable: true });
   * const limit = { name: "bank", key: ({ account }: { account: string }) => account, running: 1 };
   * const book = Paid.on((_, ctx) => ctx.clock.sleep(1_000), { name: "books", limit });
   *
   * await using cluster = await testCluster(2, { service: "shop", handlers: book });
   * for (const account of ["a", "a", "a", "b"]) unwrap(await cluster.apps[0].publish(Paid, { account }));
   * await cluster.advance(500);
   * console.log(cluster.waiting()); // [ { subscription: "shop/books", limit: "bank", key: "a", running: 1, waiting: 2 } ]
   * ```
   */
  waiting(): WaitingForLimit[] {
    return waitingForLimits(this.#well);
  }

  /** Alias of {@link TestCluster.drain}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  /** Ends all faults, cuts and freezes, and drains every node. For `afterEach`, in tests without `await using`. */
  async drain(): Promise<void> {
    this.heal();
    await this.#pace.until(Promise.all(this.apps.map((app) => app.drain({ timeout: DRAIN }))));
  }

  get #well(): WellNodes {
    const well = new Map<string, Catga>();
    for (const [id, app] of this.#nodes) {
      if (app !== undefined && !this.#frozen.has(id) && !this.#cut.has(id)) well.set(id, app);
    }
    return well;
  }

  #awake(id: string): boolean {
    return this.#nodes.get(id) !== undefined && !this.#frozen.has(id);
  }

  #forget(id: string): void {
    this.#nodes.set(id, undefined);
    this.#frozen.delete(id);
    this.#cut.delete(id);
    this.#recorder.forget(id);
  }

  /** Makes a logger for the nodes, which appends to {@link TestCluster.log}. */
  #logger(): Logger {
    const note = (level: string) => (message: string) => void this.log.push(`${level} ${message}`);
    const { faults } = this.#options;
    const error: Logger["error"] = (message, fields) => {
      const cause = fields.error === undefined ? [] : [fields.error];
      note("error")([message, ...cause].join(": "));
      if (faults === undefined) console.error(message, ...cause);
    };
    return { debug: note("debug"), info: note("info"), warn: note("warn"), error };
  }
}

/** The loading of modules by this process, which happens once: modules stay loaded. */
let loaded: Promise<void> | undefined;

/**
 * Loads the modules for the log, entities, workflows and streams now; otherwise virtual time would pass while a node
 * loads them.
 */
async function loadModules(): Promise<void> {
  // a copy of the machine's clock, because with fake timers no app may start on that clock itself
  const network = new MemoryNetwork({ clock: { ...systemClock } });
  const app = await catga({ network, handlers: event<void>("Loaded", { durable: true }).on(() => {}) });
  await app.load(entity("Loaded", { initial: () => 0 }), "none");
  await app.cancel(workflow("Loaded"), "none", "there is none");
  await app.stream(stream("Items")).next().catch(() => {}); // the call fails, because the stream has no handler
  await app.drain();
}

const DRAIN = 5_000; // ms that running handlers get to end when nodes are drained
/** First interval between checks whether all stored messages are handled, in ms; `LONGEST_STEP`: longest interval. */
const FIRST_STEP = 10;
const LONGEST_STEP = 1_000;

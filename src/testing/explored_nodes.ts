/** The nodes of one run of `explore`: how they start, are killed and deployed, and what they log. */
import { type Catga, catga, CatgaError, type Logger } from "../../mod.ts";
import type { MemoryNetwork } from "../memory/network.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import type { VirtualClock } from "../memory/virtual_clock.ts";
import { delay } from "../ports/clock.ts";
import { type ExploredGroup, type ExploreOptions, groupsOf } from "./explore_options.ts";
import type { PlannedDeploy } from "./explore_plan.ts";
import type { AttachedStore, StoreBody } from "../contract/nodes/attached_store.ts";
import type { FaultyNode } from "./fault_injection.ts";
import type { NodeProcess } from "./history.ts";
import type { HistoryRecorder } from "./history_recorder.ts";
import type { RecordedProcess } from "./running_functions.ts";

/** A line of a node's log. */
export interface ExploreLine {
  /** Time of the line, in ms of virtual time since the workload began. */
  readonly at: number;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly text: string;
}

/** A node of the cluster that a run simulates. */
export interface ExploredNode<World> extends FaultyNode {
  readonly group: ExploredGroup<World>;
  app: Catga | undefined;
  process: NodesProcess | undefined;
  starts: number;
  version: number;
  isChanging: boolean;
}

/** A running process of a node, with its entry in the history. */
type NodesProcess = RecordedProcess & { readonly span: NodeProcess; readonly died: PromiseWithResolvers<void> };

/** The run to which the nodes belong. */
export interface ExploredNodesHost<World> {
  readonly options: ExploreOptions<World>;
  /** Seed of the order in which a deploy restarts the nodes. */
  readonly seed: number;
  readonly world: World;
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly recorder: HistoryRecorder;
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
  /** Called when a deploy restarts a node. */
  onDeploy(node: string): void;
}

/** The nodes of a run. */
export class ExploredNodes<World> {
  /** Lines that the nodes have logged. */
  readonly log: ExploreLine[] = [];
  /** Stores of the processes, those of dead ones included. */
  readonly stores = new Set<StoreBody>();
  readonly #host: ExploredNodesHost<World>;
  readonly #nodes = new Map<string, ExploredNode<World>>();
  /** Starts, drains and deploys of nodes that are under way. */
  readonly #changes = new Set<Promise<unknown>>();
  #broken: Error | undefined;
  #isOver = false;

  constructor(host: ExploredNodesHost<World>) {
    this.#host = host;
    for (const group of groupsOf(host.options)) {
      for (const id of group.ids) {
        this.#nodes.set(id, {
          ...{ id, group, app: undefined, process: undefined, starts: 0, version: 0 },
          ...{ isFrozen: false, isCut: false, isChanging: false },
        });
      }
    }
  }

  /** Error of a node that cannot start at all; `undefined`: there is none. */
  get broken(): Error | undefined {
    return this.#broken;
  }

  get all(): readonly ExploredNode<World>[] {
    return [...this.#nodes.values()];
  }

  get(id: string): ExploredNode<World> | undefined {
    return this.#nodes.get(id);
  }

  /** Kills all nodes at the end of the run; nothing is logged any more. */
  end(): void {
    this.#isOver = true;
    for (const { id, app } of this.all) if (app !== undefined) this.#host.network.kill(id);
  }

  /** Starts a node; tries again while it cannot start because of a fault. */
  async start(node: ExploredNode<World>): Promise<void> {
    node.isChanging = true;
    const { id, group: { name, versions, options } } = node;
    const { network, recorder, clock, world, io } = this.#host;
    for (let attempt = 1;; attempt++) {
      const process = { node: id, process: ++node.starts };
      const given = versions[Math.min(node.version, versions.length - 1)];
      const start = { node: id, service: name, world, io };
      const handlers = typeof given === "function" ? given(start) : given;
      const sql = node.group.isClient ? undefined : this.#host.options.sql?.(start);
      for (const store of sql ?? []) this.#observe(store);
      const span = recorder.begin<NodeProcess>(recorder.processes, {
        ...{ ...process, deploy: node.version, endedBy: undefined },
      });
      try {
        const app = await catga({
          ...options,
          network,
          id,
          service: name,
          handlers: recorder.handlers(handlers, process),
          ...(sql === undefined ? {} : { sql }),
          behaviors: [recorder.behavior(process), ...options.behaviors ?? []],
          logger: this.#logger(options.logger),
        });
        if (this.#isOver) return;
        node.app = app;
        node.process = { ...process, span, died: Promise.withResolvers<void>() };
        node.isChanging = false;
        app.closed.then(() => {}, (error) => this.#noteLine("error", `${id} has stopped: ${error}`));
        return;
      } catch (error) {
        recorder.end<NodeProcess>(span, { endedBy: "drain" });
        if (!(error instanceof CatgaError) || attempt === MAX_STARTS) {
          this.#broken ??= error instanceof Error ? error : new Error(`${error}`);
          throw error;
        }
        this.#noteLine("warn", `${id} cannot start: ${error.message}`);
        await delay(clock, RESTART);
      }
    }
  }

  /** Has the transactions of a store recorded; processes may share it. */
  #observe(store: AttachedStore): void {
    const body = store["~store"] as StoreBody; // what `sqlStore` has made
    if (this.stores.has(body)) return;
    this.stores.add(body);
    body.observe(() => this.#host.recorder.transaction(body.name));
  }

  kill(node: ExploredNode<World>): void {
    const { id, process } = node;
    const { network, recorder } = this.#host;
    network.kill(id);
    node.app = undefined;
    node.isFrozen = node.isCut = false;
    recorder.running.forget(process!);
    recorder.end<NodeProcess>(process!.span as never, { endedBy: "kill" });
    process!.died.resolve();
    node.process = undefined;
  }

  /**
   * Restarts the nodes with another version of their handlers, one after the other, in an order of the seed. `first`:
   * id of the node to begin with, if any.
   */
  async deploy({ version, pause }: PlannedDeploy, first: string | undefined): Promise<void> {
    const { seed, recorder, clock, onDeploy } = this.#host;
    const random = seededRandom(seed + version + 1);
    const nodes = this.all.filter(({ group: { versions } }) => versions.length > 1);
    let at = nodes.findIndex(({ id }) => id === first);
    while (nodes.length > 0) {
      const [node] = nodes.splice(at >= 0 ? at : Math.floor(random() * nodes.length), 1);
      at = -1;
      node.version = version;
      const { app, process, isChanging, isFrozen } = node;
      // a node that cannot be drained now is skipped: when it starts again, it has its present version
      if (app === undefined || isChanging || isFrozen) continue;
      onDeploy(node.id);
      node.isChanging = true;
      await app.drain({ timeout: DRAIN });
      recorder.end<NodeProcess>(process!.span as never, { endedBy: "drain" });
      if (node.app !== app) continue; // the node was killed while it drained
      node.app = undefined;
      node.isFrozen = node.isCut = false; // a new process has a new connection
      await this.start(node);
      await delay(clock, pause);
    }
  }

  /** Keeps a start or deploy of nodes among those under way; its failure breaks the run. */
  track(work: Promise<unknown>): void {
    const change = work.catch((error) => void (this.#broken ??= error)).finally(() => this.#changes.delete(change));
    this.#changes.add(change);
  }

  /** Resolves when each node sees all nodes that run. */
  async allKnown(): Promise<void> {
    const areKnown = () => {
      // the set of apps changes with a deploy, so it is read at each call
      const apps = this.all.flatMap(({ app }) => app ?? []);
      return apps.every((app) => app.nodes().length === apps.length);
    };
    while (!areKnown()) await delay(this.#host.clock, STEP);
  }

  /** Resolves when no start or deploy is under way, and each node sees all nodes that run. */
  async allBack(): Promise<void> {
    while (this.#changes.size > 0) await Promise.all(this.#changes);
    await this.allKnown();
  }

  #noteLine(level: ExploreLine["level"], text: string): void {
    if (!this.#isOver) this.log.push({ at: this.#host.recorder.now, level, text });
  }

  #logger(own: Logger | undefined): Logger {
    const method = (level: ExploreLine["level"]): Logger["info"] => (message, fields) => {
      this.#noteLine(level, message);
      own?.[level](message, fields);
    };
    return { debug: method("debug"), info: method("info"), warn: method("warn"), error: method("error") };
  }
}

/** Time limit of a drain in a deploy, in ms. */
const DRAIN = 5_000;
/** Pause before a node that could not start is started again, in ms. */
const RESTART = 300;
const MAX_STARTS = 200;
/** Interval between looks whether the nodes see each other, in ms. */
const STEP = 50;

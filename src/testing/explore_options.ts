/** Options of `explore`, and what a workload and a check get. */
import type { Catga, CatgaOptions, Handlers } from "../../mod.ts";
import type { MaybePromise } from "../contract/schema.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  isPlain,
  MAX_TIMEOUT,
  show,
} from "../data/checks.ts";
import type { AppClock } from "../ports/clock.ts";
import { collect } from "../dispatch/registry.ts";
import { OPTIONS } from "../node/app_options.ts";
import type { History } from "./history.ts";

/**
 * A kind of fault of `explore`. `kill`: a node dies as by SIGKILL, and is started again. `freeze`: it stops as by
 * SIGSTOP, and goes on. `cut`: its connection breaks, and is restored. `skew`: its wall clock jumps, and jumps back.
 * `drop`: messages between nodes are lost. `lostAck`: the store does what it is asked, and its answer is lost.
 * `staleRead`: reads of the log lack the last 100 ms. `redelivery`: a reader of the log gets old messages again.
 * `noLeader`, `noQuorum`: the log has none for a while. `full`: the log takes no more messages for a while.
 * `lostTail`: the log loses its last messages, which were acknowledged: no part of `"all"`, because a cluster of
 * servers with replicas does not lose them.
 */
export type ExploreFault =
  | "kill"
  | "freeze"
  | "cut"
  | "skew"
  | "drop"
  | "lostAck"
  | "staleRead"
  | "redelivery"
  | "noLeader"
  | "noQuorum"
  | "full"
  | "lostTail";

/** All kinds of faults. */
export const EXPLORE_FAULTS: readonly ExploreFault[] = [
  ...["kill", "freeze", "cut", "skew", "drop", "lostAck", "staleRead", "redelivery", "noLeader", "noQuorum"] as const,
  ...["full", "lostTail"] as const,
];

/** Options of `explore`. `World`: what `world` makes. */
export interface ExploreOptions<World = undefined> {
  /** The actions of clients. The run of a seed ends when it has settled, and all that it caused has been handled. */
  workload: (run: Workload<World>) => MaybePromise<unknown>;
  /**
   * Handlers of the nodes, or a function that makes those of a process each time that one starts: what such a function
   * declares is memory of that process, and is lost with it. None.
   */
  handlers?: Handlers | ((start: ProcessStart<World>) => Handlers) | undefined;
  /**
   * Nodes: a number, or the groups by their names, which are services. A number in place of a group is its count. A
   * group named `client` with no handlers of its own has none, and is not killed: the workload calls its first node.
   * `{ app: 2, client: 1 }`.
   */
  nodes?: number | Readonly<Record<string, number | ExploreGroup<World>>> | undefined;
  /** Other versions of the program, each rolled out over the nodes at some moment of a run, and mostly back. None. */
  deploys?: readonly ExploreDeploy<World>[] | undefined;
  /** Kinds of faults that happen meanwhile, `"all"` but `lostTail`, or `"none"`; `"all"`. */
  faults?: "all" | "none" | readonly ExploreFault[] | undefined;
  /**
   * Makes the world outside of the cluster, such as a bank with its accounts, once for each run: what survives kills.
   * Handlers get it when a process starts, the workload and checks get it, too.
   */
  world?: (() => World) | undefined;
  /**
   * Throws if the run has broken a promise; several are called one behind the other. Without one a run is red if the
   * workload throws, or what it caused is not handled in time.
   */
  check?: ExploreCheck<World> | readonly ExploreCheck<World>[] | undefined;
  /** Number of seeds, 1 or more; 100. */
  seeds?: number | undefined;
  /** The first seed, a safe integer of 0 or more; 1. */
  seed?: number | undefined;
  /** Runs one run again: a text that the error of a red seed shows. No other seeds are run. None. */
  replay?: string | undefined;
  /** Options of `catga` for every node; none. */
  options?: ExploreNodeOptions | undefined;
  /**
   * Time that a run may take, in ms of virtual time, from the beginning of the workload until all is handled, 1 to
   * 2^31 - 1; 300,000.
   */
  limit?: number | undefined;
  /** Seeds look for situations that no earlier seed has met; `false`: each is drawn alone. True. */
  steer?: boolean | undefined;
  /**
   * The first seed is run twice, and `explore` rejects if the runs differ; `false`: it is run once. True. Differences
   * of values alone, such as random ids, do not count.
   */
  repeatable?: boolean | undefined;
  /**
   * Number of threads, 1 to 64, each of which imports `program` and runs a part of the seeds; 1.
   */
  workers?: number | undefined;
  /**
   * URL of a module whose default export has these options, as `new URL("./program.ts", import.meta.url)`; `workers`
   * need it. None.
   */
  program?: URL | undefined;
  /** Time for shrinking a red run, in ms of real time, 0 to 2^31 - 1: 0 leaves it as it is; 60,000. */
  shrink?: number | undefined;
}

/** Options of `catga` for the nodes of `explore`. */
export type ExploreNodeOptions = Omit<
  Partial<CatgaOptions>,
  "nats" | "network" | "id" | "service" | "handlers" | "transport" | "signals"
>;

/** A group of nodes of one service. */
export interface ExploreGroup<World = undefined> {
  /** Number of nodes, 1 to 100; 1. */
  count?: number | undefined;
  /** Their handlers; those of `explore`. `[]`: none. */
  handlers?: ExploreOptions<World>["handlers"];
  /** Options of `catga` for them, besides those of all. */
  options?: ExploreNodeOptions | undefined;
}

/** Another version of the program. */
export interface ExploreDeploy<World = undefined> {
  /** Its handlers, for the nodes that have those of `explore`. */
  handlers: NonNullable<ExploreOptions<World>["handlers"]>;
  /** When it begins, in ms since the workload began; `"any"`: at a time or a moment that the seed draws. `"any"`. */
  at?: "any" | number | undefined;
  /** True: it is never taken back. False: some seeds take it back. False. */
  forGood?: boolean | undefined;
}

/** A process that starts. */
export interface ProcessStart<World = undefined> {
  /** The id of its node, such as `app-1`. */
  readonly node: string;
  /** Name of its group. */
  readonly service: string;
  /** The value that `world` made for this run. */
  readonly world: World;
  /** See {@link Workload.io}. */
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
}

/** Argument of a workload. */
export interface Workload<World = undefined> {
  /** The app of the first client. */
  readonly app: Catga;
  /** The app of another client, by its id: `client-2`. Throws a `TypeError` if there is none. */
  readonly client: (id: string) => Catga;
  /** Random choices of the seed. */
  readonly random: WorkloadRandom;
  /**
   * Names an action, and runs it. Shrinking leaves out steps, whose value is `undefined` then, so that the workload
   * must not need it. Random numbers that are drawn in a step are its own: leaving out others does not change them.
   */
  readonly step: <T>(name: string, action: (random: WorkloadRandom) => MaybePromise<T>) => Promise<T | undefined>;
  /** The time of the cluster: `await clock.sleep(100)`. */
  readonly clock: AppClock;
  /** The value that `world` made for this run. */
  readonly world: World;
  /** The seed. */
  readonly seed: number;
  /**
   * Waits for something outside of the cluster, such as a query of a real database: no virtual time passes until the
   * promise has settled. Settles as it does.
   */
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
}

/** Random choices: the same ones for the same seed. */
export interface WorkloadRandom {
  /** A number from 0 on and below 1. */
  (): number;
  /** An integer from `least` to `most`, both included. */
  readonly int: (least: number, most: number) => number;
  /** One of several values. */
  readonly pick: <T>(values: readonly T[]) => T;
}

/** Argument of a check. */
export interface ExploreOutcome<World = undefined> {
  /** History of operations, handlers, steps and nodes. */
  readonly history: History;
  /** An app of the cluster, which is calm now: its `load`, `runs` and `send` tell the state at the end. */
  readonly state: Catga;
  /** The value that `world` made for this run. */
  readonly world: World;
  /** See {@link Workload.io}. */
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
}

/** Throws if a run has broken a promise. */
export type ExploreCheck<World = undefined> = (outcome: ExploreOutcome<World>) => MaybePromise<unknown>;

/** A group with its defaults. */
export interface ExploredGroup<World> {
  readonly name: string;
  readonly ids: readonly string[];
  /** Handlers by deploy, from 0 on. */
  readonly versions: readonly ExploreOptions<World>["handlers"][];
  readonly options: ExploreNodeOptions;
  /** True: the workload calls its nodes, and they are not killed. */
  readonly isClient: boolean;
}

/** The groups of nodes that options describe. Throws a `TypeError` or `RangeError` if they are invalid. */
export function groupsOf<World>(options: ExploreOptions<World>): ExploredGroup<World>[] {
  const { nodes = 2, handlers, deploys = [], options: common = {} } = options;
  if (typeof nodes !== "number" && !isPlain(nodes)) {
    throw new TypeError(`explore: nodes must be a number, or an object of groups; got ${show(nodes)}`);
  }
  const given: Record<string, number | ExploreGroup<World>> = typeof nodes === "number" ? { app: nodes } : { ...nodes };
  given.client ??= {};
  return Object.entries(given).map(([name, value]) => {
    const group: ExploreGroup<World> = typeof value === "number" ? { count: value } : value;
    const at = `explore: nodes.${name}`;
    checkKnown(at, group, GROUP_OPTIONS);
    const { count = 1, options = {} } = group;
    checkInteger(`${at}: count`, count, 1, MOST_NODES);
    checkNodes(at, options);
    checkHandlers(group.handlers);
    const isClient = name === "client";
    const ofAll = [handlers, ...deploys.map((deploy) => deploy.handlers)];
    return {
      name,
      ids: Array.from({ length: count }, (_, i) => `${name}-${i + 1}`),
      versions: group.handlers !== undefined ? [group.handlers] : isClient ? [undefined] : ofAll,
      options: { ...common, ...options },
      isClient,
    };
  });
}

/** Throws a `TypeError` or `RangeError` for invalid options. */
export function checkExplore<World>(options: ExploreOptions<World>): void {
  if (!isPlain(options)) throw new TypeError(`explore takes an object of options; got ${show(options)}`);
  checkKnown("explore", options, OPTION_NAMES);
  const {
    workload,
    world,
    check,
    seeds,
    seed,
    replay,
    limit,
    steer,
    shrink,
    repeatable,
    faults,
    deploys,
    workers,
    program,
    options: common,
  } = options;
  checkFunction("explore: workload", workload);
  if (world !== undefined) checkFunction("explore: world", world);
  for (const each of check === undefined ? [] : [check].flat()) checkFunction("explore: check", each);
  if (seeds !== undefined) checkInteger("explore: seeds", seeds, 1, Number.MAX_SAFE_INTEGER);
  if (seed !== undefined) checkInteger("explore: seed", seed, 0, Number.MAX_SAFE_INTEGER);
  if (limit !== undefined) checkNumber("explore: limit", limit, 1, MAX_TIMEOUT, "ms");
  if (shrink !== undefined) checkNumber("explore: shrink", shrink, 0, MAX_TIMEOUT, "ms");
  if (workers !== undefined) checkInteger("explore: workers", workers, 1, MOST_THREADS);
  if (program !== undefined && !(program instanceof URL)) {
    throw new TypeError(`explore: program must be the URL of a module; got ${show(program)}`);
  }
  if ((workers ?? 1) > 1 && program === undefined) {
    throw new TypeError(
      'explore: workers import the program: give its module, too, as program: new URL("./program.ts", import.meta.url)',
    );
  }
  if (steer !== undefined) checkBoolean("explore: steer", steer);
  if (repeatable !== undefined) checkBoolean("explore: repeatable", repeatable);
  if (replay !== undefined && typeof replay !== "string") {
    throw new TypeError(`explore: replay must be a text of a red seed; got ${show(replay)}`);
  }
  faultsOf(faults);
  checkHandlers(options.handlers);
  if (deploys !== undefined && !Array.isArray(deploys)) {
    throw new TypeError(`explore: deploys must be an array; got ${show(deploys)}`);
  }
  for (const [i, deploy] of (deploys ?? []).entries()) {
    checkKnown(`explore: deploys[${i}]`, deploy, DEPLOY_OPTIONS);
    const { at = "any", handlers } = deploy;
    if (handlers === undefined) throw new TypeError(`explore: deploys[${i}] needs handlers`);
    checkHandlers(handlers);
    if (at !== "any") checkNumber(`explore: deploys[${i}]: at`, at, 0, MAX_TIMEOUT, "ms");
  }
  if (common !== undefined) checkNodes("explore: options", common);
  groupsOf(options);
}

/** The kinds of faults of an option. Throws a `TypeError` for an invalid one. */
export function faultsOf(faults: ExploreOptions["faults"] = "all"): readonly ExploreFault[] {
  if (faults === "all") return EXPLORE_FAULTS.filter((fault) => fault !== "lostTail");
  if (faults === "none") return [];
  const unknown = Array.isArray(faults) ? faults.find((fault) => !EXPLORE_FAULTS.includes(fault)) : faults;
  if (Array.isArray(faults) && unknown === undefined) return faults;
  throw new TypeError(
    `explore: faults must be "all", "none", or an array of ${EXPLORE_FAULTS.join(", ")}; got ${show(unknown)}`,
  );
}

function checkNodes(at: string, options: ExploreNodeOptions): void {
  const foreign = isPlain(options) ? FOREIGN.find((name) => name in options) : undefined;
  if (foreign !== undefined) throw new TypeError(`${at} takes no ${foreign}: explore sets it`);
  checkKnown(at, options, NODE_OPTIONS);
}

/** Throws a `TypeError` for handlers that `catga` would refuse; a function makes them later. */
function checkHandlers(handlers: unknown): void {
  if (typeof handlers !== "function" && handlers !== undefined) collect(handlers as Handlers);
}

const FOREIGN = ["nats", "network", "id", "service", "handlers", "transport", "signals"];
const NODE_OPTIONS: ReadonlySet<string> = new Set([...OPTIONS].filter((name) => !FOREIGN.includes(name)));
const MOST_NODES = 100;
const MOST_THREADS = 64;
const GROUP_OPTIONS: ReadonlySet<string> = new Set<keyof ExploreGroup>(["count", "handlers", "options"]);
const DEPLOY_OPTIONS: ReadonlySet<string> = new Set<keyof ExploreDeploy>(["handlers", "at", "forGood"]);
const OPTION_NAMES: ReadonlySet<string> = new Set<keyof ExploreOptions>([
  ...["workload", "handlers", "nodes", "deploys", "faults", "world", "check", "seeds", "seed", "replay"] as const,
  ...["options", "limit", "steer", "shrink", "repeatable", "workers", "program"] as const,
]);

/** Options of `explore`, and the arguments of workloads and checks. */
import type { Catga, CatgaOptions, Handlers } from "../../mod.ts";
import type { AttachedStore } from "../contract/nodes/attached_store.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
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
 * A kind of fault of `explore`. `kill`: a node's process dies as by SIGKILL, and is started again. `freeze`: a node
 * stops as by SIGSTOP, and resumes. `block`: a handler or step blocks the process in which it runs, as one that
 * computes does, for up to a minute; not in `"all"`, whose freezes stop a process at any moment. `cut`: a node's
 * connection breaks, and is restored. `skew`: a node's wall clock jumps, and jumps back. `drop`: messages between nodes
 * are lost. `lostAck`: the store carries a request out, and the
 * answer is lost. `staleRead`: reads of the log lack what was stored in the last 100 ms. `redelivery`: a reader of the
 * log gets old messages again. `noLeader`, `noQuorum`: the log has no leader or quorum for a while. `full`: the log
 * stores no more messages for a while. `lostTail`: the log loses its last messages, which were acknowledged; not in
 * `"all"`, because a cluster of servers with replicas does not lose them.
 */
export type ExploreFault =
  | "kill"
  | "freeze"
  | "block"
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

/** All kinds of faults of `explore`. */
export const EXPLORE_FAULTS: readonly ExploreFault[] = [
  ...["kill", "freeze", "cut", "skew", "drop", "lostAck", "staleRead", "redelivery", "noLeader", "noQuorum"] as const,
  ...["full", "lostTail", "block"] as const,
];

/** Faults of a program on a file, which has no network. */
const OF_FILE: readonly ExploreFault[] = ["kill", "freeze", "skew", "full"];

/** A contract or a workflow, by its name. */
export interface Named {
  readonly name: string;
}

/** Options of `explore`. `World`: the type of the value that `world` returns. */
export interface ExploreOptions<World = undefined> {
  /**
   * The actions of the clients. The run of a seed ends when this function has settled, all messages that it caused are
   * handled, and each workflow run that it caused has ended, is stuck, or waits for a signal.
   */
  workload: (run: Workload<World>) => MaybePromise<unknown>;
  /**
   * Handlers of the nodes, or a function that makes the handlers of a process each time that a process starts:
   * variables that this function declares are memory of that process, and are lost with it. Default: none.
   */
  handlers?: Handlers | ((start: ProcessStart<World>) => Handlers) | undefined;
  /**
   * Makes the stores of a process (`catga({ sql })`) each time that a process starts, over a SQLite of the world, which
   * survives kills. Clients have none. Default: none.
   */
  sql?: ((start: ProcessStart<World>) => readonly AttachedStore[]) | undefined;
  /**
   * Nodes: a number, or groups by name, which is their service. A number in place of a group is its count. The nodes of
   * the group named `client`, which is added if it is missing, get only the handlers of that group, and are not killed;
   * the workload calls the first of them. Default: `{ app: 2, client: 1 }`.
   */
  nodes?: number | Readonly<Record<string, number | ExploreGroup<World>>> | undefined;
  /**
   * True: the program is one process on a file, `app-1`, and the workload calls it. A `kill` ends the process at any
   * moment, and starts it again on the file; a call that is under way then has an unknown outcome. `nodes` is left out,
   * and of `faults` there are `kill`, `freeze`, `skew` and `full`. Default: false.
   */
  file?: boolean | undefined;
  /**
   * Other versions of the program. Each is rolled out, node by node, at some time of a run; in half of the runs it is
   * then rolled back. Default: none.
   */
  deploys?: readonly ExploreDeploy<World>[] | undefined;
  /**
   * Kinds of faults that happen during the workload: a list, `"all"` (all but `lostTail` and `block`), or `"none"`.
   * Default: `"all"`.
   */
  faults?: "all" | "none" | readonly ExploreFault[] | undefined;
  /**
   * Makes the world outside of the cluster, such as a bank with its accounts, once for each run. The world survives
   * kills. Handlers get it when a process starts; the workload and checks get it, too. Default: `undefined`. If it is
   * disposable (`Symbol.asyncDispose` or `Symbol.dispose`), it is disposed of at the end of the run.
   */
  world?: (() => World) | undefined;
  /**
   * Function that throws if the run has broken a promise, or several such functions, called one after the other.
   * Without a check, a run fails if the workload throws, or if messages that it caused are not handled, or workflow
   * runs not ended, within `limit`.
   */
  check?: ExploreCheck<World> | readonly ExploreCheck<World>[] | undefined;
  /** Number of seeds, 1 or more. Default: 100. */
  seeds?: number | undefined;
  /** The first seed, a safe integer of 0 or more. Default: 1. */
  seed?: number | undefined;
  /**
   * Replays one run, given as the text that the error of a failing seed shows. No other seeds are run. Default: none.
   */
  replay?: string | undefined;
  /** Options of `catga` for every node. Default: none. */
  options?: ExploreNodeOptions | undefined;
  /**
   * Time limit of a run, in ms of virtual time, from the beginning of the workload until all messages and workflow runs
   * that it caused are done, as {@link ExploreOptions.workload} says; 1 to 2^31 - 1. Default: 300,000.
   */
  limit?: number | undefined;
  /**
   * True: most faults begin at moments of the program, such as the begin of a handler; seeds that follow each other
   * take the moments in turn. Contracts and workflows: likewise, at their moments alone. False: all faults begin at
   * random times. Default: true.
   */
  steer?: boolean | readonly { readonly name: string }[] | undefined;
  /**
   * True: the first seed is run twice, and `explore` rejects if the two runs differ in what happened when: messages,
   * faults and recorded operations. Differences of values alone, such as random ids, do not count. False: the first
   * seed is run once. Default: true.
   */
  repeatable?: boolean | undefined;
  /** Number of threads, 1 to 64. Each imports `program` and runs a part of the seeds. Default: 1. */
  workers?: number | undefined;
  /**
   * URL of a module whose default export is these options, such as `new URL("./program.ts", import.meta.url)`;
   * required with `workers`. Default: none.
   */
  program?: URL | undefined;
  /**
   * Time for shrinking a failing run to a smaller one, in ms of real time, 0 (no shrinking) to 2^31 - 1. Default:
   * 60,000.
   */
  shrink?: number | undefined;
}

/** Options of `catga` for the nodes of `explore`. */
export type ExploreNodeOptions = Omit<
  Partial<CatgaOptions>,
  "nats" | "network" | "id" | "service" | "handlers" | "sql" | "transport" | "signals"
>;

/** A group of nodes, which form one service. */
export interface ExploreGroup<World = undefined> {
  /** Number of nodes, 1 to 100. Default: 1. */
  count?: number | undefined;
  /** Handlers of the group's nodes; `[]`: none. Default: the handlers in the options of `explore`. */
  handlers?: ExploreOptions<World>["handlers"];
  /** Options of `catga` for the group's nodes, in addition to the options for all nodes. */
  options?: ExploreNodeOptions | undefined;
}

/** Another version of the program, which is rolled out over the nodes. */
export interface ExploreDeploy<World = undefined> {
  /** Handlers of this version, for nodes that have the handlers of `explore`. */
  handlers: NonNullable<ExploreOptions<World>["handlers"]>;
  /**
   * Time at which the deploy begins, in ms since the workload began; `"any"` (default): at a time or moment that the
   * seed draws.
   */
  at?: "any" | number | undefined;
  /** True: the deploy is never taken back. False (default): some seeds take it back. */
  forGood?: boolean | undefined;
}

/** A process of a node that is starting; argument of a function that makes handlers. */
export interface ProcessStart<World = undefined> {
  /** Id of the process's node, such as `app-1`. */
  readonly node: string;
  /** Name of the group to which the node belongs. */
  readonly service: string;
  /** The value that the option `world` made for this run. */
  readonly world: World;
  /**
   * Waits for a promise of something outside of the cluster, like {@link Workload.io}: no virtual time passes
   * until the promise has settled.
   */
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
}

/** Argument of a workload: apps, time and random choices. */
export interface Workload<World = undefined> {
  /** The app of the first client. */
  readonly app: Catga;
  /** Returns the app of another client, by its id: `client-2`. Throws a `TypeError` if there is no such client. */
  readonly client: (id: string) => Catga;
  /** Random choices, determined by the seed. */
  readonly random: WorkloadRandom;
  /**
   * Runs an action under a name. Shrinking a failing run leaves such steps out; the value of a step that is left out
   * is `undefined`, so the workload must not need it. Random numbers drawn in a step do not depend on other steps.
   */
  readonly step: <T>(name: string, action: (random: WorkloadRandom) => MaybePromise<T>) => Promise<T | undefined>;
  /** The time of the cluster: `await clock.sleep(100)`. */
  readonly clock: AppClock;
  /** The value that the option `world` made for this run. */
  readonly world: World;
  /** The seed of this run. */
  readonly seed: number;
  /**
   * Waits for a promise of something outside of the cluster, such as a query of a real database: no virtual time passes
   * until the promise has settled. Settles like the promise.
   */
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
}

/** Random choices; they are equal for equal seeds. */
export interface WorkloadRandom {
  /** Returns a number of at least 0 and less than 1. */
  (): number;
  /** Returns an integer from `least` to `most`, both included. */
  readonly int: (least: number, most: number) => number;
  /** Returns one of several values. */
  readonly pick: <T>(values: readonly T[]) => T;
}

/** Argument of a check: history and final state of a run. */
export interface ExploreOutcome<World = undefined> {
  /** History of operations, handlers, steps and nodes. */
  readonly history: History;
  /**
   * An app of the cluster, after all faults have ended. Its `load`, `runs` and `send` show the state at the end of the
   * run.
   */
  readonly state: Catga;
  /** The value that the option `world` made for this run. */
  readonly world: World;
  /**
   * Waits for a promise of something outside of the cluster, like {@link Workload.io}: no virtual time passes
   * until the promise has settled.
   */
  readonly io: <T>(promise: Promise<T>) => Promise<T>;
}

/**
 * A check: a function that throws if a run has broken a promise. A run is also red if it returns `false`, or the
 * breaches that a checker has found, such as `checkMessages`.
 */
export type ExploreCheck<World = undefined> = (outcome: ExploreOutcome<World>) => MaybePromise<unknown>;

/** A group of nodes, with defaults filled in. */
export interface ExploredGroup<World> {
  readonly name: string;
  readonly ids: readonly string[];
  /** Handlers of the group, by number of the version: 0 is the first, 1 the first deploy. */
  readonly versions: readonly ExploreOptions<World>["handlers"][];
  readonly options: ExploreNodeOptions;
  /** True for the clients: nodes that the workload calls, and that are not killed. */
  readonly isClient: boolean;
  /** True if the workload calls the group's nodes. */
  readonly isCalled: boolean;
}

/**
 * Returns the groups of nodes that the options describe, with defaults filled in. Throws a `TypeError` or
 * `RangeError` if the options are invalid.
 */
export function groupsOf<World>(options: ExploreOptions<World>): ExploredGroup<World>[] {
  const { nodes = options.file ? 1 : 2, handlers, deploys = [], options: common = {}, file } = options;
  if (file && nodes !== 1) throw new TypeError("explore: with file, one process runs: leave out nodes");
  if (typeof nodes !== "number" && !isPlain(nodes)) {
    throw new TypeError(`explore: nodes must be a number, or an object of groups; got ${show(nodes)}`);
  }
  const given: Record<string, number | ExploreGroup<World>> = typeof nodes === "number" ? { app: nodes } : { ...nodes };
  if (!file) given.client ??= {};
  return Object.entries(given).map(([name, value]) => {
    const group: ExploreGroup<World> = typeof value === "number" ? { count: value } : value;
    const at = `explore: nodes.${name}`;
    checkKnown(at, group, GROUP_OPTIONS);
    const { count = 1, options = {} } = group;
    checkInteger(`${at}: count`, count, 1, MAX_NODES);
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
      isCalled: isClient || file === true,
    };
  });
}

/** Throws a `TypeError` or `RangeError` if the options are invalid. */
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
    file,
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
  if (workers !== undefined) checkInteger("explore: workers", workers, 1, MAX_THREADS);
  if (program !== undefined && !(program instanceof URL)) {
    throw new TypeError(`explore: program must be the URL of a module; got ${show(program)}`);
  }
  if ((workers ?? 1) > 1 && program === undefined) {
    throw new TypeError(
      'explore: workers import the program: give its module, too, as program: new URL("./program.ts", import.meta.url)',
    );
  }
  if (typeof steer === "object" && Array.isArray(steer)) {
    if (steer.length === 0) throw new TypeError("explore: steer has no contract; leave it out to aim at all");
    for (const each of steer) {
      if (typeof each?.name !== "string") {
        throw new TypeError(`explore: steer must be true, false, or contracts and workflows; got ${show(each)} in it`);
      }
    }
  } else if (steer !== undefined) checkBoolean("explore: steer", steer as boolean); // any other value is refused
  if (repeatable !== undefined) checkBoolean("explore: repeatable", repeatable);
  if (replay !== undefined && typeof replay !== "string") {
    throw new TypeError(`explore: replay must be a text of a red seed; got ${show(replay)}`);
  }
  if (file !== undefined) checkBoolean("explore: file", file);
  faultsOf(faults, file);
  checkHandlers(options.handlers);
  if (options.sql !== undefined) checkFunction("explore: sql", options.sql);
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

/** Returns the kinds of faults that the option `faults` names. Throws a `TypeError` if the option is invalid. */
export function faultsOf(faults: ExploreOptions["faults"] = "all", isFile = false): readonly ExploreFault[] {
  const known = isFile ? OF_FILE : EXPLORE_FAULTS;
  if (faults === "all") return known.filter((fault) => fault !== "lostTail" && fault !== "block");
  if (faults === "none") return [];
  const unknown = Array.isArray(faults) ? faults.find((fault) => !known.includes(fault)) : faults;
  if (Array.isArray(faults) && unknown === undefined) return faults;
  const where = isFile ? " with file" : "";
  throw new TypeError(
    `explore: faults${where} must be "all", "none", or an array of ${known.join(", ")}; got ${show(unknown)}`,
  );
}

function checkNodes(at: string, options: ExploreNodeOptions): void {
  const foreign = isPlain(options) ? FOREIGN.find((name) => name in options) : undefined;
  if (foreign !== undefined) throw new TypeError(`${at} takes no ${foreign}: explore sets it`);
  checkKnown(at, options, NODE_OPTIONS);
}

/**
 * Throws a `TypeError` if `catga` would refuse the handlers. A function is not called, because it makes handlers only
 * when a process starts.
 */
function checkHandlers(handlers: unknown): void {
  if (typeof handlers !== "function" && handlers !== undefined) collect(handlers as Handlers);
}

const FOREIGN = ["nats", "network", "id", "service", "handlers", "sql", "transport", "signals"];
const NODE_OPTIONS: ReadonlySet<string> = new Set([...OPTIONS].filter((name) => !FOREIGN.includes(name)));
const MAX_NODES = 100;
const MAX_THREADS = 64;
const GROUP_OPTIONS: ReadonlySet<string> = new Set<keyof ExploreGroup>(["count", "handlers", "options"]);
const DEPLOY_OPTIONS: ReadonlySet<string> = new Set<keyof ExploreDeploy>(["handlers", "at", "forGood"]);
const OPTION_NAMES: ReadonlySet<string> = new Set<keyof ExploreOptions>([
  ...[
    "workload",
    "handlers",
    "sql",
    "nodes",
    "deploys",
    "faults",
    "world",
    "check",
    "seeds",
    "seed",
    "replay",
  ] as const,
  ...["file", "options", "limit", "steer", "shrink", "repeatable", "workers", "program"] as const,
]);

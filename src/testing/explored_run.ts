/** One run of `explore`: a cluster in memory with its workload, and the faults and deploys that a plan names. */
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, CatgaError, type Logger } from "../../mod.ts";
import type { DeadLetter } from "../contract/durable_messages.ts";
import type { RunInfo } from "../contract/flow.ts";
import { appClock, delay } from "../ports/clock.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import {
  type ExploredGroup,
  type ExploreFault,
  type ExploreOptions,
  groupsOf,
  type WorkloadRandom,
} from "./explore_options.ts";
import type { FaultMoment, Plan, PlannedDeploy, PlannedFault } from "./explore_plan.ts";
import { FaultInjection, type FaultyNode } from "./fault_injection.ts";
import type { History, HistoryLetter, NodeProcess } from "./history.ts";
import { HistoryRecorder, type RecordedMoment } from "./history_recorder.ts";
import { unhandled } from "./pace.ts";
import { isOutside, type RecordedProcess, type RunningFunction } from "./running_functions.ts";
import { throwReturned } from "./checkers/breach.ts";

/** Result of one run of `explore`: its history, its failure, its log. */
export interface ExploredRun {
  readonly plan: Plan;
  readonly history: History;
  /** Error because of which the run failed; `undefined`: it did not. */
  readonly failure: Error | undefined;
  /** Number of the workload's steps, plus its calls outside of steps. */
  readonly steps: number;
  /** Time at which the workload ended, in ms of virtual time since it began. */
  readonly lasted: number;
  /** Log lines of all nodes: time, level and message. */
  readonly log: readonly ExploreLine[];
}

/** A line of a node's log. */
export interface ExploreLine {
  /** Time of the line, in ms of virtual time since the workload began. */
  readonly at: number;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly text: string;
}

/** Callbacks of a run for the code that steers the plans of seeds. */
export interface RunObserver {
  /** Called when an operation, an attempt, a step or a lock has begun or ended. */
  moment(moment: RecordedMoment): void;
  /** Called when a fault begins, and when a lasting fault ends. */
  fault(
    fault: ExploreFault | "deploy" | "thaw" | "restore" | "restart",
    node: string | undefined,
    recorder: HistoryRecorder,
  ): void;
}

/** Runs a plan. Rejects only for errors that are not a result of the run, such as options that `catga` refuses. */
export function exploreRun<World>(
  options: ExploreOptions<World>,
  plan: Plan,
  helpers: RunHelpers,
): Promise<ExploredRun> {
  return new RunOfPlan(options, plan, helpers).play();
}

/** Dependencies that the runs of several plans share: an observer, and the real time that is left. */
export interface RunHelpers {
  readonly observer?: RunObserver | undefined;
  readonly patience: RealPatience;
}

/** Real time granted to code of the program that waits for something outside of Catga and virtual time. */
export interface RealPatience {
  /** Real time that is left in this run, in ms. */
  left: number;
  /** True if all waits for such code so far were in vain; later runs then wait for a shorter time. */
  isInVain: boolean;
}

/** A node of the cluster that a run simulates. */
interface ExploredNode<World> extends FaultyNode {
  readonly group: ExploredGroup<World>;
  app: Catga | undefined;
  process: NodesProcess | undefined;
  starts: number;
  version: number;
  isChanging: boolean;
}

/** A running process of a node, with its entry in the history. */
type NodesProcess = RecordedProcess & { readonly span: NodeProcess };

class RunOfPlan<World> {
  readonly #options: ExploreOptions<World>;
  readonly #plan: Plan;
  readonly #observer: RunObserver | undefined;
  readonly #clock = VirtualClock.ofTicks();
  readonly #network: MemoryNetwork;
  readonly #recorder: HistoryRecorder;
  readonly #nodes = new Map<string, ExploredNode<World>>();
  readonly #world: World;
  readonly #log: ExploreLine[] = [];
  readonly #faults: FaultInjection<ExploredNode<World>>;
  /** Number of times that each moment has happened in this run. */
  readonly #moments = new Map<string, number>();
  /** Starts, drains and deploys of nodes that are under way. */
  readonly #changes = new Set<Promise<unknown>>();
  /** Number of promises that the program has given to `io` and that have not settled yet. */
  #io = 0;
  readonly #patience: RealPatience;
  #broken: Error | undefined;
  #steps = 0;
  /** Name of the workload's step in which the present code runs. */
  readonly #step = new AsyncLocalStorage<string>();
  #isOver = false;

  constructor(options: ExploreOptions<World>, plan: Plan, { observer, patience }: RunHelpers) {
    this.#patience = patience;
    patience.left = patience.isInVain ? SHORT_PATIENCE : PATIENCE;
    this.#options = options;
    this.#plan = plan;
    this.#observer = observer;
    this.#network = new MemoryNetwork({ clock: this.#clock, seed: plan.seed });
    this.#recorder = new HistoryRecorder(this.#clock);
    this.#faults = new FaultInjection({
      ...{ network: this.#network, clock: this.#clock, recorder: this.#recorder, delay: plan.delay },
      isOver: () => this.#isOver,
      kill: (node) => this.#kill(node),
      restart: (node) => this.#track(this.#start(node)),
      onFault: (fault, node) => observer?.fault(fault, node, this.#recorder),
    });
    // cast: without the option `world`, its value and its type are `undefined`
    this.#world = options.world?.() as World;
    for (const group of groupsOf(options)) {
      for (const id of group.ids) {
        this.#nodes.set(id, {
          ...{ id, group, app: undefined, process: undefined, starts: 0, version: 0 },
          ...{ isFrozen: false, isCut: false, isChanging: false },
        });
      }
    }
  }

  async play(): Promise<ExploredRun> {
    const { limit = LIMIT } = this.#options;
    const nodes = [...this.#nodes.values()];
    let lasted = 0;
    let history = this.#history([], []);
    let failure: Error | undefined;
    try {
      // loads the parts of apps: nodes that start while these are loaded start in another order than in later runs
      await this.#clock.advance(0);
      await this.#until(Promise.all(nodes.map((node) => this.#start(node))), START_LIMIT, "the nodes have not started");
      await this.#until(this.#allNodesKnown(), START_LIMIT, "the nodes do not see each other");
      this.#recorder.start();
      this.#recorder.onMoment = (moment) => this.#onMoment(moment);
      this.#setTimers();
      try {
        await this.#until(this.#workload(), limit, "the workload has not ended");
        await this.#until(Promise.race([this.#allHandled(), delay(this.#clock, GRACE)]), limit, "time does not pass");
        lasted = this.#recorder.now;
        await this.#endFaults();
        await this.#until(this.#allHandled(), limit - this.#recorder.now, "what the workload caused is not handled");
        const state = nodes.find(({ group, app }) => group.isClient && app !== undefined)!.app!;
        const ended = await this.#until(this.#finalState(state), SETTLE, "the state at the end cannot be read");
        history = this.#history(ended.runs, ended.letters);
        this.#recorder.close();
        for (const check of [this.#options.check ?? []].flat()) {
          const returned = await this.#until(
            Promise.resolve(check({ history, state, world: this.#world, io: this.#wait })),
            SETTLE,
            "the check has not ended",
          );
          throwReturned(returned);
        }
      } catch (error) {
        failure = error instanceof Error ? error : new Error(`${error}`);
        if (history.operations.length === 0) history = this.#history([], []);
      }
    } finally {
      this.#isOver = true;
      this.#recorder.close();
      for (const { id, app } of nodes) if (app !== undefined) this.#network.kill(id);
    }
    return { plan: this.#plan, history, failure, steps: this.#steps, lasted, log: this.#log };
  }

  // starting, killing and deploying nodes ----------------------------------------------------------------

  async #start(node: ExploredNode<World>): Promise<void> {
    node.isChanging = true;
    const { id, group: { name, versions, options } } = node;
    for (let attempt = 1;; attempt++) {
      const process = { node: id, process: ++node.starts };
      const given = versions[Math.min(node.version, versions.length - 1)];
      const handlers = typeof given === "function"
        ? given({ node: id, service: name, world: this.#world, io: this.#wait })
        : given;
      const span = this.#recorder.begin<NodeProcess>(this.#recorder.processes, {
        ...{ ...process, deploy: node.version, endedBy: undefined },
      });
      try {
        const app = await catga({
          ...options,
          network: this.#network,
          id,
          service: name,
          handlers: this.#recorder.handlers(handlers, process),
          behaviors: [this.#recorder.behavior(process), ...options.behaviors ?? []],
          logger: this.#logger(options.logger),
        });
        if (this.#isOver) return;
        node.app = app;
        node.process = { ...process, span };
        node.isChanging = false;
        app.closed.then(() => {}, (error) => this.#noteLine("error", `${id} has stopped: ${error}`));
        return;
      } catch (error) {
        this.#recorder.end<NodeProcess>(span, { endedBy: "drain" });
        if (!(error instanceof CatgaError) || attempt === MAX_STARTS) {
          this.#broken ??= error instanceof Error ? error : new Error(`${error}`);
          throw error;
        }
        this.#noteLine("warn", `${id} cannot start: ${error.message}`);
        await delay(this.#clock, RESTART);
      }
    }
  }

  #kill(node: ExploredNode<World>): void {
    const { id, process } = node;
    this.#network.kill(id);
    node.app = undefined;
    node.isFrozen = node.isCut = false;
    this.#recorder.running.forget(process!);
    this.#recorder.end<NodeProcess>(process!.span as never, { endedBy: "kill" });
    node.process = undefined;
  }

  async #deploy({ version, pause }: PlannedDeploy, first: string | undefined): Promise<void> {
    const random = seededRandom(this.#plan.seed + version + 1);
    const nodes = [...this.#nodes.values()].filter(({ group: { versions } }) => versions.length > 1);
    let at = nodes.findIndex(({ id }) => id === first);
    while (nodes.length > 0) {
      const [node] = nodes.splice(at >= 0 ? at : Math.floor(random() * nodes.length), 1);
      at = -1;
      node.version = version;
      const { app, process, isChanging, isFrozen } = node;
      // a node that cannot be drained now is skipped: when it starts again, it has its present version
      if (app === undefined || isChanging || isFrozen) continue;
      this.#observer?.fault("deploy", node.id, this.#recorder);
      node.isChanging = true;
      await app.drain({ timeout: DRAIN });
      this.#recorder.end<NodeProcess>(process!.span as never, { endedBy: "drain" });
      if (node.app !== app) continue; // the node was killed while it drained
      node.app = undefined;
      node.isFrozen = node.isCut = false; // a new process has a new connection
      await this.#start(node);
      await delay(this.#clock, pause);
    }
  }

  /** Keeps a start or deploy of nodes among those under way; its failure breaks the run. */
  #track(work: Promise<unknown>): void {
    const change = work.catch((error) => void (this.#broken ??= error)).finally(() => this.#changes.delete(change));
    this.#changes.add(change);
  }

  /** Resolves when each node sees all nodes that run. */
  #allNodesKnown(): Promise<void> {
    return this.#becomes(() => {
      // the set of apps changes with a deploy, so it is read at each call
      const apps = [...this.#nodes.values()].flatMap(({ app }) => app ?? []);
      return apps.every((app) => app.nodes().length === apps.length);
    });
  }

  async #becomes(condition: () => boolean): Promise<void> {
    while (!condition()) await delay(this.#clock, STEP);
  }

  // running the workload ---------------------------------------------------------------------------------

  async #workload(): Promise<void> {
    const { seed, skips } = this.#plan;
    const client = (id: string): Catga => {
      const node = this.#nodes.get(id);
      if (node?.app === undefined || !node.group.isClient) throw new TypeError(`explore: there is no client ${id}`);
      return this.#recorder.app(node.app, { node: id, process: 1 }, {
        step: () => this.#step.getStore(),
        leavesOut: () => skips.includes(this.#steps++),
      });
    };
    const step = async <T>(name: string, action: (random: WorkloadRandom) => T | PromiseLike<T>) => {
      const number = this.#steps++;
      if (skips.includes(number)) return undefined;
      return await this.#step.run(name, () => action(randomOf(seed * 4_099 + number + 1)));
    };
    await this.#options.workload({
      ...{ app: client("client-1"), client, random: randomOf(seed), step, clock: appClock(this.#clock) },
      ...{ world: this.#world, seed, io: this.#wait },
    });
  }

  readonly #wait = async <T>(promise: Promise<T>): Promise<T> => {
    this.#io++;
    return await promise.finally(() => void this.#io--);
  };

  // faults and deploys at their moments ----------------------------------------------------------------------------

  /** Sets the timers for the faults and deploys of the plan. */
  #setTimers(): void {
    this.#faults.updateChances();
    for (const fault of this.#plan.faults) {
      if (fault.when.type === "time") this.#clock.after(fault.when.at, () => this.#beginFault(fault, undefined));
    }
    for (const deploy of this.#plan.deploys) {
      if (deploy.when.type === "time") this.#clock.after(deploy.when.at, () => this.#beginDeploy(deploy, undefined));
    }
  }

  #beginDeploy(deploy: PlannedDeploy, here: string | undefined): void {
    if (!this.#isOver) this.#track(this.#deploy(deploy, deploy.isHere ? here : undefined));
  }

  #beginFault(planned: PlannedFault, here: string | undefined): void {
    if (this.#isOver || this.#faults.haveEnded) return;
    const id = planned.node === "here" ? here : planned.node;
    this.#faults.begin(planned, id === undefined ? undefined : this.#nodes.get(id));
  }

  #onMoment(moment: RecordedMoment): void {
    const text = momentText(moment);
    const count = (this.#moments.get(text) ?? 0) + 1;
    this.#moments.set(text, count);
    this.#observer?.moment(moment);
    const { faults, deploys } = this.#plan;
    const at = (when: FaultMoment, begin: () => void) => {
      if (when.type !== "moment" || when.moment !== text || when.count !== count) return;
      if (when.after === 0) begin();
      else this.#clock.after(when.after, begin);
    };
    for (const fault of faults) at(fault.when, () => this.#beginFault(fault, moment.node));
    for (const deploy of deploys) at(deploy.when, () => this.#beginDeploy(deploy, moment.node));
  }

  /** Ends all faults, and waits until all nodes run again. */
  async #endFaults(): Promise<void> {
    this.#faults.endAll();
    const back = async () => {
      while (this.#changes.size > 0) await Promise.all(this.#changes);
      await this.#allNodesKnown();
    };
    await this.#until(back(), SETTLE, "the nodes do not come back");
  }

  // waiting until everything is handled ------------------------------------------------------------------

  /**
   * Resolves when all stored messages are handled, and each workflow run has ended, is stuck, or waits for a signal.
   */
  async #allHandled(): Promise<void> {
    for (let step = FIRST_STEP;; step = Math.min(LONGEST_STEP, step * 2)) {
      const next = await this.#timeUntilProgress().catch((error) => {
        if (!(error instanceof CatgaError)) throw error;
        // an error of Catga is not thrown but tried again, because a fault may have caused it
        this.#unhandled = [error.message];
        return 0;
      });
      if (next === undefined) return;
      if (next > LEAP && !this.#faults.haveEnded) return; // time does not leap while faults are under way
      if (next > LEAP) {
        this.#clock.leap(next);
        this.#network.log.leapt();
        step = FIRST_STEP;
      }
      await delay(this.#clock, step);
    }
  }

  /** Returns the time until something in the cluster goes on by itself, in ms; `undefined`: nothing will. */
  async #timeUntilProgress(): Promise<number | undefined> {
    const well = [...this.#nodes.values()].filter(({ isFrozen, isCut }) => !isFrozen && !isCut);
    const apps = new Map(well.flatMap(({ id, app }) => app === undefined ? [] : [[id, app] as const]));
    const [first] = apps.values();
    if (first === undefined) return 0;
    this.#unhandled = await unhandled(apps);
    if (this.#unhandled.length > 0) return 0;
    const open = await this.#openRuns(first);
    this.#unhandled = open.map(({ workflow, id, status }) => `run ${id} of ${workflow} is ${status}`);
    return open.length === 0 ? undefined : Math.min(...open.map((run) => nextOf(run, this.#clock.now())));
  }

  #unhandled: readonly string[] = [];

  /** Returns the workflow runs that have not ended and will go on by themselves. */
  async #openRuns(app: Catga): Promise<RunInfo[]> {
    const open: RunInfo[] = [];
    for await (const run of app.runs({ open: true })) {
      if (run.status !== "stuck" && nextOf(run, this.#clock.now()) < Infinity) open.push(run);
    }
    return open;
  }

  /** Returns the workflow runs and dead letters at the end of the run. */
  async #finalState(app: Catga): Promise<{ runs: RunInfo[]; letters: HistoryLetter[] }> {
    const runs = await Array.fromAsync(app.runs());
    const letters: HistoryLetter[] = [];
    for await (const letter of app.deadLetters()) letters.push(letterOf(letter));
    return { runs, letters };
  }

  #history(runs: readonly RunInfo[], deadLetters: readonly HistoryLetter[]): History {
    const { operations, attempts, steps, locks, terms, faults, processes } = this.#recorder;
    return { seed: this.#plan.seed, operations, attempts, steps, locks, terms, faults, processes, runs, deadLetters };
  }

  // letting virtual time pass ----------------------------------------------------------------------------

  /** Lets time pass until a promise has settled; rejects if that takes longer than `limit` ms of virtual time. */
  async #until<T>(promise: Promise<T>, limit: number, what: string): Promise<T> {
    let isSettled = false;
    const settled = () => {
      isSettled = true;
    };
    promise.then(settled, settled);
    const end = this.#clock.monotonic() + limit;
    let idle = 0;
    while (true) {
      await this.#clock.run(end, () => isSettled || this.#broken !== undefined || this.#waitsOutside());
      if (isSettled) return await promise;
      if (this.#broken !== undefined) throw this.#broken;
      const outside = this.#io > 0 || this.#waitsOutside();
      if (this.#clock.monotonic() < end && !outside && this.#clock.next !== undefined) continue;
      if (this.#clock.monotonic() >= end && !outside) throw new Error(this.#overdue(what, limit));
      if (!await this.#waitOutside() && ++idle > IO_LIMIT) throw new Error(this.#overdue(what, limit));
    }
  }

  /** Waits for 1 ms of real time. Resolves with true if a promise for which the program waited outside has settled. */
  async #waitOutside(): Promise<boolean> {
    const before = this.#outsideFunctions();
    const io = this.#io;
    await wait(1);
    await this.#clock.advance(0);
    const isOver = this.#io < io || before.some((code) => !isOutside(code));
    if (isOver) this.#patience.left = Math.max(this.#patience.left, SHORT_PATIENCE);
    else if (this.#io === 0) this.#patience.left--;
    if (isOver) this.#patience.isInVain = false;
    return isOver;
  }

  /** Returns true if the program waits for something outside of the cluster; virtual time must not pass then. */
  #waitsOutside(): boolean {
    if (this.#io > 0) return true;
    return this.#patience.left > 0 && this.#outsideFunctions().length > 0;
  }

  #outsideFunctions(): RunningFunction[] {
    return this.#recorder.running.outside((id) => this.#nodes.get(id)?.isFrozen === false);
  }

  /** Returns the message of the error that something has not happened within a limit, with what still waits. */
  #overdue(what: string, limit: number): string {
    const waiting = this.#outsideFunctions().map(({ label, of }) =>
      `${label}${of === undefined ? "" : ` on ${of.node}`} waits for something outside of virtual time: wrap it as ` +
      "io(promise)"
    );
    const left = [...this.#faults.haveEnded ? this.#unhandled : [], ...waiting];
    return `${what} within ${limit} ms of virtual time${left.length === 0 ? "" : `: ${left.join("; ")}`}`;
  }

  #noteLine(level: ExploreLine["level"], text: string): void {
    if (!this.#isOver) this.#log.push({ at: this.#recorder.now, level, text });
  }

  #logger(own: Logger | undefined): Logger {
    const method = (level: ExploreLine["level"]): Logger["info"] => (message, fields) => {
      this.#noteLine(level, message);
      own?.[level](message, fields);
    };
    return { debug: method("debug"), info: method("info"), warn: method("warn"), error: method("error") };
  }
}

/** Returns the text that stands for a moment in plans. */
export function momentText({ type, at, label }: RecordedMoment): string {
  return `${type} ${at} ${label}`;
}

/** Returns the time until a workflow run goes on by itself, in ms; `Infinity`: it waits for a signal. */
function nextOf({ status, pending }: RunInfo, now: number): number {
  if (status !== "waiting" && status !== "retrying") return 0;
  const nexts = pending.map(({ next }) => next === undefined ? Infinity : Math.max(0, next.getTime() - now));
  return Math.min(Infinity, ...nexts);
}

function letterOf({ contract, subscription, id, key, position, error: { code, message } }: DeadLetter): HistoryLetter {
  return { contract, subscription, id, key, position, code, message };
}

/** Makes the random choices of a workload from a seed. */
function randomOf(seed: number): WorkloadRandom {
  const random = seededRandom(seed ^ WORKLOAD_SEED);
  const int = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
  return Object.assign(random, { int, pick: <T>(values: readonly T[]) => values[int(0, values.length - 1)] });
}

const WORKLOAD_SEED = 0x0ca7_9a00;
const LIMIT = 300_000; // ms of virtual time
const START_LIMIT = 60_000;
const SETTLE = 120_000;
/**
 * Maximum time for which faults go on after the end of the workload, in ms; they end earlier if all messages that the
 * workload caused are handled, and no workflow run goes on by itself.
 */
const GRACE = 60_000;
const DRAIN = 5_000;
const RESTART = 300;
const MAX_STARTS = 200;
const STEP = 50;
const FIRST_STEP = 10;
const LONGEST_STEP = 1_000;
/** Minimum time for which all workflow runs wait, in ms, for virtual time to leap over it at the end of a run. */
const LEAP = 10_000;
/** Real time for which functions of the program may wait for something outside without `io`, in ms. */
const PATIENCE = 1_000;
/** Real time for which functions of the program may wait without `io` after an earlier wait was in vain, in ms. */
const SHORT_PATIENCE = 50;
/** Real time after which a promise given to `io` that has not settled is an error, in ms. */
const IO_LIMIT = 60_000;

/** One run of `explore`: a cluster in memory with its workload, and the faults and deploys that a plan names. */
import { AsyncLocalStorage } from "node:async_hooks";
import type { Catga } from "../../mod.ts";
import type { DeadLetter } from "../contract/calls/durable_messages.ts";
import type { RunInfo } from "../contract/calls/flow.ts";
import { appClock, delay } from "../ports/clock.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { ExploreFault, ExploreOptions, WorkloadRandom } from "./explore_options.ts";
import type { FaultMoment, Plan, PlannedDeploy, PlannedFault } from "./explore_plan.ts";
import { type ExploredNode, ExploredNodes, type ExploreLine } from "./explored_nodes.ts";
import { ExploredTime, type RealPatience } from "./explored_time.ts";
import { FaultInjection } from "./fault_injection.ts";
import type { History, HistoryLetter } from "./history.ts";
import { HistoryRecorder, type RecordedMoment } from "./history_recorder.ts";
import { hasRuns, RemainingWork } from "./remaining_work.ts";
import { survivingApp } from "./surviving_app.ts";
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

/** A run of one plan. */
class RunOfPlan<World> {
  readonly #options: ExploreOptions<World>;
  readonly #plan: Plan;
  readonly #observer: RunObserver | undefined;
  readonly #clock = VirtualClock.ofTicks();
  readonly #network: MemoryNetwork;
  readonly #recorder: HistoryRecorder;
  readonly #nodes: ExploredNodes<World>;
  readonly #world: World;
  readonly #faults: FaultInjection<ExploredNode<World>>;
  readonly #work: RemainingWork;
  readonly #time: ExploredTime;
  /** Number of times that each moment has happened in this run. */
  readonly #moments = new Map<string, number>();
  #steps = 0;
  /** Name of the workload's step in which the present code runs. */
  readonly #step = new AsyncLocalStorage<string>();
  #isOver = false;

  constructor(options: ExploreOptions<World>, plan: Plan, { observer, patience }: RunHelpers) {
    this.#options = options;
    this.#plan = plan;
    this.#observer = observer;
    const clock = this.#clock;
    const network = this.#network = new MemoryNetwork({ clock, seed: plan.seed });
    network.isFile = options.file === true;
    const recorder = this.#recorder = new HistoryRecorder(clock);
    this.#faults = new FaultInjection({
      ...{ network, clock, recorder, delay: plan.delay },
      isOver: () => this.#isOver,
      kill: (node) => this.#nodes.kill(node),
      restart: (node) => this.#nodes.track(this.#nodes.start(node)),
      onFault: (fault, node) => observer?.fault(fault, node, recorder),
    });
    const work = this.#work = new RemainingWork({
      ...{ clock, network },
      nodes: () => this.#nodes.all,
      stores: () => this.#nodes.stores,
      haveFaultsEnded: () => this.#faults.haveEnded,
    });
    this.#time = new ExploredTime({
      ...{ clock, running: recorder.running, patience },
      isAwake: (id) => this.#nodes.get(id)?.isFrozen === false,
      broken: () => this.#nodes.broken,
      unhandled: () => this.#faults.haveEnded ? work.left : [],
    });
    // cast: without the option `world`, its value and its type are `undefined`
    const world = this.#world = options.world?.() as World;
    this.#nodes = new ExploredNodes({
      ...{ options, seed: plan.seed, world, clock, network, recorder, io: this.#time.io },
      onDeploy: (node) => observer?.fault("deploy", node, recorder),
    });
  }

  async play(): Promise<ExploredRun> {
    const { limit = LIMIT } = this.#options;
    const nodes = this.#nodes;
    let lasted = 0;
    let history = this.#history([], []);
    let failure: Error | undefined;
    try {
      // loads the parts of apps: nodes that start while these are loaded start in another order than in later runs
      await this.#clock.advance(0);
      await this.#time.until(
        Promise.all(nodes.all.map((node) => nodes.start(node))),
        START_LIMIT,
        "the nodes have not started",
      );
      await this.#time.until(nodes.allKnown(), START_LIMIT, "the nodes do not see each other");
      this.#recorder.start();
      this.#recorder.onMoment = (moment) => this.#onMoment(moment);
      this.#setTimers();
      try {
        await this.#time.until(this.#workload(), limit, "the workload has not ended");
        await this.#time.until(
          Promise.race([this.#work.done(), delay(this.#clock, GRACE)]),
          limit,
          "time does not pass",
        );
        lasted = this.#recorder.now;
        await this.#endFaults();
        await this.#time.until(
          this.#work.done(),
          limit - this.#recorder.now,
          "what the workload caused is not handled",
        );
        const state = nodes.all.find(({ group, app }) => group.isCalled && app !== undefined)!.app!;
        const ended = await this.#time.until(this.#finalState(state), SETTLE, "the state at the end cannot be read");
        history = this.#history(ended.runs, ended.letters);
        this.#recorder.close();
        for (const check of [this.#options.check ?? []].flat()) {
          const returned = await this.#time.until(
            Promise.resolve(check({ history, state, world: this.#world, io: this.#time.io })),
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
      nodes.end();
      await endWorld(this.#world);
    }
    return { plan: this.#plan, history, failure, steps: this.#steps, lasted, log: nodes.log };
  }

  async #workload(): Promise<void> {
    const { seed, skips } = this.#plan;
    const client = (id: string): Catga => {
      const node = this.#nodes.get(id);
      if (node?.app === undefined || !node.group.isCalled) throw new TypeError(`explore: there is no client ${id}`);
      const present = () => node.app && { app: node.app, died: node.process!.died.promise };
      const app = node.group.isClient ? node.app : survivingApp(present, this.#clock);
      return this.#recorder.app(app, { node: id, process: 1 }, {
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
      ...{
        app: client(this.#options.file ? "app-1" : "client-1"),
        client,
        random: randomOf(seed),
        step,
        clock: appClock(this.#clock),
      },
      ...{ world: this.#world, seed, io: this.#time.io },
    });
  }

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
    if (!this.#isOver) this.#nodes.track(this.#nodes.deploy(deploy, deploy.isHere ? here : undefined));
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
    await this.#time.until(this.#nodes.allBack(), SETTLE, "the nodes do not come back");
  }

  /** Returns the workflow runs and dead letters at the end of the run. */
  async #finalState(app: Catga): Promise<{ runs: RunInfo[]; letters: HistoryLetter[] }> {
    const runs = hasRuns(this.#network) ? await Array.fromAsync(app.runs()) : [];
    const letters: HistoryLetter[] = [];
    for await (const letter of app.deadLetters()) letters.push(letterOf(letter));
    return { runs, letters };
  }

  #history(runs: readonly RunInfo[], deadLetters: readonly HistoryLetter[]): History {
    const { operations, attempts, steps, transactions, locks, terms, faults, processes } = this.#recorder;
    const recorded = { operations, attempts, steps, transactions, locks, terms, faults, processes };
    return { seed: this.#plan.seed, ...recorded, runs, deadLetters };
  }
}

/** Ends the world of a run, if it is a resource: closes its connections, for instance. */
async function endWorld(world: unknown): Promise<void> {
  if (typeof world !== "object" || world === null) return;
  const { [Symbol.asyncDispose]: later, [Symbol.dispose]: now } = world as Partial<AsyncDisposable & Disposable>;
  if (later !== undefined) await later.call(world);
  else now?.call(world);
}

/** Returns the text that stands for a moment in plans. */
export function momentText({ type, at, label }: RecordedMoment): string {
  return `${type} ${at} ${label}`;
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

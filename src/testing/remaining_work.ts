/**
 * The work that is left in a run of `explore`: stored messages that are not handled, and workflow runs that will go on
 * by themselves.
 */
import { type Catga, CatgaError } from "../../mod.ts";
import type { StoreBody } from "../contract/nodes/attached_store.ts";
import type { RunInfo } from "../contract/calls/flow.ts";
import { workflowOf } from "../contract/declaration/workflow.ts";
import type { MemoryNetwork } from "../memory/network.ts";
import type { VirtualClock } from "../memory/virtual_clock.ts";
import { delay } from "../ports/clock.ts";
import type { FaultyNode } from "./fault_injection.ts";
import { unhandled } from "./pace.ts";

/** The run whose work is waited for. */
export interface RemainingWorkHost {
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  /** Returns the nodes, which change with faults and deploys. */
  nodes(): readonly FaultyNode[];
  /** Returns the stores of the nodes, each once by its tables or several times. */
  stores(): Iterable<StoreBody>;
  /** Returns true once all faults have ended: time may leap then. */
  haveFaultsEnded(): boolean;
}

/** The messages and workflow runs that are not done yet. */
export class RemainingWork {
  /** Everything that was not done at the last look: messages, runs, or an error of Catga that prevented the look. */
  left: readonly string[] = [];
  readonly #host: RemainingWorkHost;

  constructor(host: RemainingWorkHost) {
    this.#host = host;
  }

  /**
   * Resolves when all stored messages are handled, and each workflow run has ended, is stuck, or waits for a signal.
   */
  async done(): Promise<void> {
    const { clock, network, haveFaultsEnded } = this.#host;
    for (let step = FIRST_STEP;; step = Math.min(LONGEST_STEP, step * 2)) {
      const next = await this.#timeUntilProgress().catch((error) => {
        if (!(error instanceof CatgaError)) throw error;
        // an error of Catga is not thrown but tried again, because a fault may have caused it
        this.left = [error.message];
        return 0;
      });
      if (next === undefined) return;
      if (next > LEAP && !haveFaultsEnded()) return; // time does not leap while faults are under way
      if (next > LEAP) {
        clock.leap(next);
        network.log.leapt();
        step = FIRST_STEP;
      }
      await delay(clock, step);
    }
  }

  /** Returns the time until something in the cluster goes on by itself, in ms; `undefined`: nothing will. */
  async #timeUntilProgress(): Promise<number | undefined> {
    const well = this.#host.nodes().filter(({ isFrozen, isCut }) => !isFrozen && !isCut);
    const apps = new Map(well.flatMap(({ id, app }) => app === undefined ? [] : [[id, app] as const]));
    const [first] = apps.values();
    if (first === undefined) return 0;
    this.left = [...await this.#unpublished(), ...await unhandled(apps)];
    if (this.left.length > 0) return 0;
    const open = await this.#openRuns(first);
    this.left = open.map(({ workflow, id, status }) => `run ${id} of ${workflow} is ${status}`);
    return open.length === 0 ? undefined : Math.min(...open.map((run) => nextOf(run, this.#host.clock.now())));
  }

  /** Returns what the outboxes of stores have that is not published. */
  async #unpublished(): Promise<string[]> {
    const left: string[] = [];
    for (const store of this.#host.stores()) {
      const rows = await store.left();
      if (rows > 0) left.push(`${rows} row${rows === 1 ? "" : "s"} of the outbox ${store.name}`);
    }
    return left;
  }

  /** Returns the workflow runs that have not ended and will go on by themselves. */
  async #openRuns(app: Catga): Promise<RunInfo[]> {
    const open: RunInfo[] = [];
    if (!hasRuns(this.#host.network)) return open;
    for await (const run of app.runs({ open: true })) {
      if (run.status !== "stuck" && nextOf(run, this.#host.clock.now()) < Infinity) open.push(run);
    }
    return open;
  }
}

/**
 * Returns true if runs of workflows are stored. Only then are nodes asked for runs, as they load what runs need when
 * they are asked: a playground without workflows does not load it.
 */
export function hasRuns({ log }: MemoryNetwork): boolean {
  return log.subjects(">").some((subject) => subject.split(".").some((token) => workflowOf(token) !== undefined));
}

/** Returns the time until a workflow run goes on by itself, in ms; `Infinity`: it waits for a signal. */
function nextOf({ status, pending }: RunInfo, now: number): number {
  if (status !== "waiting" && status !== "retrying") return 0;
  const nexts = pending.map(({ next }) => next === undefined ? Infinity : Math.max(0, next.getTime() - now));
  return Math.min(Infinity, ...nexts);
}

/** First and longest interval between looks at the work that is left, in ms. */
const FIRST_STEP = 10;
const LONGEST_STEP = 1_000;
/** Minimum time for which all workflow runs wait, in ms, for virtual time to leap over it at the end of a run. */
const LEAP = 10_000;

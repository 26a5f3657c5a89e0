/** A call to execute a run: what it says, and its progress on this node until it is acknowledged. */
import type { TriedVersions } from "../../contract/declaration/workflow_body.ts";
import { type CatgaError, unavailable } from "../../error.ts";
import { delay, doubled } from "../../ports/clock.ts";
import type { DriveHost, DueTime } from "../execution/drive_host.ts";
import type { RunRef } from "../stored/run_ref.ts";
import { VersionTrials } from "./version_trials.ts";

/** The part of a node that the progress of a call uses. */
export interface RunCallHost extends Pick<DriveHost, "endpoint" | "clock" | "log"> {
  /** Returns true if the process at an endpoint is alive, as far as this node knows. */
  alive(endpoint: string): boolean;
}

/** A call to execute a run, or to continue its execution. */
export interface DeliveredCall {
  readonly ref: RunRef;
  /** Sequence of the stored message up to which the run has to be read before the call is done; 0: no message. */
  readonly sequence: number;
  /** Time at which the stored message was stored, in ms since 1970; `undefined`: not known. */
  readonly stored?: number | undefined;
  readonly due?: DueTime | undefined;
  /** Versions of the workflow that were tried; set once a version has refused the run. */
  readonly tried?: TriedVersions | undefined;
}

/**
 * Progress of a call to execute a run, until the call is acknowledged: the node that is known to hold the run, the
 * versions of the workflow that were tried, and the number of turns.
 * @decides a call to execute a run until it is acknowledged: who holds the run, and how often it is looked up
 */
export class RunCallProgress {
  readonly call: DeliveredCall;
  /** True if the call comes from a lease that has expired. */
  readonly isLease: boolean;
  /** The schedule that has fired, unless it is a lease's. */
  readonly due: DueTime | undefined;
  /** The versions of the workflow and the nodes that were tried. */
  readonly trials: VersionTrials;
  /** Endpoint of the node that holds the run, as far as this node knows. */
  holder: string | undefined;
  /** Number of earlier turns, each of which has passed the call on, or has ended with an execution on this node. */
  turn = 0;
  readonly #host: RunCallHost;
  /** Number of turns after which the run had to be looked up again although no execution of it had failed. */
  #vain = 0;

  constructor(host: RunCallHost, call: DeliveredCall, holder: string | undefined) {
    this.#host = host;
    this.call = call;
    this.holder = holder;
    this.isLease = call.due?.step === LEASE;
    this.due = this.isLease ? undefined : call.due;
    this.trials = new VersionTrials(call.tried);
  }

  /** Endpoint of another live node that holds the run and has not given it up; `undefined`: none is known. */
  get otherHolder(): string | undefined {
    const { holder } = this;
    return isElsewhere(holder, this.#host) && !this.trials.hasGivenUp(holder) ? holder : undefined;
  }

  /**
   * Waits before the run is looked up again. Resolves with `done` instead if the message that called for the run is
   * certainly lost. Rejects if the message may be lost, or was never stored.
   */
  async pause(): Promise<"again" | "done"> {
    const { ref, sequence } = this.call;
    const { log, clock } = this.#host;
    if (++this.#vain > MAX_TURNS) {
      if (sequence > 0 && await log.isReplaced(ref, sequence)) return "done";
      throw runUnavailable(ref, `cannot be read up to ${sequence}`);
    }
    await delay(clock, doubled(this.#vain, 20, 1_000));
    return "again";
  }
}

/** Returns true if the holder of the run (the node that its last message names) is another node, which is alive. */
export function isElsewhere(holder: string | undefined, host: RunCallHost): holder is string {
  return holder !== undefined && holder !== "" && holder !== host.endpoint && host.alive(holder);
}

/** Makes the error of a call that has to be delivered again, to another node. */
export function runUnavailable({ workflow, run }: RunRef, why: string, details?: unknown): CatgaError {
  return unavailable(`run ${run} of ${workflow} ${why}`, { details });
}

/** Stands for the name of a step in the schedule of a lease. */
export const LEASE = "@lease";
/** Number of turns in vain after which a call is given up. */
export const MAX_TURNS = 8;

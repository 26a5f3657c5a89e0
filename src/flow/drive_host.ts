/**
 * The part of a node that a drive of a run uses: `runs.ts` implements it, simulations and `catga check` have their own.
 */
import type { AnyContract } from "../contract/contract.ts";
import type { Observer } from "../contract/observer.ts";
import type { Result } from "../contract/result.ts";
import type { RunTracer } from "../contract/run_tracer.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { Clock, Random } from "../ports/clock.ts";
import type { Journal, Parent, RecordedError } from "./journal.ts";
import type { RunLog } from "./run_log.ts";
import type { RunRef } from "./run_ref.ts";

/** The app in which runs are driven. */
export interface DriveApp {
  /** Timeout of an attempt of a step that has no timeout of its own, in ms. */
  readonly timeout: number;
  readonly random: Random;
  /** True if the causes of failed attempts are recorded. */
  readonly causes: boolean;
  /**
   * Receives events about runs: for instance failed attempts that are followed by another, and runs with many entries.
   */
  readonly observer: Observer;
  /** The id of the node. */
  readonly node: string;
  /** Names of the headers that steps pass on in the messages that they send. */
  readonly carried: readonly string[];
  /** Makes spans; `undefined`: tracing is off. */
  readonly tracer: RunTracer | undefined;
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Returns true for a command of an entity, which may be sent again although its outcome is unknown. */
  ofEntity(contract: AnyContract): boolean;
  /** Called when this node begins to drive a run; a drain waits for the call of {@link DriveApp.over}. */
  begun(): void;
  /** Called when this node no longer drives a run. */
  over(): void;
}

/** The part of a node that a drive uses. */
export interface DriveHost {
  readonly app: DriveApp;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  /**
   * The latest time that the server's clock may show, in ms since 1970. Durations of sleeps and waits count from it.
   */
  readonly latest: number;
  /**
   * Stores a schedule that calls the run at a time, in ms since 1970, in place of an earlier schedule of the step.
   * Rejects with a `CatgaError`.
   */
  wake(ref: RunRef, step: string, at: number): Promise<void>;
  /** Removes the schedules of these steps, after the run has ended. */
  takeBack(ref: RunRef, steps: readonly string[]): Promise<void>;
  /** Calls back in a later turn of the event loop, together with the callbacks of other runs. */
  soon(callback: () => void): void;
  /** Starts a run that reports its end to this run, its parent. */
  startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: Required<Parent>,
    headers: Readonly<Record<string, string>> | undefined,
  ): Promise<Result<string>>;
  /**
   * Cancels a child. Resolves with true if the child was started: its end is, or will be, appended to its parent. A
   * child that was not started is stored as ended if `contract` is given, so that a later start does nothing. Rejects
   * with a `CatgaError`.
   */
  cancelChild(child: RunRef, reason: string, contract?: AnyContract): Promise<boolean>;
  /**
   * Announces the end of a run to its waiters, and appends it to the parent of the run. Rejects with a `CatgaError`.
   */
  ended(ref: RunRef, journal: Journal): Promise<void>;
  /**
   * Notes that a run is about to be stuck; `thrown`: the thrown error, if any. Rejects with a `CatgaError` if the note
   * is not stored.
   */
  stuck(ref: RunRef, step: string, error: RecordedError, thrown: unknown): Promise<void>;
  /** Called when a run was read, or driven; `journal` is `undefined` if there is no such run. */
  read(ref: RunRef, journal: Journal | undefined): void;
  /** Returns the shape of a workflow in this process, in the form of {@link Journal.shape}. */
  shapeOf(workflow: string): string;
  /** Returns the name of a workflow's shape in this process; if the shape is unknown, no other node has the name. */
  shapeNameOf(workflow: string): string;
  /**
   * Decides about a run that this node's version refused. `refusedBy`: the shapes of its workflow that have refused the
   * run; the shape of this node is added.
   */
  afterRefusal(ref: RunRef, journal: Journal, refusedBy: Set<string>): RefusedRunFate;
}

/**
 * Fate of a refused run. `next`: endpoint of a node whose version may take it; `waits`: for a node with another
 * version; `stuck`: an operator has to decide.
 */
export type RefusedRunFate = { readonly next: string } | "waits" | "stuck";

/** A schedule of a run that has fired. */
export interface DueTime {
  /** Name of the step, sleep or wait. */
  readonly step: string;
  /** Time of the schedule, in ms since 1970. */
  readonly at: number;
}

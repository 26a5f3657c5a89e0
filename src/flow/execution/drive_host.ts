/**
 * The part of a node that a drive (the execution of a run) uses. `runs.ts` implements it; simulations and `catga check`
 * have implementations of their own.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { AnyQuestion, AskOptions } from "../../contract/calls/flow.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { RunTracer } from "../../contract/declaration/behavior.ts";
import type { SendOptions } from "../../contract/calls/send_options.ts";
import type { Clock, Random } from "../../ports/clock.ts";
import type { Journal } from "../stored/journal.ts";
import type { Parent, RecordedError, RecordedOutcome, Tried } from "../stored/journal_entry.ts";
import type { RunLog } from "../stored/run_log.ts";
import type { RunRef } from "../stored/run_ref.ts";

/** The app on which runs are executed. */
export interface DriveApp {
  /** Default timeout of an attempt of a step, in ms: the `timeout` of `catga()`. */
  readonly timeout: number;
  /** The node's own clock: its time of day may differ from the NATS server's. */
  readonly clock: Clock;
  readonly random: Random;
  /** True if the errors that steps and handlers throw are recorded with failed attempts (option `causes`). */
  readonly causes: boolean;
  /** Gets events about runs, such as a failed attempt that is followed by another, or a run with many entries. */
  readonly observer: Observer;
  /** The id of the node. */
  readonly node: string;
  /** Names of the headers that messages sent by steps inherit from the run. */
  readonly carried: readonly string[];
  /** Makes spans for runs and steps; `undefined`: tracing is off. */
  readonly tracer: RunTracer | undefined;
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Returns true for a command of an entity, which may be sent again although its outcome is unknown. */
  ofEntity(contract: AnyContract): boolean;
  /** Called when this node begins to execute a run. A drain waits until {@link DriveApp.over} is called. */
  begun(): void;
  /** Called when this node has stopped executing a run: a drain no longer waits for it. */
  over(): void;
}

/** An answer of a run to a question. */
export interface GivenAnswer {
  readonly question: string;
  readonly id: string;
  readonly outcome: RecordedOutcome;
}

/** The part of a node that the execution of a run uses. */
export interface DriveHost {
  readonly app: DriveApp;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: RunLog;
  /**
   * The latest time that the NATS server's clock may show now, in ms since 1970. Durations of sleeps and waits count
   * from it.
   */
  readonly latest: number;
  /**
   * Stores a schedule that resumes the run at the time `at`, in ms since 1970, in place of an earlier schedule of the
   * step. Rejects with a `CatgaError`.
   */
  wake(ref: RunRef, step: string, at: number): Promise<void>;
  /** Removes the schedules of these steps. Called after the run has ended. Rejects with a `CatgaError`. */
  takeBack(ref: RunRef, steps: readonly string[]): Promise<void>;
  /** Calls `callback` in a later turn of the event loop, together with the callbacks of other runs. */
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
   * Cancels a child run. Resolves with true if the child was started: then its end is, or will be, appended to its
   * parent. A child that was not started is stored as ended if `contract` is given, so that a later start does nothing.
   * Rejects with a `CatgaError`.
   */
  cancelChild(child: RunRef, reason: string, contract?: AnyContract): Promise<boolean>;
  /**
   * Announces the end of a run to the nodes that wait for its result; if the run is a child, also appends an entry
   * about its end to its parent. Rejects with a `CatgaError`.
   */
  ended(ref: RunRef, journal: Journal): Promise<void>;
  /** Called when a view of the run that this node executes is stored. */
  shown(ref: RunRef, journal: Journal): void;
  /**
   * Asks another run a question. Resolves with the answer, or with a failure: the other run's, or one after which the
   * same question, by its id, may be asked again.
   */
  ask(question: AnyQuestion, run: string, payload: unknown, options: AskOptions): Promise<Result<unknown>>;
  /** Announces answers of a run that this node has stored by the message with this sequence. */
  answered(ref: RunRef, answers: readonly GivenAnswer[], sequence: number): void;
  /**
   * Stores a note that a run is about to be stuck, so that operators find it; `thrown`: the thrown error, if any.
   * Rejects with a `CatgaError` if the note is not stored.
   */
  stuck(ref: RunRef, step: string, error: RecordedError, thrown: unknown): Promise<void>;
  /**
   * Called with what came of steps that this node has performed, and could not store because another node has taken the
   * run over while this process stood still: that node is told, so that it counts their attempts, and performs none of
   * them again that has its outcome.
   */
  tried(ref: RunRef, attempts: readonly Tried[]): void;
  /**
   * Called with the state of a run after its entries were read, and after this node has executed the run; `journal` is
   * `undefined` if there is no such run.
   */
  read(ref: RunRef, journal: Journal | undefined): void;
  /** Returns the shape of a workflow in this process, in the form of {@link Journal.shape}. */
  shapeOf(workflow: string): string;
  /**
   * Returns a name for the shape of a workflow in this process; if the shape is unknown, a name that no other node has.
   */
  shapeNameOf(workflow: string): string;
  /**
   * Decides who executes a run that this node's version of the workflow refused. `refusedBy`: the shapes (versions) of
   * the workflow that have refused the run; the shape of this node is added to it.
   */
  afterRefusal(ref: RunRef, journal: Journal, refusedBy: Set<string>): RefusedRunFate;
}

/**
 * The fate of a run that a version refused. `next`: endpoint of a node whose version may accept it; `waits`: the run
 * waits until a node with another version joins; `stuck`: an operator has to decide.
 */
export type RefusedRunFate = { readonly next: string } | "waits" | "stuck";

/** A schedule of a run that has fired. */
export interface DueTime {
  /** Name of the step, sleep or wait to which the schedule belongs. */
  readonly step: string;
  /** The time for which the schedule was set, in ms since 1970. */
  readonly at: number;
}

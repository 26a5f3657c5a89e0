/**
 * An attempt of a step, which can be aborted; also the ids of messages that steps send, and of schedules that resume a
 * run.
 */
import type { Step } from "../../contract/calls/flow.ts";
import type { MessageHeaders } from "../../contract/declaration/behavior.ts";
import { MAX_ID } from "../../contract/calls/send_options.ts";
import { fingerprint } from "../../data/value_text.ts";
import type { CatgaError } from "../../error.ts";
import type { DriveHost } from "./drive_host.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { shownValue } from "../stored/recorded_value.ts";
import type { RunRef } from "../stored/run_ref.ts";

/** The part of a drive (the execution of a run) that an attempt uses. */
interface AttemptDrive {
  readonly host: Pick<DriveHost, "app">;
  readonly ref: RunRef;
  /** Headers of the messages that the step sends; `undefined`: none. */
  readonly carried: MessageHeaders | undefined;
}

/** Performs one attempt of a step. */
export type AttemptWork = (attempt: StepAttempt, headers: MessageHeaders | undefined) => Promise<RecordedOutcome>;

/** Receives what an attempt reports; `view`: what its run shows. */
export interface AttemptReports {
  progress(value: unknown): void;
  show(view: unknown, attempt: StepAttempt): void;
}

/** An attempt of a step: the argument of the step's function. */
export class StepAttempt implements Step<unknown, unknown> {
  readonly id: string;
  readonly attempt: number;
  /** True if this is the first attempt, and no earlier one can have begun. */
  readonly fresh: boolean;
  /** True if a message that the step sends may have run in an earlier attempt, without an outcome. */
  readonly mayHaveRun: boolean;
  readonly last: unknown;
  /** Time that the attempt gets beyond its timeout, because its process stood still, in ms. */
  extended = 0;
  /** The progress that this attempt has reported last. */
  reported: unknown;
  /** The view that this attempt has shown last, and how many ends the handler had seen then. */
  shown: { readonly view: unknown; readonly seen: number } | undefined;
  /** Receives what the step reports; `undefined`: the attempt is over. */
  reports: AttemptReports | undefined;
  readonly #mostBytes: number;
  #controller: AbortController | undefined;
  #aborted: CatgaError | undefined;
  /** Why the attempt is aborted when its function reads `signal`. */
  #superseded: CatgaError | undefined;
  #reject: ((why: CatgaError) => void) | undefined;

  /** `mostBytes`: as of {@link RunLog.mostBytes}. */
  constructor(
    id: string,
    attempt: number,
    { fresh, mayHaveRun, last }: Pick<StepAttempt, "fresh" | "mayHaveRun" | "last">,
    mostBytes: number,
  ) {
    this.id = id;
    this.attempt = attempt;
    this.fresh = fresh;
    this.mayHaveRun = mayHaveRun;
    this.last = last;
    this.#mostBytes = mostBytes;
  }

  /**
   * The signal is created when it is first read: many functions do not use it, and it costs more than the rest of an
   * attempt.
   */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
      else if (this.#superseded !== undefined) this.abort(this.#superseded);
    }
    return this.#controller.signal;
  }

  /**
   * Reports how far the step is. Bound, because functions of steps take what they need out of their argument:
   * `({ last, progress }) => …`.
   */
  readonly progress = (value: unknown): void => {
    this.reported = shownValue("progress", value, this.#mostBytes);
    if (this.#aborted === undefined) this.reports?.progress(this.reported);
  };

  /** Shows what becomes the run's view. Bound, as {@link StepAttempt.progress} is. */
  readonly show = (view: unknown): void => {
    const value = shownValue("show", view, this.#mostBytes);
    if (this.#aborted === undefined) this.reports?.show(value, this);
  };

  get isAborted(): boolean {
    return this.#aborted !== undefined;
  }

  abort(why: CatgaError): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = why;
    this.#controller?.abort(why);
    this.#reject?.(why);
  }

  /**
   * Aborts the attempt, because another node executes the run now, unless its function has not read `signal`: such a
   * function knows nothing of that, so what it does counts.
   */
  supersede(why: CatgaError): void {
    if (this.#controller === undefined) this.#superseded = why;
    else this.abort(why);
  }

  /** Runs the work of the attempt, within a span if tracing is on. */
  perform(drive: AttemptDrive, step: string, work: AttemptWork): Promise<RecordedOutcome> {
    return inSpan(drive, { step, attempt: this.attempt, isUndo: false }, (headers) => work(this, headers));
  }

  /** Resolves or rejects as `performed` does; if the attempt is aborted first, rejects with the reason. */
  outcome(performed: Promise<RecordedOutcome>): Promise<RecordedOutcome> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      performed.then(resolve, reject);
      if (this.#aborted !== undefined) reject(this.#aborted);
    });
  }
}

/**
 * Runs an attempt of a step, or of its `undo`, within a span if tracing is on. `perform` gets the headers for the
 * messages that the attempt sends.
 */
export function inSpan<T>(
  { host: { app }, ref, carried: headers }: AttemptDrive,
  attempt: { readonly step: string; readonly attempt: number; readonly isUndo: boolean },
  perform: (headers: MessageHeaders | undefined) => Promise<T>,
): Promise<T> {
  const { tracer, node } = app;
  if (tracer === undefined) return perform(headers);
  return tracer.attempt({ node, ...ref, headers, ...attempt }, perform);
}

/** An attempt that is in progress while the handler restarts; `began`: when it began, in ms since 1970. */
export interface OngoingAttempt {
  readonly attempt: StepAttempt;
  readonly outcome: Promise<RecordedOutcome>;
  readonly began: number;
}

/** By step: the attempts that are in progress while the handler restarts. */
export type OngoingAttempts = Map<string, OngoingAttempt>;

/**
 * Returns the id of a step, which the messages that it sends have. Colons in the name are escaped, so that no step of
 * another run has the same id. From the run's second life on, the id names the life: otherwise an idempotent command
 * would take the step for that of the first life. No step's name begins with "@". An id that is too long is cut, and
 * ends with its fingerprint.
 */
export function stepId({ workflow, run }: RunRef, name: string, life: number): string {
  const ofLife = life === 1 ? "" : `@${life}%3A`;
  return idOf(`${workflow}:${run}:${ofLife}${name.replaceAll("%", "%25").replaceAll(":", "%3A")}`);
}

/** Returns the name of the schedule that resumes a run for a step; no other run, and no start, has this name. */
export function wakeId({ run }: RunRef, step: string): string {
  return idOf(`${step.length} ${run}:${step}`);
}

function idOf(id: string): string {
  if (id.length <= MAX_ID) return id;
  return `${id.slice(0, MAX_ID - 17).toWellFormed()}~${fingerprint(id).slice(0, 16)}`;
}

/**
 * An attempt of a step, which can be aborted; the ids of what steps send, and of the schedules that wake a run.
 */
import type { Step } from "../contract/flow.ts";
import { fingerprint } from "../data/fingerprint.ts";
import type { CatgaError } from "../error.ts";
import type { RecordedOutcome } from "./journal.ts";
import type { RunRef } from "./run_log.ts";

/** An attempt of a step. */
export class StepAttempt implements Step {
  readonly id: string;
  readonly attempt: number;
  /** There was none before. */
  readonly fresh: boolean;
  #controller: AbortController | undefined;
  #aborted: CatgaError | undefined;
  #reject: ((why: CatgaError) => void) | undefined;

  constructor(id: string, attempt: number, fresh: boolean) {
    this.id = id;
    this.attempt = attempt;
    this.fresh = fresh;
  }

  /** Made when it is asked for: many functions do not take it, and it costs more than all else of an attempt. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  abort(why: CatgaError): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = why;
    this.#controller?.abort(why);
    this.#reject?.(why);
  }

  /** Settles with its outcome; rejects with the reason of its abort if that comes first. */
  outcome(performed: Promise<RecordedOutcome>): Promise<RecordedOutcome> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      performed.then(resolve, reject);
      if (this.#aborted !== undefined) reject(this.#aborted);
    });
  }
}

/** An attempt that is under way while its handler restarts; `began`: by the clock, in ms since 1970. */
export interface OngoingAttempt {
  readonly attempt: StepAttempt;
  readonly outcome: Promise<RecordedOutcome>;
  readonly began: number;
}

/** Attempts that go on while their handler restarts, by step. */
export type OngoingAttempts = Map<string, OngoingAttempt>;

/**
 * The id of a step's requests. The name has no colon there, so that no step of another run has the id. Ids that are too
 * long end with their fingerprint.
 */
export function stepId({ workflow, run }: RunRef, name: string): string {
  return idOf(`${workflow}:${run}:${name.replaceAll("%", "%25").replaceAll(":", "%3A")}`);
}

/** The name of the schedule that wakes a run: no other run has it, nor a start. */
export function wakeId({ run }: RunRef, step: string): string {
  return idOf(`${step.length} ${run}:${step}`);
}

function idOf(id: string): string {
  if (id.length <= MAX_ID) return id;
  return `${id.slice(0, MAX_ID - 17).toWellFormed()}~${fingerprint(id).slice(0, 16)}`;
}

const MAX_ID = 256;

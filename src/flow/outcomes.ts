/**
 * Attempts of steps, and what they come to: errors as they are recorded, ids, pauses, and the checks of what a handler
 * passes in.
 */
import type { Step, StepOptions } from "../contract/flow.ts";
import { causeText, thrownMessage } from "../data/cause_text.ts";
import { checkDelay, checkFunction, checkInteger, checkKnown, checkNumber, MAX_TIMEOUT } from "../data/checks.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import { fingerprint } from "../data/fingerprint.ts";
import { isFailure } from "../contract/result.ts";
import { UNSENDABLE_DETAILS } from "../dispatch/error_encoding.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { RecordedError, RecordedOutcome } from "./journal.ts";
import type { RunRef } from "./run_log.ts";

/** What follows a failed attempt. */
export interface StepRetry {
  readonly attempts: number;
  readonly delay: readonly [first: number, longest: number];
}

/** A failure of operation: it is tried again for as long as the run may take. */
export class Passing extends CatgaError {
  constructor({ code, message }: CatgaError) {
    super(code, message, { retryable: true });
  }
}

/** A failure that trying again does not change. */
export class DecidedFailure extends CatgaError {
  constructor({ code, message, details }: RecordedError) {
    super(code, message, { details });
  }
}

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

  /** What it comes to, or why it was aborted if that is first. */
  outcome(performed: Promise<RecordedOutcome>): Promise<RecordedOutcome> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      performed.then(resolve, reject);
      if (this.#aborted !== undefined) reject(this.#aborted);
    });
  }
}

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

/** Value or failure that a step returns to its handler. */
export function valueOf({ ok, value, error }: RecordedOutcome, raw: boolean): unknown {
  if (ok) return raw ? { ok: true, value: ownOf(value) } : ownOf(value);
  return { ok: false, error: errorOf(error!) };
}

/** A recorded value for user code, which may change it: what is recorded stays as it is. */
export function ownOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? decodeText(encodeValue(value, "value")) : value;
}

/** A value as it is read back. Throws {@link DecidedFailure} for one that cannot be recorded: what gave it has run. */
export function copyOf(value: unknown, what: string, mostBytes: number): unknown {
  if (value === undefined) return undefined;
  let text: string;
  try {
    text = encodeValue(value, what);
  } catch (error) {
    throw new DecidedFailure({
      code: "INVALID_RESPONSE",
      message: `${what} cannot be recorded: ${(error as Error).message}`,
    });
  }
  if (exceeds(text, mostBytes)) {
    throw new DecidedFailure({
      code: "TOO_LARGE",
      message: `${what} has ${text.length} characters: store it elsewhere, and record where it is`,
    });
  }
  return decodeText(text);
}

/**
 * A failure that a handler returned, as it is recorded: whole. Details that cannot be sent are replaced by a note, like
 * in an answer from another node. Throws {@link DecidedFailure} with `TOO_LARGE` for one that fits into no message of
 * the store.
 */
export function decided(
  { code, message, retryable, details }: CatgaError,
  what: string,
  maxBytes: number,
): RecordedError {
  const plain = {
    code: typeof code === "string" ? brief(code) : "HANDLER_FAILED",
    message: String(message),
    ...(retryable ? { retryable } : {}),
  };
  let text = "";
  let failure: RecordedError = plain;
  if (details !== undefined) {
    try {
      text = encodeValue(details, "details");
      failure = { ...plain, details: decodeText(text) }; // what the program changes in its own later is not recorded
    } catch {
      failure = { ...plain, details: UNSENDABLE_DETAILS };
    }
  }
  if (exceeds(JSON.stringify(plain.message) + text, maxBytes)) {
    const size = `has ${text.length + plain.message.length} characters with its details`;
    throw new DecidedFailure({
      code: "TOO_LARGE",
      message: `the failure ${plain.code} of ${what} ${size}: return a reference`,
    });
  }
  return failure;
}

/** The error that was recorded. */
export function errorOf({ code, message, retryable, details }: RecordedError): CatgaError {
  return new CatgaError(code, message, { retryable: retryable ?? false, details });
}

/** What user code threw; an error in place of what cannot be read. */
export function readable(thrown: unknown): unknown {
  try {
    recorded(isFailure(thrown) ? thrown.error : thrown);
    return thrown;
  } catch {
    return new Error("what was thrown cannot be read");
  }
}

/** The text of what an attempt threw, or the handler that it sent to in this process; nothing if none is known. */
export function causeOf(error: unknown): { readonly cause?: string } {
  const thrown = isCatgaError(error) ? error.cause : error;
  const cause = thrown === undefined ? undefined : causeText(thrown);
  return cause === undefined ? {} : { cause };
}

/**
 * The error of a failed attempt as it is recorded, for operators: texts of up to {@link MAX_TEXT} characters, and
 * details of up to {@link MAX_DETAILS}. Throws for one that cannot be read. {@link decided}: what a handler returned.
 */
export function recorded(error: unknown): RecordedError {
  if (isCatgaError(error)) {
    const { code, message, retryable, details } = error;
    return {
      code: typeof code === "string" ? brief(code) : "HANDLER_FAILED",
      message: brief(String(message)),
      ...(retryable ? { retryable } : {}),
      ...(isSendable(details) ? { details } : {}),
    };
  }
  return { code: "HANDLER_FAILED", message: brief(thrownMessage(error)) };
}

function isSendable(details: unknown): boolean {
  if (details === undefined) return false;
  try {
    return encodeValue(details, "details").length <= MAX_DETAILS;
  } catch {
    return false;
  }
}

function brief(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

export function timeOf(until: number | Date, now: number): number {
  return typeof until === "number" ? now + until : until.getTime();
}

export function checkUntil(at: string, until: number | Date): void {
  if (until instanceof Date && !Number.isNaN(until.getTime())) return;
  checkNumber(at, until as number, 0, LONGEST_WAIT, "ms");
}

export function checkStep(at: string, options: StepOptions<never>): void {
  checkKnown(at, options, STEP_OPTIONS);
  const { undo, retry, timeout } = options;
  if (undo !== undefined) checkFunction(`${at}: undo`, undo);
  if (timeout !== undefined) checkNumber(`${at}: timeout`, timeout, 1, MAX_TIMEOUT, "ms");
  if (retry === undefined) return;
  checkKnown(`${at}: retry`, retry, RETRY_OPTIONS);
  if (retry.attempts !== undefined) checkInteger(`${at}: retry.attempts`, retry.attempts, 1, 1_000_000);
  if (retry.delay !== undefined) {
    checkDelay(at, retry.delay, MAX_TIMEOUT);
  }
}

const STEP_OPTIONS = new Set(["undo", "retry", "timeout"]);
const RETRY_OPTIONS = new Set(["attempts", "delay"]);
export const PASSING: ReadonlySet<string> = new Set([
  "UNAVAILABLE",
  "NO_HANDLER",
  "OVERLOADED",
  "TIMEOUT",
  "DRAINING",
  "DEADLOCK",
  "LOCK_TIMEOUT",
  "LOCK_LOST",
  "CONFLICT",
  "CLOSED",
]);
/** Codes of a schedule, or a start, that is stored when it is tried again. */
export const UNSTORED: ReadonlySet<string> = new Set(["UNAVAILABLE", "OUTCOME_UNKNOWN", "OVERLOADED"]);
/** How long a run stays on its node while it only waits, in ms; what takes longer is a schedule. */
export const HOLD = 5_000;
const MAX_ID = 256;
const MAX_DETAILS = 4_096;
const MAX_TEXT = 1_024;
const LONGEST_WAIT = 3_660 * 86_400_000; // ms

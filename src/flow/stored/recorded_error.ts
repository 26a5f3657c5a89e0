/**
 * Makes records of errors, and errors of records: errors of failed attempts, for operators, and failures that a handler
 * returned, which are recorded as a whole. Also decides after which errors another attempt follows.
 */
import { causeText, thrownMessage } from "../../data/cause_text.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { isTagged } from "../../data/tags.ts";
import { exceeds } from "../../data/utf8.ts";
import { isFailure } from "../../contract/calls/result.ts";
import { UNSENDABLE_DETAILS } from "../../dispatch/error_encoding.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import type { RecordedError } from "./journal_entry.ts";

/** An error after which the step is tried again for as long as the run may take, such as an outage. */
export class TransientError extends CatgaError {
  constructor({ code, message }: CatgaError) {
    super(code, message, { retryable: true });
  }
}

/** A retryable failure that a step, or an `undo`, has returned: it is tried again while it has an attempt left. */
export class ReturnedFailure extends TransientError {
  readonly failure: RecordedError;

  constructor(failure: RecordedError) {
    super(errorOf(failure));
    this.failure = failure;
  }
}

/** An error after which no further attempt of the step is made, because it would fail in the same way. */
export class DecidedFailure extends CatgaError {
  constructor({ code, message, details }: RecordedError) {
    super(code, message, { details });
  }
}

/**
 * Makes the record of a failure that a handler or step (`what`, for the error) returned. The failure is recorded as a
 * whole; only details that cannot be sent are replaced by a note. Throws {@link DecidedFailure} with `TOO_LARGE` if the
 * failure has more than `maxBytes` bytes, which is what a message of the store takes.
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
      failure = { ...plain, details: decodeText(text) }; // a copy: later changes by the program do not count
    } catch {
      failure = { ...plain, details: UNSENDABLE_DETAILS };
    }
  }
  if (exceeds(JSON.stringify(plain.message) + storedText(text), maxBytes)) {
    const size = `has ${text.length + plain.message.length} characters with its details`;
    throw new DecidedFailure({
      code: "TOO_LARGE",
      message: `the failure ${plain.code} of ${what} ${size}: return a reference`,
    });
  }
  return failure;
}

/**
 * Returns what an entry with a value of this text has of it: an entry is JSON, or, if a value in it has tags, a text
 * within JSON, whose quotes are escaped.
 */
export function storedText(text: string): string {
  return isTagged(text) ? JSON.stringify(text) : text;
}

/** Makes an error from its record in an entry. */
export function errorOf({ code, message, retryable, details }: RecordedError): CatgaError {
  return new CatgaError(code, message, { retryable: retryable ?? false, details });
}

/**
 * Returns the value that the program's code threw; returns an error in its place if the value cannot be read, such as a
 * proxy that throws.
 */
export function readable(thrown: unknown): unknown {
  try {
    recorded(isFailure(thrown) ? thrown.error : thrown);
    return thrown;
  } catch {
    return new Error("what was thrown cannot be read");
  }
}

/**
 * Returns the text of the error that an attempt threw, or, for an attempt that sent a message, of the error that the
 * message's handler threw in this process; an empty object if no text is known.
 */
export function causeOf(error: unknown): { readonly cause?: string } {
  const thrown = isCatgaError(error) ? error.cause : error;
  const cause = thrown === undefined ? undefined : causeText(thrown);
  return cause === undefined ? {} : { cause };
}

/**
 * Makes the record of a failed attempt's error, for operators: texts of up to {@link MAX_TEXT} characters, and details
 * of up to {@link MAX_DETAILS}. Throws if the error cannot be read. For failures that a handler returned use {@link
 * decided}.
 * @decides how the error of a failed step is recorded: code, message, details, and how much of them
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

/** Returns true for an error after which storing a schedule, or the start of a run, is tried again. */
export function isUnstored(error: unknown): boolean {
  return isCatgaError(error) && UNSTORED.has(error.code);
}

/** Error codes after which a send in a step is tried again for as long as the run may take. */
export const TRANSIENT: ReadonlySet<string> = new Set([
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
/** Error codes of {@link isUnstored}. After `LOG_MISMATCH` an operator gives the stream its right settings again. */
const UNSTORED: ReadonlySet<string> = new Set(["UNAVAILABLE", "OUTCOME_UNKNOWN", "OVERLOADED", "LOG_MISMATCH"]);
const MAX_DETAILS = 4_096;
const MAX_TEXT = 1_024;

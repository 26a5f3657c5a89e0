/**
 * Errors as they are recorded, and read back: those of failed attempts, for operators, and failures that a handler
 * decided on, which are recorded whole. Which of them are followed by another attempt.
 */
import { causeText, thrownMessage } from "../data/cause_text.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import { isFailure } from "../contract/result.ts";
import { UNSENDABLE_DETAILS } from "../dispatch/error_encoding.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { RecordedError } from "./journal.ts";

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

/** Codes of a send that is tried again for as long as the run may take. */
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
const MAX_DETAILS = 4_096;
const MAX_TEXT = 1_024;

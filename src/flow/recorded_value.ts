/**
 * Values as they are recorded, and given to user code, which may change what it gets.
 */
import { decodeText, encodeValue } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import type { RecordedOutcome } from "./journal.ts";
import { DecidedFailure, errorOf } from "./recorded_error.ts";

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

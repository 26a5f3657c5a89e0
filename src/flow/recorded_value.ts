/** Values as they are recorded, and copies of them for user code, which may change its copy. */
import { decodeText, encodeValue } from "../data/encoding.ts";
import { exceeds } from "../data/utf8.ts";
import type { RecordedOutcome } from "./journal.ts";
import { DecidedFailure, errorOf } from "./recorded_error.ts";

/** Makes the value or failure that a step returns to its handler; `raw`: a value is wrapped in a `Result`, too. */
export function valueOf({ ok, value, error }: RecordedOutcome, raw: boolean): unknown {
  if (ok) return raw ? { ok: true, value: ownOf(value) } : ownOf(value);
  return { ok: false, error: errorOf(error!) };
}

/** Copies a recorded value for user code: a change of the copy does not change the record. */
export function ownOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? decodeText(encodeValue(value, "value")) : value;
}

/**
 * Returns the value as it will be read back. Throws {@link DecidedFailure} if it cannot be recorded: its step has run.
 */
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

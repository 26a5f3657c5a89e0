/**
 * Values in the form in which they are recorded, and copies of recorded values for the program's code, which may change
 * its copy.
 */
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { exceeds } from "../../data/utf8.ts";
import type { RecordedOutcome } from "./journal_entry.ts";
import { DecidedFailure, errorOf, storedText } from "./recorded_error.ts";

/**
 * Makes the value or failure that a step returns to the handler, from its recorded outcome. `raw`: true to return a
 * value as a `Result`, as `flow.send` does.
 */
export function valueOf({ ok, value, error }: RecordedOutcome, raw: boolean): unknown {
  if (ok) return raw ? { ok: true, value: ownOf(value) } : ownOf(value);
  return { ok: false, error: errorOf(error!) };
}

/** Returns a copy of a recorded value for the program's code: changes of the copy do not change the record. */
export function ownOf(value: unknown): unknown {
  return typeof value === "object" && value !== null ? decodeText(encodeValue(value, "value")) : value;
}

/**
 * Copies a value that a handler or step shows, as it will be read. Throws a `TypeError` or `RangeError` if it cannot be
 * stored. `method`: the method that was called with it; `mostBytes`: as of {@link RunLog.mostBytes}.
 */
export function shownValue(method: string, value: unknown, mostBytes: number): unknown {
  if (value === undefined) throw new TypeError(`${method}: the value is undefined`);
  const text = encodeValue(value, `${method}: the value`);
  // a quarter: the entry with which a run begins anew has its view beside its input, which has up to a half
  const most = Math.min(MAX_SHOWN, mostBytes >> 2);
  if (!exceeds(storedText(text), most)) return decodeText(text);
  throw new RangeError(`${method}: a value has up to ${most} bytes; this one has ${text.length} characters`);
}

/**
 * Maximum size of a view, and of a step's progress, in bytes, where messages have 260 kB or more: each view is sent
 * whole to all who watch.
 * @decides `flow.show`, `step.progress`, and how large their values may be
 */
const MAX_SHOWN = 65_536;

/**
 * Returns a copy of a value, in the form in which it will be read back from its record. Throws {@link DecidedFailure}
 * if the value cannot be recorded, or has more than `mostBytes` bytes; no further attempt follows then, because the
 * step has run already. `what`: names the value in the error.
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
  if (exceeds(storedText(text), mostBytes)) {
    throw new DecidedFailure({
      code: "TOO_LARGE",
      message: `${what} has ${text.length} characters: store it elsewhere, and record where it is`,
    });
  }
  return decodeText(text);
}

/** A breach: the report that a history breaks a promise. */
import { encodeValue } from "../../data/encoding.ts";
import type { HistorySpan } from "../history.ts";

/** A broken promise that a checker has found. */
export interface Breach {
  /** The promise, in the words of the docs: `"command: never runs twice"`. */
  readonly promise: string;
  /** Subject of the broken promise: a message, a key, a run or a lock. */
  readonly subject: string;
  /** Observations that contradict the promise. */
  readonly text: string;
  /**
   * Time of the observation that contradicts the promise, in the unit of the history; `undefined`: the breach is that
   * something is missing.
   */
  readonly at: number | undefined;
  /** Entries of the history of `explore` that show the breach; default: none. */
  readonly shownBy?: readonly HistorySpan[] | undefined;
}

/** Returns a value as text, for reports and for comparing values. */
export function shown(value: unknown): string {
  if (value === undefined) return "undefined";
  try {
    return encodeValue(value, "value");
  } catch {
    return String(value);
  }
}

/** Breaches: reports of broken promises in a history. */
import { encodeValue } from "../../data/encoding.ts";
import type { HistorySpan } from "../history.ts";

/** A broken promise that a checker has found. */
export interface Breach {
  /** The promise, in the words of the docs: `"command: never runs twice"`. */
  readonly promise: string;
  /** Subject of the promise: a message, a key, a run or a lock. */
  readonly subject: string;
  /** Observations that contradict the promise. */
  readonly text: string;
  /**
   * Time of the observation that contradicts the promise, in the unit of the history; `undefined`: something is
   * missing.
   */
  readonly at: number | undefined;
  /** Entries of the history of `explore` that show the breach. Default: none. */
  readonly shownBy?: readonly HistorySpan[] | undefined;
}

/** Returns a value as text for reports, and for comparisons of values that can be sent. */
export function shown(value: unknown): string {
  if (value === undefined) return "undefined";
  try {
    return encodeValue(value, "value");
  } catch {
    return String(value);
  }
}

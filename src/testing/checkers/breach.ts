/** A breach: the report that a history breaks a promise. */
import { isRecord } from "../../data/checks.ts";
import { encodeValue } from "../../data/encoding.ts";
import { BrokenPromise, type HistorySpan } from "../history.ts";

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

/** Throws a `BrokenPromise` for the first of the breaches that a check has found; returns if there is none. */
export function throwFirst([first, ...more]: readonly Breach[]): void {
  if (first === undefined) return;
  const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
  throw new BrokenPromise(first.promise, `${first.subject} ${first.text}${others}`, first.shownBy ?? []);
}

/**
 * Throws if the value that a check has returned says that a promise is broken: `false`, or the breaches that a checker
 * has found.
 */
export function throwReturned(value: unknown): void {
  if (value === false) throw new Error("the check returned false: it throws if a promise is broken");
  if (Array.isArray(value) && value.every(isBreach)) throwFirst(value);
}

function isBreach(value: unknown): value is Breach {
  return isRecord(value) && [value.promise, value.subject, value.text].every((text) => typeof text === "string");
}

/** Returns a value as text, for reports. */
export function shown(value: unknown): string {
  if (value === undefined) return "undefined";
  try {
    return encodeValue(value, "value");
  } catch {
    return String(value);
  }
}

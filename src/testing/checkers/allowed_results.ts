/** The guarantees of README.md as one function: the results that a message may have, by how often its handler ran. */

/** Kind of a message with a result. An idempotent command may run again, but has one result. */
export type RequestKind = "command" | "query" | "idempotent";

/**
 * Codes of messages that certainly did not run. `TIMEOUT`: the deadline of the sending handler had passed before the
 * send.
 */
const NOT_RUN: readonly string[] = ["UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER", "TIMEOUT"];
/** Codes of commands that may have run. */
const MAY_HAVE_RUN: readonly string[] = ["OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"];
/** Codes of queries that failed, besides the codes of their handlers. */
const QUERY_FAILURES: readonly string[] = [...NOT_RUN, "CANCELLED", "CLOSED"];

/**
 * Returns true if a message may have this result after `runs` runs. The result is `"ok"` or a code, possibly the
 * handler's own code.
 */
export function isAllowed(kind: RequestKind, result: string, runs: number): boolean {
  if (kind === "query") {
    if (result === "ok") return runs > 0;
    return QUERY_FAILURES.includes(result) || (runs > 0 && !MAY_HAVE_RUN.includes(result));
  }
  if (NOT_RUN.includes(result)) return runs === 0;
  if (kind === "idempotent") return runs > 0 || MAY_HAVE_RUN.includes(result);
  return MAY_HAVE_RUN.includes(result) ? runs <= 1 : runs === 1;
}

/** Returns true if a command with this result may or may not have run. */
export function isUndecided(result: string): boolean {
  return MAY_HAVE_RUN.includes(result);
}

/** The guarantees of README.md as one function: which results a message may have, given how often its handler ran. */

/** Kind of a message whose sender gets a result. An idempotent command may run several times, but has one result. */
export type RequestKind = "command" | "query" | "idempotent";

/**
 * Error codes of commands that certainly did not run. `TIMEOUT`: a command gets it only from a handler that sends it
 * after the handler's own deadline.
 */
const NOT_RUN: readonly string[] = ["UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER", "TIMEOUT"];
/** Error codes of commands that may have run. */
const MAY_HAVE_RUN: readonly string[] = ["OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"];
/** Error codes of failed queries, besides the codes that their handlers return. */
const QUERY_FAILURES: readonly string[] = [...NOT_RUN, "CANCELLED", "CLOSED"];

/**
 * Returns true if a message may have this result after its handler ran `runs` times. `result`: `"ok"` or an error
 * code, possibly one of the handler's own.
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

/** Returns true if a command with this result may have run, or may not have run. */
export function isUndecided(result: string): boolean {
  return MAY_HAVE_RUN.includes(result);
}

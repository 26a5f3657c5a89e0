/** The promise table of README.md as one function: which results a message may have, by how often its handler ran. */

/** The kinds of messages with a result; an idempotent command may run again, and has one result all the same. */
export type MessageKind = "command" | "query" | "idempotent";

/**
 * Codes of messages that certainly did not run. `TIMEOUT`: the deadline of the sending handler had passed before the
 * send.
 */
const NOT_RUN: readonly string[] = ["UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER", "TIMEOUT"];
/** Codes of commands that may have run. */
const MAY_HAVE_RUN: readonly string[] = ["OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"];
/** Codes of queries that failed, besides those of their handlers. */
const QUERY_FAILURES: readonly string[] = [...NOT_RUN, "CANCELLED", "CLOSED"];

/** Whether a message may have this result after `runs` runs: `"ok"`, or a code, which may be the handler's own. */
export function isAllowed(kind: MessageKind, result: string, runs: number): boolean {
  if (kind === "query") return result === "ok" ? runs > 0 : QUERY_FAILURES.includes(result);
  if (NOT_RUN.includes(result)) return runs === 0;
  if (kind === "idempotent") return runs > 0 || MAY_HAVE_RUN.includes(result);
  return MAY_HAVE_RUN.includes(result) ? runs <= 1 : runs === 1;
}

/** Whether this result leaves open whether a command ran. */
export function isUndecided(result: string): boolean {
  return MAY_HAVE_RUN.includes(result);
}

/** What a sender may be told about a message, held against how often it ran: the promise table as one function. */

/** What a message is: an idempotent command may run again, and has one result all the same. */
export type MessageKind = "command" | "query" | "idempotent";

/** Codes of messages that certainly did not run; `TIMEOUT`: the message being handled was over before this one left. */
const NOT_RUN: readonly string[] = ["UNAVAILABLE", "OVERLOADED", "DRAINING", "NO_HANDLER", "TIMEOUT"];
/** Codes of commands that may have run. */
const PERHAPS_RUN: readonly string[] = ["OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"];
/** Codes that a query may fail with. */
const QUERY_FAILURES: readonly string[] = [...NOT_RUN, "CANCELLED", "CLOSED"];

/**
 * Whether a sender may be told this about a message that ran so often: `"ok"`, or the code of an error, a handler's own
 * codes among them.
 */
export function mayBeTold(kind: MessageKind, told: string, ran: number): boolean {
  if (kind === "query") return told === "ok" ? ran > 0 : QUERY_FAILURES.includes(told);
  if (NOT_RUN.includes(told)) return ran === 0;
  if (kind === "idempotent") return ran > 0 || PERHAPS_RUN.includes(told);
  return PERHAPS_RUN.includes(told) ? ran <= 1 : ran === 1;
}

/** Whether this tells nothing of what became of a command. */
export function saysNothing(told: string): boolean {
  return PERHAPS_RUN.includes(told);
}

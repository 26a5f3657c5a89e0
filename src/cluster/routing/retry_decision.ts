/**
 * Decides what follows a failed attempt of a call, also after a node's death: another attempt, or the error of the
 * call. One function decides for every combination of failure, kind of message, and attempts left.
 */
import { CatgaError, unavailable } from "../../error.ts";
import { backoff, type Random } from "../../ports/clock.ts";
import { type AttemptFailure, type Call, isRefusal, type NotRunCode } from "../wire/call.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { DEADLOCK_REASON } from "../../dispatch/outcome.ts";

/** Reason why the caller no longer waits for a call. `sent`: true if an attempt may have run. */
export type GivenUp =
  /** The call's deadline has passed. `away`: true if the call was waiting for a node that handles its contract. */
  | { readonly how: "expired"; readonly sent: boolean; readonly away?: boolean }
  /** The caller has given up, or the app stops. */
  | { readonly how: "aborted"; readonly sent: boolean; readonly reason: CatgaError };

/** A failed attempt, or the end of the caller's wait. */
export type Failed = AttemptFailure | GivenUp;

/**
 * Decides what follows the failure of an attempt on `node`. `"again"`: another attempt; `"wait"`: an answer may still
 * come; an error: the result of the call. `attempts`: number of attempts that are still allowed. A request that
 * certainly did not run is repeated whatever its kind; a request that may have run, only if it is a query, an
 * idempotent command, or a command of an entity (`ofEntity`). `fate`: how the error describes the request if this
 * attempt did not run.
 */
export function decideRetry(
  contract: AnyContract,
  failed: Failed,
  attempts: number,
  node: string,
  { ofEntity = false, fate = "did not run" }: { ofEntity?: boolean | undefined; fate?: Call["fate"] } = {},
): "again" | "wait" | CatgaError {
  const what = `${contract.kind} ${contract.name}`;
  // a command that is idempotent or of an entity has one recorded result for its id, on whichever node it runs
  const repeatable = contract.kind === "query" || Boolean(contract.options.idempotent) || ofEntity;
  const unknown = (why: string): CatgaError =>
    new CatgaError("OUTCOME_UNKNOWN", `${what}: ${why}, so it may have run on node ${node}`, { node });
  switch (failed.how) {
    case "undelivered": {
      if (failed.code === "TOO_LARGE") {
        return new CatgaError("TOO_LARGE", `${what} is too large for the server: send a reference`);
      }
      if (attempts > 0) return "again";
      const code = isRefusal(failed.code) ? failed.code : "UNAVAILABLE";
      return new CatgaError(
        code,
        `${what} ${fate}: ${REASONS[failed.code]} (node ${node}, the last of its attempts)`,
        { retryable: code !== "NO_HANDLER" && code !== "DEADLOCK", node },
      );
    }
    case "lost":
      if (repeatable && attempts > 0) return "again";
      if (contract.kind === "stream") {
        const why = failed.answered ? "its end was lost" : `the process of node ${node} is gone`;
        return new CatgaError("STREAM_BROKEN", `${what} broke: ${why}`, { retryable: true, node });
      }
      if (contract.kind !== "query") {
        return unknown(failed.answered ? ANSWER_LOST : `${GONE}, or lost its connection, after it had the message`);
      }
      return unavailable(`${what}: ${failed.answered ? ANSWER_LOST : GONE} (node ${node}, the last of its attempts)`, {
        node,
      });
    case "silent":
      return repeatable && attempts > 0 ? "again" : "wait";
    case "expired":
      if (!failed.sent) {
        const why = failed.away
          ? "no node that handles it was there before its deadline, though one was before"
          : "it could not be delivered before its deadline";
        return unavailable(`${what} ${fate}: ${why}`);
      }
      return contract.kind === "query" || contract.kind === "stream"
        ? new CatgaError("TIMEOUT", `${what} was not answered before its deadline`, { node })
        : unknown("it was not answered before its deadline");
    case "aborted":
      return failed.reason.code === "CANCELLED" || !failed.sent || contract.kind === "query" ||
          contract.kind === "stream"
        ? failed.reason
        : unknown(failed.reason.message);
  }
}

/**
 * Returns true if the node of the failed attempt could not be reached: the request bounced, the node drains, or its
 * circuit breaker is open. This happens while the only replica of a service restarts.
 */
export function isAway(failed: Failed): boolean {
  return failed.how === "undelivered" &&
    (failed.code === "BOUNCED" || failed.code === "DRAINING" || failed.code === "BREAKER_OPEN");
}

/** Returns true if the node refused the request because it has too much to do. */
export function isOverload(failed: Failed): boolean {
  return failed.how === "undelivered" && failed.code === "OVERLOADED";
}

/**
 * Returns true if a call that certainly did not run on one node may go on to a node on which it has not failed,
 * without using up a retry: a call should not fail while other nodes have room. The number of such moves is limited,
 * because with all nodes overloaded a request to each of many nodes would add to the load.
 */
export function mayMoveOn({ request: { node, retries }, moves }: Call): boolean {
  return node === undefined && retries > 0 && moves < MAX_MOVES;
}

/** Returns the pause before a call that has failed on every node is sent again, in ms. */
export function retryPause({ request: { retries }, retriesLeft }: Call, failed: Failed, random: Random): number {
  const first = isOverload(failed) ? OVERLOAD_BACKOFF : FIRST_BACKOFF;
  return backoff(random, retries - retriesLeft - 1, first, MAX_BACKOFF);
}

const MAX_MOVES = 16;
const FIRST_BACKOFF = 10; // ms
const OVERLOAD_BACKOFF = 100; // ms: a node counts its pace in tenths of a second
const MAX_BACKOFF = 1_000; // ms

const GONE = "its process is gone";
const ANSWER_LOST = "its answer was lost";
const REASONS: Record<NotRunCode, string> = {
  BOUNCED: "nobody was there",
  LOST: "it was lost on its way",
  OVERLOADED: "the node has too much to do",
  DRAINING: "the node is leaving",
  NO_HANDLER: "the node has no handler for it",
  DEADLOCK: DEADLOCK_REASON,
  LATE: "it arrived after its deadline",
  TOO_LARGE: "it is too large",
  BREAKER_OPEN: "deliveries to the node have failed too often lately",
};

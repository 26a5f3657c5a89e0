/**
 * The outcome of a run, from the answer of its node, and what follows a failure. When a message becomes a dead letter:
 * when it failed for good, or for the last time. So does one that has no attempt left when it is its turn
 * (`Ledger.begin`), because its leader or node ended, or fewer attempts are deployed; and one that nobody can read
 * (`Ledger.bury`).
 */
import type { Retry } from "../../contract/send_options.ts";
import { backoff, jittered, type Random } from "../../ports/clock.ts";
import type { Item } from "./categories.ts";
import type { Result } from "../../contract/result.ts";
import { isCatgaError } from "../../error.ts";
import { type FailedRun, readBatchAnswer, readRunAnswer, STILL_RUNNING } from "../format/run_request.ts";

/**
 * Consequence of a failed attempt: the next one after `pause` ms, until which the message stays in memory, or is
 * parked. `outage`: it is no attempt.
 */
export type AfterFailure =
  | { readonly type: "dead letter" }
  | { readonly type: "waits" | "parked"; readonly pause: number; readonly outage?: true };

/**
 * Decides it. `now`: by the monotonic clock; `room`: whether one more message may wait in memory; `lasted`: for how
 * long what its handler calls has been out of reach, in ms, if that is why it failed. No attempt counts until that has
 * lasted for the time that the handler gives it.
 */
export function afterFailure(
  { attempts, place, failedAt = Infinity }: Item,
  { final, outage = 0 }: Pick<RunFailure, "final" | "outage">,
  { attempts: most, delay: [first, longest] }: Retry,
  { now, room, lasted = Infinity, random }: {
    readonly now: number;
    readonly room: boolean;
    readonly lasted?: number;
    readonly random: Random;
  },
): AfterFailure {
  const isOutage = !final && lasted < outage;
  if (!isOutage && (final || attempts + 1 >= most)) return { type: "dead letter" };
  // as long as it has lasted: so it doubles, under the next leader, too
  const pause = isOutage
    ? jittered(random, Math.min(longest, Math.max(first, lasted)))
    : backoff(random, Math.min(attempts, 64), first, longest);
  const isShort = now + pause - Math.min(now, failedAt) <= IN_MEMORY;
  return {
    type: place === "open" && isShort && room ? "waits" : "parked",
    pause,
    ...(isOutage ? { outage: true } : {}),
  };
}

/** How long a message that fails stays in memory, in ms: its key waits for it there; then it is parked. */
const IN_MEMORY = 5_000;

/**
 * What became of an attempt: handled; refused by a node that knows a later leader; certainly not run, and, when the
 * handler of an earlier attempt goes on there, the id of that node; not run in a batch, and to be handed out alone; or
 * failed.
 */
export type RunOutcome = "done" | "outvoted" | "not run" | "alone" | { readonly busy: string | undefined } | RunFailure;

/** A failed attempt. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  /** Error that the handler threw. */
  readonly cause?: string | undefined;
  /** It is not to be tried again. */
  readonly final: boolean;
  /** Time in ms up to which this outage of something that its handler called is no attempt. */
  readonly outage?: number | undefined;
  /** The id of the node where it may be running still. */
  readonly node: string | undefined;
}

/** Reads a result. What nodes answer is checked: an answer that is none is a failure. */
export function outcomeOf(result: Result<unknown>): RunOutcome {
  if (result.ok) {
    const answer = readRunAnswer(result.value);
    if (answer === 0) return "done";
    if (answer === 1) return "outvoted";
    if (answer !== undefined) return failureOf(answer);
    return {
      code: "INVALID_RESPONSE",
      message: "the node's answer is not that of a run",
      final: false,
      node: undefined,
    };
  }
  const { error: { code, message, node, details, final } } = result;
  if (NOT_RUN.has(code)) return details === STILL_RUNNING ? { busy: node } : "not run";
  const unknown = code === "OUTCOME_UNKNOWN" || code === "TIMEOUT";
  return { code, message, final: final || code === "TOO_LARGE", node: unknown ? node : undefined };
}

/** The outcome of each message of a batch; `undefined`: all of them have that of the result. */
export function outcomesOf(result: Result<unknown>, count: number): readonly RunOutcome[] | undefined {
  const answers = result.ok ? readBatchAnswer(result.value, count) : undefined;
  return answers?.map((answer) =>
    answer === 0 ? "done" : answer === 2 ? "not run" : answer === 3 ? "alone" : failureOf(answer)
  );
}

function failureOf([code, message, final, cause, outage]: FailedRun): RunFailure {
  const why = typeof cause === "string" ? { cause } : {};
  return { code, message, ...why, ...(outage === undefined ? {} : { outage }), final: final === 1, node: undefined };
}

/** The outcome of a request that was not even sent, such as one with an invalid key. */
export function outcomeOfError(error: unknown): RunOutcome {
  if (isCatgaError(error)) return outcomeOf({ ok: false, error });
  return { code: "INVALID_MESSAGE", message: String(error), final: false, node: undefined };
}

/** Failures of messages that were certainly not run. */
const NOT_RUN: ReadonlySet<string> = new Set([
  "NO_HANDLER",
  "UNAVAILABLE",
  "OVERLOADED",
  "DRAINING",
  "DEADLOCK",
  "CLOSED",
]);

/**
 * Requests that the leader of a subscription sends to a node, and the node's answers: to run a message (the internal
 * command `runName(…)`); barriers, which stop runs of earlier leaders, and aborts of a run (`controlName(…)`).
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Result } from "../../contract/calls/result.ts";
import { MAX_CAUSE } from "../../data/cause_text.ts";
import { isRecord } from "../../data/checks.ts";
import { isCatgaError } from "../../error.ts";
import { readMessageId } from "./commit.ts";
import { type LoggedMeta, whyNoMeta } from "./logged_message.ts";

/** Makes the contract of an internal command. */
export function internalCommand(name: string): AnyContract {
  return Object.freeze({ kind: "command", name, options: Object.freeze({}) });
}

/**
 * A request to handle one message now. An array, for speed. The name of the internal contract contains the message's
 * contract.
 */
export type RunRequest = readonly [
  /** Token of the leader that sends the request; each new leader's token is greater. */
  token: number,
  position: number,
  /** Number of the attempt to handle the message, from 1. */
  attempt: number,
  id: string,
  key: string | null,
  payload: unknown,
  /** 1: the payload is a text with tags (marks of values that JSON lacks); 0: the payload is plain JSON. */
  tagged: 0 | 1,
  /** Time at which the message was stored. */
  time: number,
  meta: LoggedMeta | null,
];

/** A request to handle several messages together; messages of one key are in the order of the log. */
export type BatchRequest = readonly ["batch", ...RunRequest[]];

/** Maximum number of messages of a batch. */
const MAX_BATCH_MESSAGES = 1_000;

/**
 * Answer to a request to run a batch, if not all of its messages were handled: the outcome of each message, in the
 * order of the request.
 * - `0`: handled.
 * - `2`: to be run again without counting an attempt: it did not run, or an earlier message of its key in the batch
 *   failed.
 * - `3`: to be run again in a request of its own, without counting an attempt: its handler took too long in the batch,
 *   or failed with the details `ALONE` (`contract/nodes/announcement.ts`).
 * - A {@link FailedRun}: the message failed.
 *
 * If the handler failed as a whole, the answer is a {@link FailedRun} instead, as for a single message.
 */
export interface BatchAnswer {
  readonly of: readonly (0 | 2 | 3 | FailedRun)[];
}

/**
 * Answer of a node to a request to run a message.
 * - `0`: handled.
 * - `1`: not run, because the node obeys a later leader of the subscription (with a greater token).
 * - `4`: not handled, because a leader has had the run aborted ({@link AbortRequest}): the message is done.
 * - A {@link FailedRun}: the handler failed, or the node refused the message.
 *
 * A node that cannot give an answer fails the internal command that carried the request; the error names the node.
 * `TIMEOUT`: the handler did not end in time and may go on. `OUTCOME_UNKNOWN`: the node stopped during the run.
 * `UNAVAILABLE` with the details {@link STILL_RUNNING}: not run, because the handler of an earlier attempt goes on at
 * that node. {@link NOT_RUN} has the other codes after which the message certainly did not run.
 */
export type RunAnswer = 0 | 1 | 4 | FailedRun;

/**
 * Answer of a node on which the run of a message failed.
 * - `final` 0: the message may be tried again. 1: it becomes a dead letter, because of `fail(…, { final: true })`,
 *   because some but not all of the subscription's handlers have contracts that refuse the payload, because its key
 *   cannot be made, or because this was its last attempt. 3: no live version of the workflow accepts the run; the
 *   version that wrote the run would.
 * - `cause`: the thrown error, for operators.
 * - `outage`: maximum duration in ms of an outage (a service that the handler called is unavailable, or no node accepts
 *   the message) during which failed attempts do not count; absent: the attempt counts.
 * - `retryAfter`: time in ms after which the message, and others of its limits, may run again; absent: as usual.
 */
export type FailedRun = readonly [
  code: string,
  message: string,
  final: 0 | 1 | 3,
  cause?: string | null,
  outage?: number,
  retryAfter?: number,
];

/**
 * Answer of a node whose input schema refused the message before a handler began; a node with another version of the
 * contract may accept it. No other answer has both `final` 1 and an outage, so leaders tell this answer by these two;
 * leaders of earlier builds, which hand nothing on, make the message a dead letter. `waits`: the outage, plus 1 so that
 * it is never 0.
 */
export type RefusedMessage = readonly [code: string, message: string, final: 1, cause: string | null, waits: number];

/**
 * `details` of the failure of a message that did not run, because an earlier run of the message goes on at the node:
 * the next attempt goes to the same node. The error is not `retryable` if that run is still in its time, which the
 * node's version of the handler makes longer than the leader's.
 */
export const STILL_RUNNING = "still running";

/** Maximum length of the error message in a node's answer, in characters; longer ones are cut. */
export const MAX_ANSWER_MESSAGE = 4_096;
/** Maximum length of the error code in a node's answer, in characters; longer ones are cut. */
export const MAX_ANSWER_CODE = 128;

/**
 * A barrier: asks a node to refuse runs with lower tokens (of earlier leaders) from now on, and to list the messages
 * that run there.
 */
export type BarrierRequest = readonly ["barrier", token: number];

/**
 * Asks a node to abort the run of a message (`id`) of a contract (`category`), and not to begin it for this leader,
 * because a later message of its key takes its place. The answer of the run follows when its handler has ended.
 */
export type AbortRequest = readonly ["abort", token: number, category: string, id: string];

/**
 * Answer of a node to a barrier: the ids of messages that run there, and of messages whose runs have ended in the last
 * 10 s; and what came of the runs that took so long that no leader may have received their answers. If the leader hands
 * a message out that runs there already, the node does not run it a second time, but answers with the outcome of that
 * run.
 */
export type BarrierAnswer = {
  readonly running: readonly string[];
  readonly ended: readonly string[];
  readonly finished: readonly FinishedRun[];
};

/**
 * A long run that has ended at a node. `token`: that of the leader that began the run, or of the last one that joined
 * it since; `attempt`, its number, from 1; `answer`, `0` (handled), `4` (aborted) or the failure. Nodes remember
 * it, because who was blocked or frozen answers a leader that no longer waits, or no longer leads.
 */
export type FinishedRun = readonly [id: string, token: number, attempt: number, answer: 0 | 4 | FailedRun];

/** Parses a run request. Returns a string that says what is wrong if it is invalid. */
export function readRunRequest(value: unknown): RunRequest | string {
  if (!Array.isArray(value) || value.length !== 9) return "no array of 9";
  const [token, position, attempt, id, key, payload, tagged, time, meta] = value;
  if (!isPositive(token) || !isPositive(position) || !isPositive(attempt)) return "no token, position or attempt";
  if (typeof id !== "string" || id === "" || id.length > MAX_ID) return "no id";
  if (key !== null && typeof key !== "string") return "no key";
  if (tagged !== 0 && !(tagged === 1 && typeof payload === "string")) return "no payload";
  if (typeof time !== "number" || !Number.isFinite(time)) return "no time";
  const wrong = meta === null ? undefined : whyNoMeta(meta);
  if (wrong !== undefined) return wrong;
  // each element has been checked
  return value as unknown as RunRequest;
}

/**
 * Parses a batch request. Returns its requests in the order of the log, a string that says what is wrong, or
 * `undefined` if it is no batch.
 */
export function readBatchRequest(value: unknown): readonly RunRequest[] | string | undefined {
  if (!Array.isArray(value) || value[0] !== "batch") return undefined;
  if (value.length < 2 || value.length > MAX_BATCH_MESSAGES + 1) return `no batch of 1 to ${MAX_BATCH_MESSAGES}`;
  const requests: RunRequest[] = [];
  for (const each of value.slice(1)) {
    const request = readRunRequest(each);
    if (typeof request === "string") return request;
    if (request[0] !== (requests[0] ?? request)[0]) return "messages of two leaders";
    requests.push(request);
  }
  return requests;
}

/** Parses a node's answer to a batch; `undefined`: invalid. */
export function readBatchAnswer(value: unknown, count: number): BatchAnswer["of"] | undefined {
  if (!isRecord(value) || !Array.isArray(value.of) || value.of.length !== count) return undefined;
  const answers: (0 | 2 | 3 | FailedRun)[] = [];
  for (const each of value.of) {
    const answer = each === 2 || each === 3 ? each : readRunAnswer(each);
    if (answer === undefined || answer === 1 || answer === 4) return undefined;
    answers.push(answer);
  }
  return answers;
}

/** Parses a node's answer to a run request; `undefined`: invalid. */
export function readRunAnswer(value: unknown): RunAnswer | undefined {
  if (value === 0 || value === 1 || value === 4) return value;
  if (!Array.isArray(value) || value.length < 3 || value.length > 6) return undefined;
  const [code, message, final, cause, outage, retryAfter] = value;
  if (typeof code !== "string" || code === "" || typeof message !== "string") return undefined;
  if (final !== 0 && final !== 1 && final !== 3) return undefined;
  if (value.length >= 5 && !(isPositive(outage) && (cause === null || typeof cause === "string"))) return undefined;
  if (value.length === 6 && !isRetryAfter(retryAfter)) return undefined;
  const known = [code.slice(0, MAX_ANSWER_CODE), message.slice(0, MAX_ANSWER_MESSAGE), final] as const;
  const why = typeof cause === "string" ? cause.slice(0, MAX_CAUSE) : undefined;
  if (value.length === 6) return [...known, why ?? null, outage, retryAfter];
  if (value.length === 5) return [...known, why ?? null, outage];
  return why === undefined ? known : [...known, why];
}

/** Returns true if a value is a time in ms after which a message may run again: up to a day. */
export function isRetryAfter(value: unknown): value is number {
  return isPositive(value) && value <= MAX_RETRY_AFTER;
}

/** Longest time after which a handler may have a message run again, in ms: a day. */
export const MAX_RETRY_AFTER = 86_400_000;

/** Parses a barrier (a new leader's question what a node runs) and returns the leader's token; `undefined`: invalid. */
export function readBarrier(value: unknown): number | undefined {
  if (!Array.isArray(value) || value.length !== 2 || value[0] !== "barrier") return undefined;
  return isPositive(value[1]) ? value[1] : undefined;
}

/** Parses a request to abort a run; `undefined`: it is none, or invalid. */
export function readAbort(value: unknown): AbortRequest | undefined {
  if (!Array.isArray(value) || value.length !== 4 || value[0] !== "abort") return undefined;
  const [, token, category, id] = value;
  if (!isPositive(token) || typeof category !== "string" || readId(id) === undefined) return undefined;
  return ["abort", token, category, id];
}

/**
 * Parses a node's answer to a barrier (a new leader's question what the node runs). What of it is valid counts, because
 * a message that the answer leaves out may run a second time. `invalid`: number of its parts that do not count. A node
 * of an earlier build gives no `finished`.
 */
export function readBarrierAnswer(value: unknown): BarrierAnswer & { readonly invalid: number } {
  if (!isRecord(value)) return { running: [], ended: [], finished: [], invalid: 1 };
  const { running, ended, finished = [] } = value;
  let invalid = 0;
  const valid = <T>(list: unknown, read: (each: unknown) => T | undefined): T[] => {
    const found: T[] = [];
    for (const each of Array.isArray(list) ? list : [undefined]) {
      const element = read(each);
      if (element === undefined) invalid++;
      else found.push(element);
    }
    return found;
  };
  const report = {
    running: valid(running, readId),
    ended: valid(ended, readId),
    finished: valid(finished, readFinishedRun),
  };
  return { ...report, invalid };
}

function readFinishedRun(value: unknown): FinishedRun | undefined {
  if (!Array.isArray(value) || value.length !== 4) return undefined;
  const [id, token, attempt, given] = value;
  const answer = readRunAnswer(given);
  const own = readId(id);
  if (own === undefined || !isPositive(token) || !isPositive(attempt) || answer === undefined || answer === 1) {
    return undefined;
  }
  return [own, token, attempt, answer];
}

function readId(value: unknown): string | undefined {
  return typeof value === "string" && readMessageId(value) !== undefined ? value : undefined;
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** Maximum length of a message id, in characters: 256 for ids given by users, and more that a schedule adds. */
const MAX_ID = 512;

/**
 * Outcome of an attempt to run a message at a node. `done`: handled. `replaced`: not handled, because a leader has had
 * the run aborted for a later message: it is done, too. `not run`: certainly not run. `busy`: not run,
 * because the handler of an earlier attempt goes on at the node with this id (`undefined`: the node is not known).
 * `late`: true if that handler has exceeded its timeout; false if it has time left, because the version of the handler
 * at that node has a longer timeout than the leader's. `alone`: the message, sent in a batch, is to be sent again in a
 * request of its own (outcome `3` of {@link BatchAnswer}). A {@link RunFailure}: the attempt failed.
 */
export type RunOutcome =
  | "done"
  | "replaced"
  | "not run"
  | "alone"
  | { readonly busy: string | undefined; readonly late: boolean }
  | RunFailure;

/** A failed attempt to run a message. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  /** Text of the error that the handler threw. */
  readonly cause?: string | undefined;
  /** True if the message must not be tried again. */
  readonly final: boolean;
  /**
   * True if a node's input schema refused the message before a handler began: a node with another version (shape) of
   * the contract may accept it.
   */
  readonly refused?: boolean;
  /**
   * True if no live version of a workflow accepts the run, but the version that wrote the run would: the message then
   * waits for a node with that version.
   */
  readonly awaitsWriter?: boolean;
  /** Duration in ms for which the outage of a service that the handler called may last before attempts count. */
  readonly outage?: number | undefined;
  /** Time in ms after which the message, and others of its limits, may run again; `undefined`: as usual. */
  readonly retryAfter?: number | undefined;
  /** Id of the node where the message may still run. */
  readonly node: string | undefined;
}

/**
 * Turns the result of a run request into the message's outcome. Answers of nodes are not trusted: an invalid answer
 * counts as a failure.
 */
export function outcomeOf(result: Result<unknown>): RunOutcome {
  if (result.ok) {
    const answer = readRunAnswer(result.value);
    if (answer === 0) return "done";
    if (answer === 4) return "replaced";
    // the node knows a later leader; if there is one, this leader's next commit fails
    if (answer === 1) return "not run";
    if (answer !== undefined) return failureOf(answer);
    return {
      code: "INVALID_RESPONSE",
      message: "the node's answer is not that of a run",
      final: false,
      node: undefined,
    };
  }
  const { error: { code, message, node, details, final, retryable } } = result;
  if (NOT_RUN.has(code)) return details === STILL_RUNNING ? { busy: node, late: retryable } : "not run";
  const unknown = code === "OUTCOME_UNKNOWN" || code === "TIMEOUT";
  return { code, message, final: final || code === "TOO_LARGE", node: unknown ? node : undefined };
}

/** Returns the outcome of each message of a batch; `undefined`: the result itself is the outcome of all messages. */
export function outcomesOf(result: Result<unknown>, count: number): readonly RunOutcome[] | undefined {
  const answers = result.ok ? readBatchAnswer(result.value, count) : undefined;
  return answers?.map((answer) =>
    answer === 0 ? "done" : answer === 2 ? "not run" : answer === 3 ? "alone" : failureOf(answer)
  );
}

function failureOf([code, message, final, cause, outage, retryAfter]: FailedRun): RunFailure {
  const failure = { code, message, ...(typeof cause === "string" ? { cause } : {}), node: undefined };
  // a `RefusedMessage`
  if (final === 1 && outage !== undefined) {
    return { ...failure, refused: true, ...(outage > 1 ? { outage: outage - 1 } : {}), final: true };
  }
  return {
    ...failure,
    ...(final === 3 ? { refused: true, awaitsWriter: true } : {}),
    ...(outage === undefined ? {} : { outage }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
    final: final > 0,
  };
}

/** Returns the outcome for a request that was not sent because of this error, such as an invalid key. */
export function outcomeOfError(error: unknown): RunOutcome {
  if (isCatgaError(error)) return outcomeOf({ ok: false, error });
  return { code: "INVALID_MESSAGE", message: String(error), final: false, node: undefined };
}

/** Error codes with which a run request fails if the message certainly did not run. */
const NOT_RUN: ReadonlySet<string> = new Set([
  "NO_HANDLER",
  "UNAVAILABLE",
  "OVERLOADED",
  "DRAINING",
  "DEADLOCK",
  "CLOSED",
]);

/**
 * Copies a payload that `JSON.parse` has made, so that a change by one handler does not reach another handler. Throws
 * a `RangeError` if the payload is nested deeper than the stack.
 */
export function copyJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson);
  const copy: Record<string, unknown> = { ...value };
  // a member called __proto__ is an own property of the copy already, so that this assignment does not set the
  // prototype
  for (const key of Object.keys(copy)) copy[key] = copyJson(copy[key]);
  return copy;
}

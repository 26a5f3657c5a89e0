/**
 * Requests of a subscription's leader to a node, and their answers: to run a message (payload and result of the
 * internal command `runName(…)`, and the outcome of the run), and barriers (payload and result of `controlName(…)`).
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { Result } from "../../contract/result.ts";
import { MAX_CAUSE } from "../../data/cause_text.ts";
import { isRecord } from "../../data/checks.ts";
import { isCatgaError } from "../../error.ts";
import { readMessageId } from "./commit.ts";
import { type LoggedMeta, whyNoMeta } from "./logged_message.ts";

/** Makes the contract of an internal command. */
export function internalCommand(name: string): AnyContract {
  return Object.freeze({ kind: "command", name, options: Object.freeze({}) });
}

/** A message to be handled now. An array, for speed. The category is in the contract's name. */
export type RunRequest = readonly [
  /** Token of the leader, which grows with each takeover. */
  token: number,
  position: number,
  /** Number of the attempt, from 1. */
  attempt: number,
  id: string,
  key: string | null,
  payload: unknown,
  /** 1: the payload is a text with tags. */
  tagged: 0 | 1,
  /** Time at which the message was stored. */
  time: number,
  meta: LoggedMeta | null,
];

/** Messages to be handled together; messages of one key are in the order of the log. */
export type BatchRequest = readonly ["batch", ...RunRequest[]];

/** Maximum number of messages of a batch. */
const MOST_OF_BATCH = 1_000;

/**
 * Outcome of each message of a batch, if not all of them are handled. `2`: it waits behind one of its key that failed.
 * `3`: it did not run, or took too long, and is to be handled alone. A batch whose handler failed is answered like a
 * single message.
 */
export interface BatchAnswer {
  readonly of: readonly (0 | 2 | 3 | FailedRun)[];
}

/**
 * Answer of a node that was asked to run a message. `0`: handled without failure. `1`: not run, because the node knows
 * a greater token. An array: the handler failed. Members of the array: `final`, 1: no further attempt (`fail(…, {
 * final: true })`, or the contract refuses the payload); 2: no further attempt here: the input schema refused it, and
 * no handler began; 3: a workflow run that no live version accepts, but its writer's would. `cause`: the thrown error,
 * for operators. `outage`: a service that the handler called was unavailable, which does not count as an attempt until
 * it has lasted for so many ms.
 *
 * The command itself fails, and names the node, with `TIMEOUT` (the handler did not end in time and may go on), with
 * `OUTCOME_UNKNOWN` (the node stopped during the run), and with `UNAVAILABLE` and the details {@link STILL_RUNNING}
 * (not run, because the handler of an earlier attempt goes on there). Other failures mean that the message did not run.
 */
export type RunAnswer = 0 | 1 | FailedRun;

/** Answer of a run that failed. */
export type FailedRun = readonly [
  code: string,
  message: string,
  final: 0 | 1 | 2 | 3,
  cause?: string | null,
  outage?: number,
];

/**
 * Details of the failure of a message that did not run because an earlier run of it goes on: the next attempt goes to
 * the same node.
 */
export const STILL_RUNNING = "still running";

/** Maximum length of an answer's message, in characters; longer messages are cut. */
export const MAX_ANSWER_MESSAGE = 4_096;
/** Maximum length of an answer's code, in characters; longer codes are cut. */
export const MAX_ANSWER_CODE = 128;

/** Asks a node to refuse runs with lower tokens from now on, and to list the messages that run. */
export type BarrierRequest = readonly ["barrier", token: number];

/**
 * Ids of messages that run at this node, and of messages whose runs have ended in the last seconds. A request to run a
 * message that runs joins that run.
 */
export type BarrierAnswer = { readonly running: readonly string[]; readonly ended: readonly string[] };

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
  if (value.length < 2 || value.length > MOST_OF_BATCH + 1) return `no batch of 1 to ${MOST_OF_BATCH}`;
  const requests: RunRequest[] = [];
  for (const each of value.slice(1)) {
    const request = readRunRequest(each);
    if (typeof request === "string") return request;
    if (request[0] !== (requests[0] ?? request)[0]) return "messages of two leaders";
    requests.push(request);
  }
  return requests;
}

/** Parses the answer of a batch; `undefined`: invalid. */
export function readBatchAnswer(value: unknown, count: number): BatchAnswer["of"] | undefined {
  if (!isRecord(value) || !Array.isArray(value.of) || value.of.length !== count) return undefined;
  const answers: (0 | 2 | 3 | FailedRun)[] = [];
  for (const each of value.of) {
    const answer = each === 2 || each === 3 ? each : readRunAnswer(each);
    if (answer === undefined || answer === 1) return undefined;
    answers.push(answer);
  }
  return answers;
}

/** Parses an answer; `undefined`: invalid. */
export function readRunAnswer(value: unknown): RunAnswer | undefined {
  if (value === 0 || value === 1) return value;
  if (!Array.isArray(value) || value.length < 3 || value.length > 5) return undefined;
  const [code, message, final, cause, outage] = value;
  if (typeof code !== "string" || code === "" || typeof message !== "string") return undefined;
  if (final !== 0 && final !== 1 && final !== 2 && final !== 3) return undefined;
  if (value.length === 5 && !(isPositive(outage) && (cause === null || typeof cause === "string"))) return undefined;
  const known = [code.slice(0, MAX_ANSWER_CODE), message.slice(0, MAX_ANSWER_MESSAGE), final] as const;
  const why = typeof cause === "string" ? cause.slice(0, MAX_CAUSE) : undefined;
  if (value.length === 5) return [...known, why ?? null, outage];
  return why === undefined ? known : [...known, why];
}

/** Parses a barrier and returns its token; `undefined`: invalid. */
export function readBarrier(value: unknown): number | undefined {
  if (!Array.isArray(value) || value.length !== 2 || value[0] !== "barrier") return undefined;
  return isPositive(value[1]) ? value[1] : undefined;
}

/** Parses a barrier's answer; `undefined`: invalid. */
export function readBarrierAnswer(value: unknown): BarrierAnswer | undefined {
  if (!isRecord(value)) return undefined;
  const { running, ended } = value;
  return areIds(running) && areIds(ended) ? { running, ended } : undefined;
}

function areIds(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((id) => typeof id === "string" && readMessageId(id) !== undefined);
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

/** Maximum length of a message id, in characters: 256 for ids given by users, and more that a schedule adds. */
const MAX_ID = 512;

/**
 * Outcome of an attempt. `done`: handled. `not run`: certainly not run. `busy`: not run, because the handler of an
 * earlier attempt goes on at the node with this id. `alone`: not run in a batch, and to be handed out alone. Else the
 * failure.
 */
export type RunOutcome = "done" | "not run" | "alone" | { readonly busy: string | undefined } | RunFailure;

/** A failed attempt. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  /** Text of the error that the handler threw. */
  readonly cause?: string | undefined;
  /** True if there must be no further attempt. */
  readonly final: boolean;
  /**
   * True if the input schema refused the message before a handler began: a node with another shape of the contract may
   * accept it.
   */
  readonly refused?: boolean;
  /**
   * True if the writer's shape does not count among those that refuse the message, whatever shape is stored with it.
   */
  readonly awaitsWriter?: boolean;
  /** Duration in ms up to which this outage of a service that the handler called does not count as an attempt. */
  readonly outage?: number | undefined;
  /** Id of the node where the message may still run. */
  readonly node: string | undefined;
}

/**
 * Turns the result of a run request into an outcome. Answers of nodes are not trusted: an invalid one counts as a
 * failure.
 */
export function outcomeOf(result: Result<unknown>): RunOutcome {
  if (result.ok) {
    const answer = readRunAnswer(result.value);
    if (answer === 0) return "done";
    if (answer === 1) return "not run"; // the node knows a later leader: the next commit shows if there is one
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

/** Returns the outcome of each message of a batch; `undefined`: all have the outcome of the result itself. */
export function outcomesOf(result: Result<unknown>, count: number): readonly RunOutcome[] | undefined {
  const answers = result.ok ? readBatchAnswer(result.value, count) : undefined;
  return answers?.map((answer) =>
    answer === 0 ? "done" : answer === 2 ? "not run" : answer === 3 ? "alone" : failureOf(answer)
  );
}

function failureOf([code, message, final, cause, outage]: FailedRun): RunFailure {
  const why = typeof cause === "string" ? { cause } : {};
  const refused = final < 2 ? {} : { refused: true, ...(final === 3 ? { awaitsWriter: true } : {}) };
  return {
    ...{ code, message, ...why, ...refused },
    ...(outage === undefined ? {} : { outage }),
    ...{ final: final > 0, node: undefined },
  };
}

/** Returns the outcome of a request that was not sent, such as one with an invalid key. */
export function outcomeOfError(error: unknown): RunOutcome {
  if (isCatgaError(error)) return outcomeOf({ ok: false, error });
  return { code: "INVALID_MESSAGE", message: String(error), final: false, node: undefined };
}

/** Error codes of messages that certainly did not run. */
const NOT_RUN: ReadonlySet<string> = new Set([
  "NO_HANDLER",
  "UNAVAILABLE",
  "OVERLOADED",
  "DRAINING",
  "DEADLOCK",
  "CLOSED",
]);

/**
 * Copies a payload that `JSON.parse` has made, so that changes by one handler do not reach another. Throws a
 * `RangeError` for one that is nested deeper than the stack.
 */
export function copyJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson);
  const copy: Record<string, unknown> = { ...value };
  // a member called __proto__ is an own property of the copy by now
  for (const key of Object.keys(copy)) copy[key] = copyJson(copy[key]);
  return copy;
}

/**
 * Request of a subscription's leader to a node that is to handle a message, and its answer: payload and result of the
 * internal command `runName(…)`; the outcome of a run, which follows from them; and barriers, payload and result of
 * `controlName(…)`.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { Result } from "../../contract/result.ts";
import { MAX_CAUSE } from "../../data/cause_text.ts";
import { isRecord } from "../../data/checks.ts";
import { isCatgaError } from "../../error.ts";
import { readMessageId } from "./commit.ts";
import { type LoggedMeta, whyNoMeta } from "./logged_message.ts";

/** The contract of an internal command. */
export function internalCommand(name: string): AnyContract {
  return Object.freeze({ kind: "command", name, options: Object.freeze({}) });
}

/** A message that is to be handled now, as an array, for speed. The category is in the contract's name. */
export type RunRequest = readonly [
  /** The leader's token: it grows with each takeover. */
  token: number,
  position: number,
  /** Number of the attempt, from 1. */
  attempt: number,
  id: string,
  key: string | null,
  payload: unknown,
  /** 1: the payload is a text with tags. */
  tagged: 0 | 1,
  /** When it was stored. */
  time: number,
  meta: LoggedMeta | null,
];

/** Messages that are to be handled together: those of one key follow each other in the log. */
export type BatchRequest = readonly ["batch", ...RunRequest[]];

/** The most messages of a batch. */
const MOST_OF_BATCH = 1_000;

/**
 * What became of each message of a batch that was handled, if not all of them are handled; `2`: it waits behind one of
 * its key that failed; `3`: it was not run, or its time was over, and it is to be handled alone. A batch whose handler
 * failed is answered as a single message is.
 */
export interface BatchAnswer {
  readonly of: readonly (0 | 2 | 3 | FailedRun)[];
}

/**
 * Outcome of it. `0`: handled, without failing. `1`: not run, because the node knows of a greater token. An array: its
 * handler failed; `final`: it is not to be tried again (`fail(…, { final: true })`, or a payload that the contract does
 * not take), and `2` as well: the input schema refused it, and no handler began; `3`: a run of a workflow that no
 * version which is there takes, unlike its writer's; `cause`: what it threw, for operators; `outage`: what it called
 * was out of reach, which is no attempt until it has lasted for so many ms.
 *
 * Besides, the command fails, naming the node: `TIMEOUT`, the handler did not end in its time, and may go on;
 * `OUTCOME_UNKNOWN`, the node stopped while it ran; `UNAVAILABLE` with the details {@link STILL_RUNNING}, the handler
 * of an earlier attempt goes on there, so that it was not run. Other failures are those of messages that did not run.
 */
export type RunAnswer = 0 | 1 | FailedRun;

/** The answer of a run that failed. */
export type FailedRun = readonly [
  code: string,
  message: string,
  final: 0 | 1 | 2 | 3,
  cause?: string | null,
  outage?: number,
];

/**
 * Details of the failure of a message that was not run because an earlier run of it goes on: the next attempt goes to
 * that node, too.
 */
export const STILL_RUNNING = "still running";

/** The most characters of an answer's message and code; longer ones are cut. */
export const MAX_ANSWER_MESSAGE = 4_096;
export const MAX_ANSWER_CODE = 128;

/** Asks a node to refuse runs of lower tokens from now on, and to list what runs. */
export type BarrierRequest = readonly ["barrier", token: number];

/**
 * Identities of messages that run at this node, and of those whose run has ended in the last seconds. Whoever asks for
 * one to be run that runs joins that run.
 */
export type BarrierAnswer = { readonly running: readonly string[]; readonly ended: readonly string[] };

/** The request that a payload is; a string that says what is wrong with it if it is none. */
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
  // each of its elements has been checked
  return value as unknown as RunRequest;
}

/**
 * The requests of a batch, in the order of the log; a string that says what is wrong with it if it is none;
 * `undefined`: it is no batch.
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

/** The answers of the messages of a batch; `undefined` if it is none. */
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

/** The answer that a result is; `undefined` if it is none. */
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

/** The token of a barrier; `undefined` for what is none. */
export function readBarrier(value: unknown): number | undefined {
  if (!Array.isArray(value) || value.length !== 2 || value[0] !== "barrier") return undefined;
  return isPositive(value[1]) ? value[1] : undefined;
}

/** A barrier's answer; `undefined` for what is none. */
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

/** Characters: what users may give (256), and what a schedule adds. */
const MAX_ID = 512;

/**
 * The outcome of an attempt: handled; certainly not run, and, when the handler of an earlier attempt goes on there, the
 * id of that node; not run in a batch, and to be handed out alone; or failed.
 */
export type RunOutcome = "done" | "not run" | "alone" | { readonly busy: string | undefined } | RunFailure;

/** A failed attempt. */
export interface RunFailure {
  readonly code: string;
  readonly message: string;
  /** Error that the handler threw. */
  readonly cause?: string | undefined;
  /** It is not to be tried again. */
  readonly final: boolean;
  /** The input schema refused it, and no handler began: a node with another shape of the contract may take it. */
  readonly refused?: boolean;
  /** Its writer's shape is not among those that refuse it, whatever shape is stored with it. */
  readonly awaitsWriter?: boolean;
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
    if (answer === 1) return "not run"; // it knows a later leader: the next commit shows whether there is one
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
  const refused = final < 2 ? {} : { refused: true, ...(final === 3 ? { awaitsWriter: true } : {}) };
  return {
    ...{ code, message, ...why, ...refused },
    ...(outage === undefined ? {} : { outage }),
    ...{ final: final > 0, node: undefined },
  };
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

/**
 * A copy of a payload that `JSON.parse` has made, so that what one handler changes in its own reaches no other. Throws
 * a `RangeError` for one that is nested deeper than the stack.
 */
export function copyJson(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyJson);
  const copy: Record<string, unknown> = { ...value };
  // a member called __proto__ is the copy's own by now
  for (const key of Object.keys(copy)) copy[key] = copyJson(copy[key]);
  return copy;
}

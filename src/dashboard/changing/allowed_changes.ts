/**
 * The changes that the dashboard can make: none without `--allow-changes` (`server.ts` refuses all); with this flag,
 * users of the page can pause and resume subscriptions and crons, cancel scheduled messages, replay, edit and discard
 * dead letters, retry and cancel runs of workflows, and skip their steps. A request is validated as a whole before it
 * is carried out.
 */
import { RUN_STATUS, type RunInfo } from "../../contract/calls/flow.ts";
import { isRecord } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import { isCatgaError } from "../../error.ts";
import type { Administration } from "../../log/administration/administration.ts";
import { randomUUID } from "node:crypto";
import { changeEach } from "../../operate/change_each.ts";
import { changeSchedule } from "../../operate/stored_schedules.ts";
import { editLetter, type Letters } from "./letter_edit.ts";
import { changed, settleLetters } from "./letter_settling.ts";
import { matchingRuns, stepsOf } from "../collecting/run_views.ts";
import { shownText } from "../shown.ts";
import type {
  ChangeAnswer,
  ChangeRequest,
  LetterFilter,
  PauseRequest,
  RunChangeRequest,
  RunsRequest,
  ScheduleRequest,
} from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";

/** Parses the body of a request for a change. Returns a string that says what is wrong if it is invalid. */
export function readChange(body: string): ChangeRequest | string {
  const value = parsedJson(body);
  if (value === undefined) return "the body is not JSON";
  if (!isRecord(value)) return "the body is not an object";
  const { do: what, letters, matching, contract, id } = value;
  if (what === "cancel" || what === "pause schedule" || what === "resume schedule") {
    if (!isText(contract) || !isText(id)) return `${what} takes contract and id, texts`;
    if (what !== "pause schedule") return { do: what, contract, id };
    const { reason } = value;
    return isReason(reason) ? { do: what, contract, id, reason } : NO_REASON(what);
  }
  if (what === "pause" || what === "resume") return readPause(what, value);
  if (what === "edit") {
    const { letter, payload, tagged } = value;
    return isText(letter) && isText(payload) && typeof tagged === "boolean"
      ? { do: what, letter, payload, tagged }
      : "edit takes letter and payload, texts, and whether it is tagged";
  }
  if (what === "retry runs" || what === "cancel runs") return readRunsChange(what, value);
  if (what === "retry run" || what === "skip step" || what === "cancel run") return readRunChange(what, value);
  if (what !== "replay" && what !== "discard") {
    return "do is pause, resume, replay, discard, edit, cancel, pause schedule, resume schedule, retry run, skip step, " +
      "cancel run, retry runs or cancel runs";
  }
  if ((letters === undefined) === (matching === undefined)) return "give one of letters and matching";
  if (matching !== undefined) {
    return isFilter(matching)
      ? { do: what, matching }
      : "matching has service, subscription, contract, code and group, texts";
  }
  if (!Array.isArray(letters) || letters.length === 0 || letters.length > MAX_LETTERS || !letters.every(isText)) {
    return `letters are 1 to ${MAX_LETTERS} places, texts`;
  }
  return { do: what, letters };
}

function readPause(
  what: PauseRequest["do"],
  { service, subscription, reason }: Readonly<Record<string, unknown>>,
): PauseRequest | string {
  if (!isText(service) || !isText(subscription)) return `${what} takes service and subscription, texts`;
  if (what === "resume") return { do: what, service, subscription };
  return isReason(reason) ? { do: what, service, subscription, reason } : NO_REASON(what);
}

function readRunChange(
  what: RunChangeRequest["do"],
  given: Readonly<Record<string, unknown>>,
): RunChangeRequest | string {
  const { workflow, id, reason, step, value } = given;
  if (!isText(workflow) || !isText(id)) return "a run has workflow and id, texts";
  if (what === "retry run") return { do: what, workflow, id };
  if (!isReason(reason)) return NO_REASON(what);
  if (what === "cancel run") return { do: what, workflow, id, reason };
  return isText(step) ? { do: what, workflow, id, reason, step, value } : "skip step takes a step, a text";
}

function readRunsChange(what: RunsRequest["do"], { matching, reason }: Readonly<Record<string, unknown>>) {
  const { status, workflow = "", cause = "", ...more } = isRecord(matching) ? matching : {};
  const found = OPEN.find((each) => each === status);
  if (found === undefined || !isText(workflow) || !isText(cause) || Object.keys(more).length > 0) {
    return `matching has status, one of ${OPEN.join(", ")}, and may have workflow and cause, texts`;
  }
  const request = { matching: { status: found, workflow, cause } };
  if (what === "retry runs") return { do: what, ...request };
  return isReason(reason) ? { do: what, ...request, reason } : NO_REASON(what);
}

function isReason(reason: unknown): reason is string {
  return isText(reason) && reason.trim() !== "" && reason.length <= MAX_REASON;
}

const NO_REASON = (what: string) => `${what} takes a reason, a text of 1 to ${MAX_REASON} characters`;
/** Statuses of workflow runs that have not ended; a run that is `unreadable` may have. */
const OPEN = RUN_STATUS.filter((status) => status !== "done" && status !== "failed" && status !== "unreadable");
/** Maximum length of a reason given by a user, in characters. */
const MAX_REASON = 400;
/** Maximum number of dead letters in one request. */
const MAX_LETTERS = 1_000;
const FILTERS: readonly string[] = ["service", "subscription", "contract", "code", "group"];

function isFilter(value: unknown): value is LetterFilter {
  return isRecord(value) &&
    Object.entries(value).every(([name, text]) => FILTERS.includes(name) && typeof text === "string");
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

/** The operations by which the page pauses and resumes subscriptions. */
type PausingSubscriptions = Pick<Administration, "pause" | "resume">;

/** Carries out a change. Errors of single messages are in the answer; rejects with all other errors. */
export function carryOut(
  source: DashboardSource,
  administration: Letters & PausingSubscriptions,
  request: ChangeRequest,
): Promise<ChangeAnswer> {
  if (isOfSchedule(request)) return answerOf(onSchedule(source, request));
  if (request.do === "edit") return answerOf(editLetter(administration, request));
  if ("subscription" in request) return answerOf(pauseOrResume(administration, request));
  if (isOfRuns(request)) return changeRuns(source, request);
  if ("workflow" in request) return answerOf(actOnRun(source, request));
  return settleLetters(administration, request);
}

/**
 * Returns the answer to a change of one thing. `change`: resolves with the reason why the change was refused, or
 * `undefined`.
 */
async function answerOf(change: Promise<string | undefined>): Promise<ChangeAnswer> {
  const refusal = await change.catch((error) => {
    if (!isCatgaError(error)) throw error;
    return `${error.code}: ${error.message}`;
  });
  return refusal === undefined
    ? { done: 1, failed: 0, error: undefined }
    : { done: 0, failed: 1, error: shownText(refusal, 400) };
}

async function pauseOrResume(
  administration: PausingSubscriptions,
  { do: what, service, subscription, reason }: PauseRequest,
): Promise<string | undefined> {
  try {
    if (what === "pause") await administration.pause(service, subscription, { reason });
    else await administration.resume(service, subscription);
    return undefined;
  } catch (error) {
    if (error instanceof TypeError) return error.message; // it was removed meanwhile
    throw error;
  }
}

async function actOnRun(source: DashboardSource, request: RunChangeRequest): Promise<string | undefined> {
  const { do: what, workflow, id, reason = "", step, value } = request;
  if (what === "cancel run") {
    await source.cancelRun(workflow, id, reason);
    return undefined;
  }
  for await (const run of source.runs({ workflow, id })) {
    if (what === "retry run") await run.retry();
    else {
      const [, name] = stepsOf(run).find(([shown]) => shown === step) ?? [];
      if (name === undefined) return `the run neither does nor waits for the step ${step} now`;
      await run.skip(name, value, reason);
    }
    return undefined;
  }
  return `workflow ${workflow} has no run ${id}`;
}

function isOfRuns(request: ChangeRequest): request is RunsRequest {
  return request.do === "retry runs" || request.do === "cancel runs";
}

/** Changes each workflow run that matches. Errors of single runs are in the answer; rejects with all other errors. */
async function changeRuns(
  source: DashboardSource,
  { do: what, matching, reason = "" }: RunsRequest,
): Promise<ChangeAnswer> {
  const change = (run: RunInfo) => what === "retry runs" ? run.retry() : source.cancelRun(run.workflow, run.id, reason);
  return await changed(changeEach(matchingRuns(source, matching), change));
}

function isOfSchedule(request: ChangeRequest): request is ScheduleRequest {
  return request.do === "cancel" || request.do === "pause schedule" || request.do === "resume schedule";
}

/** Cancels a message scheduled for later, or a schedule that repeats; pauses or resumes one that repeats. */
async function onSchedule(
  source: DashboardSource,
  { do: what, contract, id, reason }: ScheduleRequest,
): Promise<string | undefined> {
  const change = what === "cancel" ? what : what === "pause schedule" ? "pause" : "resume";
  return await changeSchedule({ what: change, contract, id, reason }, {
    ...{ namespace: source.namespace, clock: source.transport.clock, stream: await source.stream("log") },
    mark: `dashboard-${randomUUID()}`,
    timeout: CANCEL,
  });
}

const CANCEL = 10_000; // ms

/**
 * Checks the arguments of a program's calls about runs. An invalid argument throws a `TypeError` before anything is
 * done.
 */
import { describe } from "../../contract/declaration/definition.ts";
import { checkScheduleTimes } from "../../contract/calls/durable_messages.ts";
import type { AnyQuestion, AnyWorkflow, StartOptions } from "../../contract/calls/flow.ts";
import type { WorkflowDefinition } from "../../contract/declaration/workflow_body.ts";
import { checkKnown, checkStrings, show } from "../../data/checks.ts";

/**
 * Returns the definition of a workflow. Throws a `TypeError` if the argument is not a workflow. `method`: the method
 * that was called.
 */
export function definitionOf(method: string, workflow: AnyWorkflow): WorkflowDefinition {
  const definition = (workflow as { readonly "~workflow"?: WorkflowDefinition })?.["~workflow"];
  if (workflow?.kind === "workflow" && definition !== undefined) return definition;
  const got = describe(workflow as never);
  throw new TypeError(`${method}: the first argument must be what workflow(…) gives; got ${got}`);
}

export function checkStartOptions(at: string, options: StartOptions, { id: made }: WorkflowDefinition): void {
  checkKnown(at, options, START_OPTIONS, NOT_OF_START);
  const { id, at: when, cron, headers, tags } = options;
  if (id !== undefined) checkRun(`${at}: id`, id);
  if (headers !== undefined) checkStrings(`${at}: headers`, headers);
  if (tags !== undefined) checkTags(at, tags);
  checkScheduleTimes(at, options);
  if ("tell" in options && (cron ?? when) !== undefined) {
    throw new TypeError(`${at}: tell is of a start at once: at its time, a later one tells nothing`);
  }
  if (cron !== undefined && when !== undefined) throw new TypeError(`${at}: give one of at and cron`);
  if (cron !== undefined && (id ?? made) === undefined) {
    throw new TypeError(`${at}: a cron needs an id, which is its name`);
  }
}

function checkTags(at: string, tags: readonly string[]): void {
  const isTag = (tag: unknown) => typeof tag === "string" && tag !== "" && tag.length <= MAX_TAG && tag.isWellFormed();
  if (Array.isArray(tags) && tags.length > 0 && tags.length <= MAX_TAGS && tags.every(isTag)) return;
  throw new TypeError(`${at}: tags are 1 to ${MAX_TAGS} texts of 1 to ${MAX_TAG} characters; got ${show(tags)}`);
}

/** Checks the id of a run that is to be started, or of a signal. Throws a `TypeError` if it is invalid. */
export function checkRun(at: string, id: string, most = MAX_RUN): void {
  if (typeof id === "string" && id !== "" && id.length <= most && id.isWellFormed()) return;
  throw new TypeError(`${at} must be a well-formed string of 1 to ${most} characters; got ${show(id)}`);
}

/**
 * Checks the id of an existing run. It may be longer than an id that a program gives, because a child run has the id of
 * its step. Throws a `TypeError` if it is invalid, which begins with `at`.
 */
export function checkExistingRun(at: string, id: string): void {
  checkRun(at, id, MAX_CHILD);
}

/** Checks that an argument is a question. Throws a `TypeError`. */
export function checkQuestion(method: string, question: AnyQuestion): void {
  if (question?.["~question"] !== undefined && typeof question.workflow === "string") return;
  throw new TypeError(`${method} takes what the question(…) of a workflow gives; got ${describe(question as never)}`);
}

const START_OPTIONS = new Set(["id", "at", "cron", "zone", "headers", "tags", "tell"]);
const NOT_OF_START = new Map([["delay", "is of a message: give at, the Date at which the run starts"]]);
const MAX_TAGS = 10;
const MAX_TAG = 64;
const MAX_RUN = 128;
const MAX_CHILD = 256;

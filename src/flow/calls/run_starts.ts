/**
 * Starts of runs: by a program, at once or at a time; by a schedule that has fired; and by a step of another run. A
 * start is the first stored message of the run. The node that stores it executes the run if it handles the workflow.
 */
import type { RecordedStart } from "../../contract/nodes/attached_store.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Context } from "../../contract/calls/context.ts";
import type { AnySignal, AnyWorkflow, StartAndTell, StartOptions, TellOptions } from "../../contract/calls/flow.ts";
import { fail, type Failure, type Result } from "../../contract/calls/result.ts";
import type { MessageHeaders, RunSpan } from "../../contract/declaration/behavior.ts";
import type { RunDue, WorkflowDefinition } from "../../contract/declaration/workflow_body.ts";
import { disown, isStringArray, isStrings, show } from "../../data/checks.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { fingerprint } from "../../data/value_text.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { NO_HEADERS, withCarried } from "../../dispatch/carried_headers.ts";
import { noHandlerHere } from "../../dispatch/outcome.ts";
import type { Schedule } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import { token } from "../../ports/clock.ts";
import type { DrivenRuns } from "../driving/driven_runs.ts";
import { Journal } from "../stored/journal.ts";
import type { CalledEntry, Parent, Started } from "../stored/journal_entry.ts";
import { isUnstored, readable, recorded } from "../stored/recorded_error.ts";
import { failed, failedWith, inTime, notStarted } from "./run_answers.ts";
import { checkRun, checkStartOptions, definitionOf } from "./run_arguments.ts";
import type { RunRef } from "../stored/run_ref.ts";
import { checkSignal, type RunNotices } from "./run_notices.ts";
import type { RunSchedules } from "../driving/run_schedules.ts";
import type { RunVersions } from "../driving/run_versions.ts";
import type { RunsNode } from "../runs_node.ts";
import { refusedInTime } from "../execution/schema_in_time.ts";

/** The options of a workflow that the start of a run records. */
type StartedDefinition = RecordedStart["definition"];

/** Further data that a start gives a run, besides the input: shape of the workflow, parent run, and headers. */
interface StartHow {
  readonly shape?: string | undefined;
  readonly parent?: Parent;
  readonly headers?: MessageHeaders | undefined;
  readonly tags?: readonly string[] | undefined;
  /** A signal that is stored together with the start. */
  readonly told?: ((by: string) => CalledEntry) | undefined;
}

/** Starts runs. */
export class RunStarts {
  readonly #node: RunsNode;
  readonly #drives: DrivenRuns;
  readonly #versions: RunVersions;
  readonly #schedules: RunSchedules;
  readonly #notices: RunNotices;

  constructor(
    node: RunsNode,
    { drives, versions, schedules, notices }: {
      readonly drives: DrivenRuns;
      readonly versions: RunVersions;
      readonly schedules: RunSchedules;
      readonly notices: RunNotices;
    },
  ) {
    this.#node = node;
    this.#drives = drives;
    this.#versions = versions;
    this.#schedules = schedules;
    this.#notices = notices;
  }

  /** Starts a run for a program; implements {@link RunSender.start}. */
  async start(
    workflow: AnyWorkflow,
    input: unknown,
    options: StartOptions & Partial<StartAndTell<never>> = {},
    parent?: Context,
  ): Promise<Result<string, never>> {
    const definition = definitionOf("start", workflow);
    const { name } = definition;
    const what = `start ${name}`;
    checkStartOptions(what, options, definition);
    checkTell(what, options, name);
    const { tracer, node, carried } = this.#node.app;
    const { headers: own } = options;
    const headers = withCarried(carried, parent?.headers ?? NO_HEADERS, own);
    const span = tracer?.start({ node, workflow: name, headers, own, ctx: parent });
    const all = { ...options, headers: span?.headers ?? headers };
    const started = await inTime(this.#node, what, this.#asAsked(what, definition, input, all));
    span?.end(started);
    return started;
  }

  /** Starts a run now, or stores a schedule that starts it. */
  async #asAsked(
    what: string,
    definition: WorkflowDefinition,
    input: unknown,
    { id, at, cron, zone, headers, tags, tell }: StartOptions & Partial<StartAndTell<never>>,
  ): Promise<Result<string, never>> {
    const { app, clock, log } = this.#node;
    const unhandled = this.#unhandled(definition);
    if (unhandled !== undefined) return unhandled;
    const refused = await this.#refusedInput(definition, input, "UNAVAILABLE");
    if (refused !== undefined) return refused;
    let text: string;
    let run = id;
    try {
      text = input === undefined ? "" : encodeValue(input, "input");
      run ??= definition.id === undefined ? token(app.random, 16) : idOf(definition.id, input);
      checkRun(`${what}: the id that its contract makes of the input`, run);
      if (cron !== undefined) checkRun(`${what}: the id of a run of this cron`, `${run}@${Math.floor(clock.now())}`);
    } catch (cause) {
      disown(run);
      return notStarted(definition.name, cause);
    }
    const told = tell === undefined ? undefined : await this.#notices.signalEntry(...tell);
    if (told?.ok === false) return told;
    const tooLarge = this.#tooLarge(text, { headers, tags, told: told?.value });
    if (tooLarge !== undefined) {
      return failed("TOO_LARGE", `workflow ${definition.name} was not started: ${tooLarge}`);
    }
    const later = at !== undefined && at.getTime() > app.clock.now() ? at : undefined;
    const ref = { workflow: definition.name, run };
    const how = { ...this.#versions.ofStart(definition), headers, tags, told: told?.value };
    if (cron !== undefined) return await this.#schedule(ref, text, { cron, zone }, how);
    if (later !== undefined) {
      let known: Started | undefined;
      try {
        known = await log.patient(() => log.start(ref), this.#node.callerTime());
      } catch (error) {
        return notStored(ref, error);
      }
      if (known === undefined) return await this.#schedule(ref, text, { at: later }, how);
    }
    // the input is decoded from its text, because other nodes and later executions read it in this form
    return await this.#start(definition, run, text === "" ? undefined : decodeText(text), how);
  }

  /**
   * Returns why a start does not fit into one message of the store; `undefined`: it does. `input`: as text.
   */
  #tooLarge(
    input: string,
    { headers, tags, told }: Pick<StartHow, "headers" | "tags"> & {
      readonly told: ((by: string) => unknown) | undefined;
    },
  ): string | undefined {
    const { log: { mostBytes }, endpoint } = this.#node;
    if (exceeds(input, mostBytes)) return "its input is too large: store it elsewhere, and start with a reference";
    const parts: readonly (readonly [value: unknown, why: string])[] = [
      [headers, "its headers are too large"],
      [tags, "its tags are too large beside its input and its headers"],
      [told?.(endpoint), "the signal that it tells is too large beside its input: start first, and tell then"],
    ];
    let size = byteLength(input);
    for (const [value, why] of parts) {
      if (value !== undefined) size += byteLength(encodeValue(value, "start"));
      if (size > mostBytes) return why;
    }
    return undefined;
  }

  /** Stores a schedule that starts a run. `start`: the input of the run, as text. */
  async #schedule(
    { workflow, run }: RunRef,
    start: string,
    when: Extract<Schedule, { readonly at: Date } | { readonly cron: string }>,
    { shape, headers, tags }: StartHow,
  ): Promise<Result<string, never>> {
    const due: RunDue = {
      ...{ run, step: "", start },
      ...("at" in when ? { at: when.at.getTime() } : { at: 0, cron: true }),
      ...(headers === undefined ? {} : { headers }),
      ...(shape === undefined ? {} : { shape }),
      ...(tags === undefined ? {} : { tags }),
    };
    const stored = await this.#schedules.startAt(workflow, due, when);
    if (stored.ok) return { ok: true, value: run };
    const { code, message, retryable, details } = stored.error as CatgaError;
    const told = `workflow ${workflow} was not started: ${message}`;
    return { ok: false, error: new CatgaError(code, told, { retryable, details, cause: stored.error }) as never };
  }

  /**
   * Starts a run whose schedule has fired. Rejects with a `CatgaError` if the start has to be tried again. Resolves
   * with a final failure if that would not help, as when another start has taken the id: the caller was told that the
   * start is stored, so its message becomes a dead letter, which an operator can replay.
   */
  async startDue(
    definition: WorkflowDefinition,
    run: string,
    { start, shape, headers, tags }: RunDue,
  ): Promise<Failure | undefined> {
    const how = {
      ...{ shape, headers: isStrings(headers) ? headers : undefined },
      tags: isStringArray(tags) ? tags : undefined,
    };
    const input = start === "" || start === undefined ? undefined : decodeText(start);
    const started = await this.#start(definition, run, input, how);
    if (started.ok) return undefined;
    const { error } = started as Failure; // a failed result
    if (isUnstored(error)) throw error;
    const message = `run ${run} of ${definition.name} was not started at its time: ${error.message}`;
    return fail(error.code, message, { final: true });
  }

  /** Starts a run whose start an outbox has recorded; implements {@link NodeRuns.startRecorded}. */
  async startRecorded(
    { definition, run, input, shape, headers, tags }: RecordedStart,
  ): Promise<Result<string, never>> {
    const unhandled = this.#unhandled(definition);
    if (unhandled !== undefined) return unhandled;
    const given = input === "" ? undefined : decodeText(input);
    const started = this.#start(definition, run, given, { shape, headers, tags });
    return await inTime(this.#node, `start ${definition.name}`, started);
  }

  /** Starts a run as a step of another run; implements {@link DriveHost.startChild}. */
  async startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: Required<Parent>,
    headers: MessageHeaders | undefined,
  ): Promise<Result<string>> {
    const definition = definitionOf("flow.send", contract as unknown as AnyWorkflow);
    const unhandled = this.#unhandled(definition);
    if (unhandled !== undefined) return unhandled;
    const refused = await this.#refusedInput(definition, input, "INVALID_MESSAGE");
    if (refused !== undefined) return refused;
    let given: unknown;
    try {
      given = input === undefined ? undefined : decodeText(encodeValue(input, "input"));
    } catch (cause) {
      return notStarted(definition.name, cause);
    }
    return await this.#start(definition, id, given, { ...this.#versions.ofStart(definition), parent, headers });
  }

  /**
   * Returns the failure of a start of a workflow that no node can execute: this node does not handle it, and without a
   * network there is no other node.
   */
  #unhandled({ name }: Pick<WorkflowDefinition, "name">): Result<never, never> | undefined {
    const { app: { transport }, bodies } = this.#node;
    if (transport !== undefined || bodies.has(name)) return undefined;
    return failedWith(noHandlerHere({ kind: "workflow", name }).error);
  }

  async #refusedInput(
    { input: schema, name }: WorkflowDefinition,
    input: unknown,
    late: "UNAVAILABLE" | "INVALID_MESSAGE",
  ): Promise<Result<never, never> | undefined> {
    if (schema === undefined) return undefined;
    return await refusedInTime(this.#node, `workflow ${name} was not started`, { name, schema }, input, late);
  }

  /** Stores the start of a run, within the span of the run. */
  async #start(
    definition: StartedDefinition,
    run: string,
    input: unknown,
    how: StartHow,
  ): Promise<Result<string, never>> {
    const { tracer, node } = this.#node.app;
    const { headers, parent } = how;
    const span = tracer?.run({ node, workflow: definition.name, run, headers, isChild: parent !== undefined });
    const traced = span === undefined ? how : { ...how, headers: span.headers };
    return await this.#store(definition, run, input, traced, span);
  }

  /**
   * Stores the start of a run. `span`: the span of the run; `span.stored` is called if this call has stored the start.
   */
  async #store(
    definition: StartedDefinition,
    run: string,
    input: unknown,
    how: StartHow,
    span: RunSpan | undefined,
  ): Promise<Result<string, never>> {
    const { log, clock, endpoint, bodies } = this.#node;
    const workflow = definition.name;
    const ref = { workflow, run };
    const body = bodies.get(workflow);
    const holder = body === undefined || this.#drives.drives(ref) ? "" : endpoint;
    const { told } = how;
    try {
      const entries = [startEntry(definition, input, holder, how), ...told === undefined ? [] : [await told(holder)]];
      const message = log.messages.of(ref, entries, { version: 0, holder });
      const journal = new Journal();
      const appending = log.begin(ref, message, journal, this.#node.callerTime());
      if (body !== undefined && holder !== "") {
        // this node begins to hold the run before the start is stored, so that a call for the run that comes before the
        // start is stored waits for it
        const { mark } = message;
        const first = appending.then(
          (sequence) => sequence === "conflict" ? undefined : { sequence, time: clock.now(), holder, entries, mark },
          () => undefined,
        );
        this.#drives.start(body, ref, first, journal);
      }
      if (await appending !== "conflict") {
        span?.stored();
        return { ok: true, value: run };
      }
      if (!await this.#isSame(ref, input)) {
        return failed("ID_REUSED", `run ${run} of ${workflow} was started with another input`);
      }
      // the end of a child that has already ended is reported again: the first report may have gone to a previous run
      // that had the id of this parent
      const { parent } = how;
      const outcome = parent && await log.outcome(ref);
      if (typeof outcome === "object") {
        await this.#notices.appendChildEnd(parent!, ref, outcome, this.#node.callerTime());
      }
      if (told === undefined) return { ok: true, value: run };
      const stored = await this.#notices.tell(ref, told);
      return stored.ok ? { ok: true, value: run } : stored;
    } catch (error) {
      return notStored(ref, error);
    }
  }

  /** Returns true if the stored run was started with this input. */
  async #isSame(ref: RunRef, input: unknown): Promise<boolean> {
    const { log } = this.#node;
    const started = await log.start(ref);
    if (started === undefined) return false;
    if ((started.origin ?? fingerprint(started.input)) === fingerprint(input)) return true;
    // a run that its parent cancelled before its start has no input: it counts as started with any input
    return (await log.first(ref))?.entries[1]?.t === "ended";
  }
}

/** Checks the signal that is stored together with a start. Throws a `TypeError` if it is invalid. */
function checkTell(at: string, { tell }: Partial<StartAndTell<never>>, workflow: string): void {
  if (tell === undefined) return;
  if (!Array.isArray(tell)) {
    throw new TypeError(`${at}: tell must be a list [signal, payload, options]; got ${show(tell)}`);
  }
  const [signal, , options = {}] = tell as readonly [AnySignal, unknown, TellOptions | undefined];
  checkSignal(signal, options);
  if (signal.workflow === workflow) return;
  throw new TypeError(`${at}: tell takes a signal of ${workflow}; ${signal.name} is one of ${signal.workflow}`);
}

/** Makes the failure of a start from an error of the store. */
function notStored({ workflow, run }: RunRef, cause: unknown): Result<never, never> {
  const { code, message, retryable, details } = failedWith(cause).error!; // a failed result has an error
  const outcome = code === "OUTCOME_UNKNOWN"
    ? `run ${run} of ${workflow} may have been started`
    : `workflow ${workflow} was not started`;
  return { ok: false, error: new CatgaError(code, `${outcome}: ${message}`, { retryable, details, cause }) as never };
}

/** Calls the function of a workflow that makes the id of a run. If it throws, throws an error that names it. */
function idOf(make: (input: never) => string, input: unknown): string {
  try {
    return make(input as never);
  } catch (cause) {
    throw new Error(`the id function threw: ${recorded(readable(cause)).message}`, { cause });
  }
}

/** Makes the first entry of a run, which records its start. */
function startEntry(
  { version, keep, timeout, redact }: StartedDefinition,
  input: unknown,
  holder: string,
  { shape, parent, headers, tags }: StartHow,
): CalledEntry & Started {
  return {
    ...{ t: "started", version, keep, by: holder },
    ...(input === undefined ? {} : { input }),
    ...(timeout === undefined ? {} : { timeout }),
    ...(parent === undefined ? {} : { parent }),
    ...(shape === undefined ? {} : { shape }),
    ...(headers === undefined ? {} : { headers }),
    ...(redact === undefined ? {} : { redact }),
    ...(tags === undefined ? {} : { tags }),
  };
}

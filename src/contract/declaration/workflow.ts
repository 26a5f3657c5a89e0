/**
 * Workflows: functions that survive the death of their process. This file has the declarations that programs use; the
 * folder `flow/`, loaded when a node handles or starts a workflow, stores, executes and resumes runs.
 */
import { checkFunction, checkInteger, checkKnown, checkNumber, isRecord, isToken, show } from "../../data/checks.ts";
import type { AnyCode } from "../../error.ts";
import type { Context } from "../calls/context.ts";
import { BEGUN, CALLED, DUE, JOIN, RUN } from "./contract.ts";
import { checkFailures, frozenMeta } from "./contract_options.ts";
import { frozenPaths } from "./redaction.ts";
import { KEEP } from "./defaults.ts";
import type { DurableEvent, EmittedEvent } from "./definition.ts";
import { type Command, entityEvent, eventContract, frozenContract, requestContract } from "./definition.ts";
import type { Flow, Question, Signal, WorkflowContract } from "../calls/flow.ts";
import type { Handler } from "./handler.ts";
import type { ContractMeta } from "./program_types.ts";
import type { RunContext, RunDue, RunJoin, RunJoined, WorkflowBody, WorkflowDefinition } from "./workflow_body.ts";
import type { Failure } from "../calls/result.ts";
import { checkSchema, type MaybePromise, type Schema } from "../schemas/schema.ts";
import type { SendableName } from "../calls/sendable.ts";

/** Options of {@link workflow}, which defines a workflow. */
export interface WorkflowOptions<In, Payload = In, Out = unknown, F extends string = AnyCode, Returned = Out> {
  /**
   * Checks the input when a run is started (`INVALID_MESSAGE`), and parses it each time the handler is executed.
   * Default: none.
   */
  input?: Schema<In, Payload> | undefined;
  /**
   * Checks and parses the handler's return value; the parsed value is recorded. If the schema refuses the value, the
   * run is stuck (it waits for an operator) with `INVALID_RESPONSE`. Default: none.
   */
  output?: Schema<Returned, Out> | undefined;
  /**
   * The codes that the handler may fail with, for workflows whose types come from schemas. A run that fails with
   * another code fails with `INVALID_RESPONSE` instead; Catga's own codes may always be passed on. Default: any code.
   */
  failures?: readonly F[] | undefined;
  /**
   * Makes the id of the run, 1 to 128 characters, from the input. Starting the same id with another input fails with
   * `ID_REUSED`. Default: the `id` of `start`, else a generated id.
   */
  id?: ((input: NoInfer<In>) => string) | undefined;
  /**
   * Time limit of a run from its start, waiting included, in ms: 1 to ten years; then the run is cancelled with
   * `TIMEOUT`. Default: no limit.
   */
  timeout?: number | undefined;
  /**
   * How long a run is kept after its end, in ms: 60,000 to ten years. Then its id can be used again. Default: 7 days.
   */
  keep?: number | undefined;
  /**
   * Version of the handler. Raise it once all nodes have a new handler that must treat runs of the old handler in the
   * old way: `flow.version` tells the handler the version at the run's start. Default: 1.
   */
  version?: number | undefined;
  /** Metadata of the workflow, for the program's HTTP edge: a plain object, which is frozen. Default: none. */
  meta?: ContractMeta | undefined;
  /**
   * Paths of members that tools hide in all recorded values of a run: its input, the values of its steps and signals,
   * its result. Up to 32 paths, each of up to 256 characters; they are stored with the run's start. Default: none.
   */
  redact?: readonly string[] | undefined;
}

/** A workflow (a function of steps that survives its process), made by {@link workflow}. */
export interface Workflow<
  In = void,
  Out = void,
  F extends string = AnyCode,
  Payload = In,
  Returned = Out,
  View = string,
> extends WorkflowContract<In, Out, F, View> {
  /** Internal: the workflow's options, with their defaults. */
  readonly "~workflow": WorkflowDefinition;
  /** Defines a signal, which a run can wait for. The signal's name has 1 to 64 letters, digits, `-` and `_`. */
  signal<T = void, Parsed = T>(name: SendableName<T>, options?: SignalOptions<T, Parsed>): Signal<T, Parsed>;
  /**
   * Defines a question, which a run can answer: `In` and `Out` are the types of the question and its answer, `F` the
   * codes that the answer may fail with. The question's name has 1 to 64 letters, digits, `-` and `_`.
   */
  question<In = void, Out = void, F extends string = AnyCode, Payload = In, Answer = Out>(
    name: SendableName<In, Out>,
    options?: QuestionOptions<In, Out, F, Payload, Answer>,
  ): Question<In, Out, F, Payload, Answer>;
  /**
   * Returns this workflow with the type of what its runs show: `flow.show(…)`. Call it where the workflow is declared.
   *
   * @example
   * ```ts
   * import { catga, unwrap, workflow } from "@catga/catga";
   *
   * const Order = workflow<{ parcels: number }>("Order").view<{ state: "packing" | "sent"; parcels: number }>();
   * const order = Order.handle(async (flow, { parcels }) => {
   *   flow.show({ state: "packing", parcels });
   *   await flow.step("pack", () => {});
   *   flow.show({ state: "sent", parcels });
   * });
   * await using app = await catga({ handlers: order });
   * const run = unwrap(await app.start(Order, { parcels: 2 }));
   * unwrap(await app.result(Order, run));
   * console.log(unwrap(await app.view(Order, run))); // { state: "sent", parcels: 2 }
   * ```
   */
  view<State>(): Workflow<In, Out, F, Payload, Returned, State>;
  /**
   * Makes the workflow's handler from `fn`. After each wait, and after each death of its process, `fn` is executed from
   * its top again, where finished steps only return their recorded values: outside of steps it must have no effects.
   * Its return value ends the run. After a failure, returned or thrown, the `undo` of each finished step runs, the
   * latest first; after another error the handler is tried again.
   */
  handle(fn: (flow: Flow<View, In>, input: Payload) => MaybePromise<Returned | Failure<NoInfer<F>>>): Handler;
}

/** Options of a workflow's signal. */
export interface SignalOptions<T, Parsed = T> {
  /**
   * Checks the signal's payload when it is sent (`INVALID_MESSAGE`), and parses it each time the run's handler gets it.
   * Default: none.
   */
  input?: Schema<T, Parsed> | undefined;
}

/** Options of a workflow's question. */
export interface QuestionOptions<In, Out = unknown, F extends string = AnyCode, Payload = In, Answer = Out> {
  /**
   * Checks what is asked when it is asked (`INVALID_MESSAGE`), and parses it each time the run's handler gets it.
   * Default: none.
   */
  input?: Schema<In, Payload> | undefined;
  /**
   * Checks and parses the answer when the handler gives it; it must not be asynchronous. If it refuses the answer,
   * `answer` throws. Default: none.
   */
  output?: Schema<Answer, Out> | undefined;
  /** The codes that the answer may fail with; `fail` throws for another code. Default: any code. */
  failures?: readonly F[] | undefined;
  /**
   * How long the run knows the question's id and its answer after the answer, at least, in ms: 1,000 to ten years.
   * Within one life of the run (see `flow.again`) it knows all of them, and after its end for the workflow's `keep`.
   * Default: 120,000.
   */
  keep?: number | undefined;
}

/**
 * Defines a workflow: a function of steps that continues to its end, whichever process dies. The types are the type
 * arguments; the third names the codes that the workflow may fail with. The name is 1 to 48 letters, digits, `-` and
 * `_`. Throws a `TypeError` or `RangeError` for an invalid name or option.
 *
 * @example
 * ```ts
 * import { catga, command, unwrap, workflow } from "@catga/catga";
 *
 * const Charge = command<{ cents: number }, { receipt: string }, "DECLINED">("Charge", { idempotent: true });
 * const charge = Charge.handle(({ cents }) => ({ receipt: `r-${cents}` }));
 * const Order = workflow<{ order: string; cents: number }, string, "DECLINED">("Order", { id: ({ order }) => order });
 * const order = Order.handle(async (flow, { cents }) => {
 *   const paid = await flow.send(Charge, { cents });
 *   return paid.ok ? paid.value.receipt : paid;
 * });
 * await using app = await catga({ handlers: [charge, order] });
 * const run = unwrap(await app.start(Order, { order: "7", cents: 420 }));
 * console.log(run, unwrap(await app.result(Order, run))); // 7 r-420
 * ```
 */
export function workflow<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>(
  name: SendableName<In, Out>,
  options: WorkflowOptions<In, Payload, Out, F, Returned> = {},
): Workflow<In, Out, F, Payload, Returned> {
  if (!isWorkflowName(name)) {
    throw new TypeError(`a workflow's name is 1 to 48 letters, digits, "-" and "_", like "Order"; got ${show(name)}`);
  }
  const definition = definitionOf(name, options);
  const at = `workflow ${name}`;
  // the casts are safe: the type of a view exists for the compiler alone
  const made: Workflow<In, Out, F, Payload, Returned> = frozenContract({
    kind: "workflow",
    name,
    "~workflow": definition,
    view: () => made as never,
    signal: <T, Parsed>(signal: string, options: SignalOptions<T, Parsed> = {}): Signal<T, Parsed> => {
      if (!isToken(signal, 64)) {
        throw new TypeError(`${at}: a signal's name is 1 to 64 letters, digits, "-" and "_"; got ${show(signal)}`);
      }
      checkKnown(`${at}: signal ${signal}`, options, SIGNAL_OPTIONS);
      // the cast is safe: the schema has the types that the signal declares
      const input = options.input as Signal["~input"];
      checkSchema(`${at}: signal ${signal}: input`, input);
      return Object.freeze({ workflow: name, name: signal, ...(input === undefined ? {} : { "~input": input }) });
    },
    question: <In, Out, F extends string, Payload, Answer>(
      question: string,
      options: QuestionOptions<In, Out, F, Payload, Answer> = {},
    ): Question<In, Out, F, Payload, Answer> => questionOf(name, question, options),
    handle: (fn: WorkflowBody["fn"], ...more: readonly unknown[]) => {
      if (more.length > 0) {
        const option = [...NOT_OF_WORKFLOWS.keys()].find((each) => isRecord(more[0]) && Object.hasOwn(more[0], each));
        const hint = option === undefined ? "" : `: ${option} ${NOT_OF_WORKFLOWS.get(option)}`;
        throw new TypeError(`${at}: handle has no options; got ${show(more[0])}${hint}`);
      }
      if (typeof fn !== "function") throw new TypeError(`${at}: handle takes a function; got ${show(fn)}`);
      return workflowHandler(Object.freeze({ definition, fn }));
    },
  });
  return made;
}

function questionOf<In, Out, F extends string, Payload, Answer>(
  workflow: string,
  name: string,
  options: QuestionOptions<In, Out, F, Payload, Answer>,
): Question<In, Out, F, Payload, Answer> {
  const at = `workflow ${workflow}: question ${name}`;
  if (!isToken(name, 64)) {
    throw new TypeError(
      `workflow ${workflow}: a question's name is 1 to 64 letters, digits, "-" and "_"; got ${show(name)}`,
    );
  }
  checkKnown(at, options, QUESTION_OPTIONS);
  const { failures, keep = ANSWER_KEEP } = options;
  // the casts are safe: the schemas have the types that the question declares
  const input = options.input as Schema<never, unknown> | undefined;
  const output = options.output as Schema<never, unknown> | undefined;
  checkSchema(`${at}: input`, input);
  checkSchema(`${at}: output`, output);
  if (failures !== undefined) checkFailures(at, failures);
  checkNumber(`${at}: keep`, keep, 1_000, MAX_DURATION, "ms");
  const definition = Object.freeze({ output, failures: failures && Object.freeze([...failures]), keep });
  return Object.freeze({
    ...{ workflow, name, "~question": definition },
    ...(input === undefined ? {} : { "~input": input }),
  });
}

/**
 * Returns true if the value is a valid name of a workflow.
 * @decides `workflow()`: its options and their checks; the characters and length of a workflow's name
 */
export function isWorkflowName(name: unknown): name is string {
  return isToken(name, 48);
}

/** Returns the type name under which a workflow's runs are stored in the stream of entities. */
export function runType(workflow: string): string {
  return `${workflow}${RUN}`;
}

/** Returns the workflow whose runs are stored under this type name; `undefined`: the type belongs to other entities. */
export function workflowOf(type: string): string | undefined {
  return type.endsWith(RUN) ? type.slice(0, -RUN.length) : undefined;
}

/**
 * Returns the workflow whose runs the internal contract of this name executes; `undefined`: the contract belongs to no
 * workflow.
 */
export function drivenWorkflow(contract: string): string | undefined {
  const end = contract.lastIndexOf(".");
  return DRIVING.has(contract.slice(end + 1)) ? workflowOf(contract.slice(0, end)) : undefined;
}

const DRIVING: ReadonlySet<string> = new Set([BEGUN, CALLED, DUE, JOIN]);

/**
 * Returns the node that does the work which only one node of a workflow must do: of the nodes that handle the workflow,
 * the first by endpoint; `undefined`: no node handles it.
 */
export function firstHandling(
  workflow: string,
  nodes: readonly { readonly endpoint: string; readonly handles: readonly string[] }[],
): string | undefined {
  const called = `${runType(workflow)}.${CALLED}`;
  return nodes.filter(({ handles }) => handles.includes(called)).map(({ endpoint }) => endpoint).sort()[0];
}

/** Returns the name of the schedule that starts a run at a later time. */
export function startName(run: string): string {
  return `start ${run}`;
}

/**
 * Returns the id of the run that a scheduled message has started, if the message's contract is the `due` event of a
 * workflow, and its id names a start. A run that a cron schedule has started has the id of the message.
 */
export function runOfStart(
  contract: string,
  id: string,
): { readonly workflow: string; readonly run: string } | undefined {
  const workflow = contract.endsWith(`.${DUE}`) ? drivenWorkflow(contract) : undefined;
  if (workflow === undefined || !id.startsWith(startName(""))) return undefined;
  return { workflow, run: id.slice(startName("").length) };
}

/**
 * Returns an error message if a workflow run waits for this schedule, and would wait for ever without it; `undefined`:
 * the schedule may be cancelled.
 */
export function wakesRun(contract: string, id: string): string | undefined {
  const workflow = contract.endsWith(`.${DUE}`) ? drivenWorkflow(contract) : undefined;
  if (workflow === undefined || id.startsWith(startName(""))) return undefined;
  return `${id} wakes a run of workflow ${workflow}, which would wait for ever without it: cancel the run`;
}

/** The internal contracts with which nodes execute a workflow's runs. */
export interface RunContracts {
  /** Event: a run was started, and the node that started it executes it. */
  readonly begun: EmittedEvent<unknown>;
  /** Event: another entry of a run was stored, after which some node has to execute the run. */
  readonly called: EmittedEvent<unknown>;
  /** Event: a time for which a run waited has come. */
  readonly due: DurableEvent<RunDue>;
  /** Command: a message for the node that executes a run. */
  readonly join: Command<RunJoin, RunJoined>;
}

/** Makes the internal contracts of the workflow whose runs are stored under this type name. */
export function runContracts(type: string): RunContracts {
  return {
    begun: entityEvent<unknown, unknown>(`${type}.${BEGUN}`, type, {}),
    called: entityEvent<unknown, unknown>(`${type}.${CALLED}`, type, {}),
    due: eventContract(`${type}.${DUE}`, Object.freeze({ durable: { keep: 30 * DAY } })),
    join: requestContract("command", `${type}.${JOIN}`, { timeout: 30_000, retries: 0 }),
  };
}

/** Returns a copy of a workflow's handler whose function wraps the original function: for test kits. */
export function wrapWorkflow(
  { "~handler": { workflow } }: Handler,
  wrap: (fn: WorkflowBody["fn"]) => WorkflowBody["fn"],
): Handler {
  const { definition, fn } = workflow!;
  return workflowHandler(Object.freeze({ definition, fn: wrap(fn) }));
}

/**
 * Makes the handler that a program passes to `catga`; the workflow's internal handlers are registered together with it.
 */
function workflowHandler(body: WorkflowBody): Handler {
  const { type } = body.definition;
  const { begun, called, due, join } = runContracts(type);
  const runs = (ctx: Context) => (ctx as RunContext)["~runs"]();
  // a run that takes longer than this timeout is covered by a lease: a scheduled message that calls another node for
  // the run if this node dies
  const options = {
    name: type,
    from: "start",
    retry: { attempts: 1_000, delay: [100, 2_000] },
    timeout: 30_000,
  } as const;
  const others = [
    // a batch waits 100 ms for more starts: within this time most runs have ended on the node that started them
    begun.onBatch(async (batch, ctx) => await (await runs(ctx)).started(body, batch), { ...options, within: 100 }),
    due.on(async (payload, ctx) => await (await runs(ctx)).due(body, payload, ctx), options),
    join.handle(async (payload, ctx) => await (await runs(ctx)).join(body, payload)),
  ].map((handler) => ofWorkflow(handler, body));
  const first = called.on(async (entry, ctx) => await (await runs(ctx)).called(body, entry, ctx), options);
  const { contract, "~handler": inside } = ofWorkflow(first, body);
  return Object.freeze({ contract, "~handler": Object.freeze({ ...inside, with: others }) });
}

function ofWorkflow(handler: Handler, body: WorkflowBody): Handler {
  return Object.freeze({ ...handler, "~handler": Object.freeze({ ...handler["~handler"], workflow: body }) });
}

function definitionOf<In, Payload, Out, F extends string, Returned>(
  name: string,
  options: WorkflowOptions<In, Payload, Out, F, Returned>,
): WorkflowDefinition {
  const at = `workflow ${name}`;
  checkKnown(at, options, OPTIONS, NOT_OF_WORKFLOWS);
  const { input, output, failures, id, timeout, keep = KEEP, version = 1, meta, redact } = options;
  // the cast is safe: the schema has the types that the contract declares
  const parsed = input as WorkflowDefinition["input"];
  checkSchema(`${at}: input`, parsed);
  const made = output as WorkflowDefinition["output"];
  checkSchema(`${at}: output`, made);
  if (failures !== undefined) checkFailures(at, failures);
  if (id !== undefined) checkFunction(`${at}: id`, id, "a function of the input that returns a string");
  if (timeout !== undefined) checkNumber(`${at}: timeout`, timeout, 1, MAX_DURATION, "ms");
  checkNumber(`${at}: keep`, keep, 60_000, MAX_DURATION, "ms");
  checkInteger(`${at}: version`, version, 1, Number.MAX_SAFE_INTEGER);
  return Object.freeze({
    name,
    type: runType(name),
    input: parsed,
    output: made,
    failures: failures && Object.freeze([...failures]),
    id,
    timeout,
    keep,
    version,
    meta: meta && frozenMeta(at, meta),
    redact: frozenPaths(at, redact),
  });
}

const DAY = 86_400_000;
const MAX_DURATION = 3_660 * DAY;
const SIGNAL_OPTIONS = new Set(["input"]);
const QUESTION_OPTIONS = new Set(["input", "output", "failures", "keep"]);
/** Default of {@link QuestionOptions.keep}, in ms. */
export const ANSWER_KEEP = 120_000;
const NOT_OF_WORKFLOWS = new Map(
  ["limit", "fair", "ahead"].map((name) => [
    name,
    "is of durable messages: a durable command that has it may start the runs (catga docs workflows#so-many-at-once)",
  ]),
);
const OPTIONS = new Set(["input", "output", "failures", "id", "timeout", "keep", "version", "meta", "redact"]);

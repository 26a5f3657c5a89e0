/**
 * Workflows: functions that survive their process. What a program declares; how a run is driven, stored and resumed is
 * in `flow/`, which is loaded when a node handles or starts one.
 */
import { checkFunction, checkInteger, checkKnown, checkNumber, isToken, show } from "../data/checks.ts";
import type { AnyCode } from "../error.ts";
import type { Context } from "./context.ts";
import { BEGUN, CALLED, DUE, JOIN, RUN } from "./contract.ts";
import { checkFailures, frozenMeta } from "./contract_options.ts";
import { frozenPaths } from "./redaction.ts";
import { KEEP } from "./defaults.ts";
import type { DurableEvent, EmittedEvent } from "./definition.ts";
import { type Command, entityEvent, eventContract, requestContract } from "./definition.ts";
import type { Flow, Signal, WorkflowContract } from "./flow.ts";
import type { Handler } from "./handler.ts";
import type { ContractMeta } from "./program_types.ts";
import type { RunContext, RunDue, RunJoin, RunJoined, WorkflowBody, WorkflowDefinition } from "./workflow_body.ts";
import type { Failure } from "./result.ts";
import { checkSchema, type MaybePromise, type Schema } from "./schema.ts";
import type { SendableName } from "./sendable.ts";

/** Options of {@link workflow}. */
export interface WorkflowOptions<In, Payload = In, Out = unknown, F extends string = AnyCode, Returned = Out> {
  /** Checks the input at the start (`INVALID_MESSAGE`), and parses it in each run of the handler; none. */
  input?: Schema<In, Payload> | undefined;
  /**
   * Checks and parses what the handler returns; what it makes of it is recorded. With a value that it refuses the run
   * is stuck (`INVALID_RESPONSE`). None.
   */
  output?: Schema<Returned, Out> | undefined;
  /**
   * The codes that the handler may fail with, for workflows whose types come from schemas. With another one the run
   * fails with `INVALID_RESPONSE`; Catga's own codes may always be passed on. Any code.
   */
  failures?: readonly F[] | undefined;
  /**
   * The id of the run, 1 to 128 characters; else `start` takes one, or makes one. The same id with another input is
   * `ID_REUSED`.
   */
  id?: ((input: NoInfer<In>) => string) | undefined;
  /**
   * Time limit of a run from its start, waiting included, in ms: 1 to ten years; then it is cancelled with `TIMEOUT`.
   * No limit.
   */
  timeout?: number | undefined;
  /** Retention of a run after its end, in ms: 60,000 to ten years; 7 days. Then its id is free. */
  keep?: number | undefined;
  /**
   * Raise it when the handler changes so that open runs must go the old way, once all nodes have the new handler:
   * `flow.version` is that of the start; 1.
   */
  version?: number | undefined;
  /** What the program says of the workflow, for the edge: a plain object, which is frozen; none. */
  meta?: ContractMeta | undefined;
  /**
   * Paths of members that tools hide in all values that are recorded of a run: its input, what its steps and signals
   * gave, its result; up to 32, each of up to 256 characters. They are stored with its start. None.
   */
  redact?: readonly string[] | undefined;
}

/** A workflow: {@link workflow} makes it. */
export interface Workflow<In = void, Out = void, F extends string = AnyCode, Payload = In, Returned = Out>
  extends WorkflowContract<In, Out, F> {
  /** The inside, for Catga. */
  readonly "~workflow": WorkflowDefinition;
  /** Defines something that a run can wait for. The name is 1 to 64 letters, digits, `-` and `_`. */
  signal<T = void, Parsed = T>(name: SendableName<T>, options?: SignalOptions<T, Parsed>): Signal<T, Parsed>;
  /**
   * Makes the handler. It runs from its top again after each death and each wait, while steps that are recorded give
   * what they gave: outside of steps it has no effects. What it returns ends the run. A failure, returned or thrown,
   * has the `undo` of each finished step run, the latest first; what else it throws is tried again.
   */
  handle(fn: (flow: Flow, input: Payload) => MaybePromise<Returned | Failure<NoInfer<F>>>): Handler;
}

/** Options of a signal. */
export interface SignalOptions<T, Parsed = T> {
  /** Checks what is told (`INVALID_MESSAGE`), and parses it where the run gets it, in each run of its handler; none. */
  input?: Schema<T, Parsed> | undefined;
}

/**
 * Defines a workflow: a function of steps that goes to its end, whatever process dies. The types are the type
 * arguments; the third are the codes that it may fail with. The name is 1 to 48 letters, digits, `-` and `_`. Throws a
 * `TypeError` or `RangeError` for an invalid name or option.
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
  return Object.freeze({
    kind: "workflow",
    name,
    "~workflow": definition,
    signal: <T, Parsed>(signal: string, options: SignalOptions<T, Parsed> = {}): Signal<T, Parsed> => {
      if (!isToken(signal, 64)) {
        throw new TypeError(`${at}: a signal's name is 1 to 64 letters, digits, "-" and "_"; got ${show(signal)}`);
      }
      checkKnown(`${at}: signal ${signal}`, options, SIGNAL_OPTIONS);
      // the types of its schema are those of the signal
      const input = options.input as Signal["~input"];
      checkSchema(`${at}: signal ${signal}: input`, input);
      return Object.freeze({ workflow: name, name: signal, ...(input === undefined ? {} : { "~input": input }) });
    },
    handle: (fn: WorkflowBody["fn"], ...more: readonly unknown[]) => {
      if (more.length > 0) throw new TypeError(`${at}: handle has no options; got ${show(more[0])}`);
      if (typeof fn !== "function") throw new TypeError(`${at}: handle takes a function; got ${show(fn)}`);
      return workflowHandler(Object.freeze({ definition, fn }));
    },
  });
}

/** Returns true for the name of a workflow. */
export function isWorkflowName(name: unknown): name is string {
  return isToken(name, 48);
}

/** The type of a workflow's runs in the stream of entities. */
export function runType(workflow: string): string {
  return `${workflow}${RUN}`;
}

/** The workflow whose runs have this type; `undefined`: it is that of other entities. */
export function workflowOf(type: string): string | undefined {
  return type.endsWith(RUN) ? type.slice(0, -RUN.length) : undefined;
}

/** The workflow whose runs are driven by the contract of this name; `undefined`: none. */
export function drivenWorkflow(contract: string): string | undefined {
  const end = contract.lastIndexOf(".");
  return DRIVING.has(contract.slice(end + 1)) ? workflowOf(contract.slice(0, end)) : undefined;
}

const DRIVING: ReadonlySet<string> = new Set([BEGUN, CALLED, DUE, JOIN]);

/** The endpoint of the node that does what one of those that handle a workflow has to do; `undefined`: none does. */
export function firstHandling(
  workflow: string,
  nodes: readonly { readonly endpoint: string; readonly handles: readonly string[] }[],
): string | undefined {
  const called = `${runType(workflow)}.${CALLED}`;
  return nodes.filter(({ handles }) => handles.includes(called)).map(({ endpoint }) => endpoint).sort()[0];
}

/** The name of the schedule that starts a run, among those of {@link RunContracts.due}. */
export function startName(run: string): string {
  return `start ${run}`;
}

/**
 * The run that the message with this id of a schedule has started, if it is one of a workflow's `due`; a run of a cron
 * has the id of the message.
 */
export function runOfStart(
  contract: string,
  id: string,
): { readonly workflow: string; readonly run: string } | undefined {
  const workflow = contract.endsWith(`.${DUE}`) ? drivenWorkflow(contract) : undefined;
  if (workflow === undefined || !id.startsWith(startName(""))) return undefined;
  return { workflow, run: id.slice(startName("").length) };
}

/** Why a schedule must not be cancelled alone: it wakes a run, which would wait for ever; `undefined`: it may be. */
export function wakesRun(contract: string, id: string): string | undefined {
  const workflow = contract.endsWith(`.${DUE}`) ? drivenWorkflow(contract) : undefined;
  if (workflow === undefined || id.startsWith(startName(""))) return undefined;
  return `${id} wakes a run of workflow ${workflow}, which would wait for ever without it: cancel the run`;
}

/** The events and the command that a workflow's runs are driven by. */
export interface RunContracts {
  /** Event of starts that their node drives. */
  readonly begun: EmittedEvent<unknown>;
  /** Event of other entries that call for somebody to go on. */
  readonly called: EmittedEvent<unknown>;
  /** Of times that have come. */
  readonly due: DurableEvent<RunDue>;
  /** A message for the node that holds a run. */
  readonly join: Command<RunJoin, RunJoined>;
}

/** Those of the workflow with this type of runs. */
export function runContracts(type: string): RunContracts {
  return {
    begun: entityEvent<unknown, unknown>(`${type}.${BEGUN}`, type, {}),
    called: entityEvent<unknown, unknown>(`${type}.${CALLED}`, type, {}),
    due: eventContract(`${type}.${DUE}`, Object.freeze({ durable: { keep: 30 * DAY } })),
    join: requestContract("command", `${type}.${JOIN}`, { timeout: 30_000, retries: 0 }),
  };
}

/** The handler of the same workflow with another function, made of its own: for test kits. */
export function wrapWorkflow(
  { "~handler": { workflow } }: Handler,
  wrap: (fn: WorkflowBody["fn"]) => WorkflowBody["fn"],
): Handler {
  const { definition, fn } = workflow!;
  return workflowHandler(Object.freeze({ definition, fn: wrap(fn) }));
}

/** One handler for the program; the others come with it. */
function workflowHandler(body: WorkflowBody): Handler {
  const { type } = body.definition;
  const { begun, called, due, join } = runContracts(type);
  const runs = (ctx: Context) => (ctx as RunContext)["~runs"]();
  // a run that takes longer gets a lease
  const options = {
    name: type,
    from: "start",
    retry: { attempts: 1_000, delay: [100, 2_000] },
    timeout: 30_000,
  } as const;
  const others = [
    // most of them have ended by then
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
  checkKnown(at, options, OPTIONS);
  const { input, output, failures, id, timeout, keep = KEEP, version = 1, meta, redact } = options;
  // the types of its input are those of its contract
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
const OPTIONS = new Set(["input", "output", "failures", "id", "timeout", "keep", "version", "meta", "redact"]);

/**
 * Behaviors: functions around handlers and around sends, each calling the next; and the tracer that a behavior has for
 * the runs of workflows.
 */
import type { Catga } from "../nodes/running_node.ts";
import type { Clock, Random } from "../../ports/clock.ts";
import { checkFunction, isRecord, show } from "../../data/checks.ts";
import type { AnyContract } from "./contract.ts";
import type { Context } from "../calls/context.ts";
import type { EnqueueOptions } from "../calls/durable_messages.ts";
import type { Logger, Observation } from "../nodes/observer.ts";
import type { SendOptions } from "../calls/send_options.ts";
import type { Result } from "../calls/result.ts";
import type { MaybePromise } from "../schemas/schema.ts";

/**
 * Wraps a handler. A behavior may change the result, call `next` again, or not call it. The app's behaviors come first,
 * outermost first, then the handler's own. `next` never rejects: an error that the handler throws comes back as
 * `HANDLER_FAILED`; an error that the behavior throws becomes `HANDLER_FAILED`, too. A behavior runs on the node that
 * handles the message, once for each attempt there.
 *
 * `F`: the codes that the behavior itself fails with, besides Catga's own: `Behavior<"FORBIDDEN">`. For a handler whose
 * contract declares failures, `F` must be among these failures. {@link ProgramTypes} declares the behaviors of apps.
 *
 * Most behaviors are just a function. The function may have members: `send` wraps the app's sends; `attach` is called
 * with the app, to observe events outside of handlers.
 *
 * @example
 * ```ts
 * import { type Behavior, catga, query } from "@catga/catga";
 *
 * const timed: Behavior = async ({ contract }, next) => {
 *   const start = performance.now();
 *   const result = await next();
 *   console.log(contract.name, result.ok, `${(performance.now() - start).toFixed(1)} ms`);
 *   return result;
 * };
 * const Answer = query<void, number>("Answer");
 * await using app = await catga({ handlers: Answer.handle(() => 42), behaviors: [timed] });
 * console.log((await app.send(Answer)).value); // 42
 * ```
 */
export interface Behavior<F extends string = never> {
  /** Carries the type of the behavior's own failure codes; never has a value. */
  readonly "~fails"?: () => F;
  (message: BehaviorMessage, next: () => Promise<Result<unknown>>): MaybePromise<Result<unknown>>;
  /**
   * Wraps every send, publish, enqueue, broadcast and stream of the app and its handlers. Not called if the behavior is
   * only around a handler.
   */
  readonly send?: SendBehavior | undefined;
  /**
   * Called once with each app that has this behavior, around the app or around a handler, before the app joins its
   * cluster. `catga()` waits for the returned promise, and rejects with an error that it throws.
   */
  readonly attach?: ((app: Catga) => MaybePromise<Attachment | void>) | undefined;
  /** Internal: the tracer that makes spans for runs of workflows; only the behavior `tracing()` has it. */
  readonly "~runs"?: object | undefined;
  /** Internal: true for the functions of Catga that make behaviors, which are no behaviors before they are called. */
  readonly "~makes"?: true | undefined;
}

/** Any behavior, whatever its failure codes. */
export type AnyBehavior = Behavior<string>;

/** The message that a {@link Behavior}, a function around a handler, handles. */
export interface BehaviorMessage {
  /** The contract whose handler is called. */
  readonly contract: AnyContract;
  /** The payload as the handler gets it: parsed, if the contract has a schema. */
  readonly payload: unknown;
  /** The context that the handler will get: the same object. */
  readonly ctx: Context;
  /** The name of the handler's subscription if its contract is durable, else `undefined`. */
  readonly subscription: string | undefined;
  /** The app's clock, whose time is virtual in some tests. */
  readonly clock: Clock;
  /** The app's random numbers, which come from a seed in some tests. */
  readonly random: Random;
  /** The `logger` option of the app; `undefined` if the app has none. */
  readonly logger: Logger | undefined;
}

/**
 * Wraps a send of an app. It may change the result, call `next` again, or not call it. `next` takes headers, which are
 * added to the sender's and replace headers of the same name; an idempotent command that is sent again keeps its id.
 * `next` sends with the time that the message has left. At the message's deadline the send ends, whatever the behavior
 * does, and `next` sends nothing more. `next` rejects only for misuse (a strategy that throws, a route that needs a
 * key): do not catch that. The send rejects with an error that the behavior throws.
 *
 * @example
 * ```ts
 * import { type Behavior, catga, query, type SendBehavior } from "@catga/catga";
 *
 * const send: SendBehavior = (_, next) => next({ tenant: "north" });
 * const tenant: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { send });
 * const Whose = query<void, string>("Whose");
 * const whose = Whose.handle((_, ctx) => ctx.headers.tenant);
 * await using app = await catga({ handlers: whose, behaviors: [tenant] });
 * console.log((await app.send(Whose)).value); // north
 * ```
 */
export type SendBehavior = (
  message: OutgoingMessage,
  next: (headers?: Readonly<Record<string, string>>) => Promise<Result<unknown>>,
) => MaybePromise<Result<unknown>>;

/** The message whose send a {@link SendBehavior}, a function around sends, wraps. */
export interface OutgoingMessage {
  /**
   * The method that was called; `"send"` for each message of `sendAll`. For `"broadcast"`, the value of the result is
   * the array of the answers. For `"stream"`, it is the number of items: `next` resolves when the stream has ended. A
   * stream that has delivered items is not sent again.
   */
  readonly method: "send" | "publish" | "broadcast" | "enqueue" | "stream";
  /** The contract that is sent. */
  readonly contract: AnyContract;
  /** The payload as the sender gave it. */
  readonly payload: unknown;
  /** The options as the sender gave them; `{}` without options. */
  readonly options: Readonly<SendOptions & EnqueueOptions>;
  /** The context of the handler that sends; `undefined` outside of handlers. */
  readonly ctx: Context | undefined;
  /** The id of the node that sends. */
  readonly node: string;
  /** The app's clock, whose time is virtual in some tests. */
  readonly clock: Clock;
}

/** Callbacks of one behavior for one app, returned by the behavior's `attach`. */
export interface Attachment {
  /** Called with each event of the app that happens outside of handlers. An error that it throws is logged. */
  readonly observe?: ((observation: Observation) => void) | undefined;
  /** Called when the app has stopped, or could not start. An error that it throws is logged. */
  readonly detach?: (() => void) | undefined;
}

/** Marks a function that makes behaviors, so that {@link checkBehaviors} refuses it where it was not called. */
export function markMaker(make: object): void {
  Object.defineProperty(make, "~makes", { value: true });
}

/** Throws a `TypeError` unless the value is an array of behaviors. `name`: the option's name, for the error. */
export function checkBehaviors(name: string, value: readonly AnyBehavior[]): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array of functions; got ${show(value)}`);
  value.forEach((behavior, index) => {
    const at = `${name}[${index}]`;
    checkFunction(at, behavior);
    if (behavior["~makes"]) {
      const make = (behavior as { readonly name?: string }).name;
      throw new TypeError(`${at} must be a behavior; got the function that makes one: call it, ${make}(…)`);
    }
    for (const member of ["send", "attach"] as const) {
      if (behavior[member] !== undefined) checkFunction(`${at}.${member}`, behavior[member]);
    }
  });
}

/**
 * Throws a `TypeError` unless the value that a behavior's `attach` returned has the shape of an {@link Attachment}.
 * @decides types of behaviors, and what they may attach to an app
 */
export function checkAttachment(value: unknown): asserts value is Attachment {
  if (!isRecord(value)) {
    throw new TypeError(`attach of a behavior must return { observe, detach } or nothing; got ${show(value)}`);
  }
  for (const name of ["observe", "detach"]) {
    if (value[name] !== undefined) checkFunction(`${name}, which attach of a behavior returned,`, value[name]);
  }
}

/** Headers of a message, or of a run. */
export type MessageHeaders = Readonly<Record<string, string>>;

/** Returns the tracer of the behavior `tracing()`; `undefined` if `tracing()` is not among the behaviors. */
export function runTracerOf(behaviors: readonly AnyBehavior[]): RunTracer | undefined {
  // only `tracing()` sets `~runs`
  return behaviors.find((behavior) => behavior["~runs"] !== undefined)?.["~runs"] as RunTracer | undefined;
}

/** Makes spans for runs of workflows. The headers of a run carry its span to every node that executes the run. */
export interface RunTracer {
  /**
   * Called before a program or a handler starts a run. Returns the span of the start; `undefined`: this start is not
   * traced.
   */
  start(start: TracedStart): StartSpan | undefined;
  /** Called before a run is stored. Returns the span of the run; `undefined`: this run is not traced. */
  run(run: TracedRun): RunSpan | undefined;
  /** Runs an attempt of a step, or of its `undo`, by calling `perform` with the headers for the attempt's sends. */
  attempt<T>(step: TracedStep, perform: (headers: MessageHeaders | undefined) => Promise<T>): Promise<T>;
  /** Called when the end of a run is stored. */
  ended(run: EndedRun): void;
}

/** A run of a workflow, on the node that calls the tracer. */
interface RunOnNode {
  /** The id of the node that calls the tracer. */
  readonly node: string;
  /** The name of the workflow. */
  readonly workflow: string;
  /** The headers of the run; `undefined`: the run has none. */
  readonly headers: MessageHeaders | undefined;
}

/** A start of a run, requested by a program or a handler. */
export interface TracedStart extends RunOnNode {
  /** The headers that the program gave in the options of `start`. */
  readonly own: MessageHeaders | undefined;
  /** The message whose handler starts the run; `undefined` outside of handlers. */
  readonly ctx: Context | undefined;
}

/** The span of a call of `start`, which stores a run of a workflow. */
export interface StartSpan {
  /** The headers with which the run is started; they contain the trace context of this span. */
  readonly headers: MessageHeaders;
  end(result: Result<string, never>): void;
}

/** A run that is about to be stored. */
export interface TracedRun extends RunOnNode {
  /** The id of the run. */
  readonly run: string;
  /** True for a run that another run has started as a step. */
  readonly isChild: boolean;
}

/** The span of a run. */
export interface RunSpan {
  /** The headers of the run; they contain the trace context of this span. */
  readonly headers: MessageHeaders;
  /**
   * Called when the run is stored for the first time; never called for a run that is not stored, or existed already.
   */
  stored(): void;
}

/** An attempt of a step of a run. */
export interface TracedStep extends RunOnNode {
  /** The id of the run. */
  readonly run: string;
  /** The name of the step. */
  readonly step: string;
  /** True for an attempt of the step's `undo`. */
  readonly isUndo: boolean;
  /** Number of the attempt of the step; the first is 1. */
  readonly attempt: number;
}

/** A run of a workflow that has ended. */
export interface EndedRun extends RunOnNode {
  /** The id of the run. */
  readonly run: string;
  /** Times at which the run started (`startedAt`) and ended (`endedAt`), in ms since 1970. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** Error of the run; `undefined`: it did not fail. */
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

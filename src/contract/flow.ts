/**
 * Workflows as programs see them: the context of the handler, options of `start` and `result`, and runs as operators
 * see them.
 */
import type { AnyCode } from "../error.ts";
import type { Contract } from "./contract.ts";
import type { Caller, ProgramCode } from "./program_types.ts";
import type { Failure, Success } from "./result.ts";
import type { MaybePromise, Schema } from "./schema.ts";
import type { SendArgs } from "./send_options.ts";

/** A workflow, made by `workflow`. */
export interface WorkflowContract<In, Out, F extends string = AnyCode> {
  /** For the compiler, which names it where another method is called; never has a value. */
  readonly "~use"?: "app.start(workflow, input)";
  /** For the compiler, which says by it that a workflow is started, not sent; never has a value. */
  readonly options?: undefined;
  /** Tells it from other contracts. */
  readonly kind: "workflow";
  /** 1 to 48 letters, digits, `-` and `_`; the same on every node. */
  readonly name: string;
  /** Carries the types; never has a value. */
  readonly "~types"?: (payload: In) => Out;
  /** Carries the type of the failures; never has a value. */
  readonly "~fails"?: () => F;
}

/** Any workflow. */
export type AnyWorkflow = Pick<WorkflowContract<never, unknown>, "kind" | "name">;

/** Any signal. */
export type AnySignal = Pick<Signal<never, unknown>, "workflow" | "name" | "~input">;

/** Something that a run can wait for: `Workflow.signal` makes it. `Payload`: what its schema makes of what is told. */
export interface Signal<T = void, Payload = T> {
  /** The name of the workflow. */
  readonly workflow: string;
  /** Its own name. */
  readonly name: string;
  /** Carries the type; never has a value. */
  readonly "~payload"?: (payload: T) => void;
  /** Carries the type behind the schema; never has a value. */
  readonly "~parsed"?: () => Payload;
  /** The schema, for Catga. */
  readonly "~input"?: Schema<never, unknown> | undefined;
}

/** Argument of the function of a step. */
export interface Step {
  /**
   * Id of the step, the same in each attempt and on each node: `<workflow>:<run>:<name>`. Pass it to what the step
   * calls, as the id of its request.
   */
  readonly id: string;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
  /**
   * Aborts when the run is cancelled, the attempt's time is over, the app stops, or another node has taken the run
   * over.
   */
  readonly signal: AbortSignal;
}

/** Options of a step. */
export interface StepOptions<T> {
  /**
   * Takes the step back if the run fails or is cancelled later. It may have steps of its own. If it throws, or takes
   * longer than `timeout` without one of them, it is tried again as `retry` says; if it returns a failure, the run is
   * stuck. None.
   */
  undo?: ((value: T) => MaybePromise<unknown>) | undefined;
  /**
   * Attempts, if they throw: `attempts`, the first included (1 to 1,000,000; no limit), after pauses that double,
   * `delay`: the first and the longest in ms (1 to 2^31 - 1; `[1_000, 3_600_000]`). After the last attempt the run is
   * stuck. Where the step is another run, this and `timeout` are those of its `undo`: that run has its own.
   */
  retry?: { attempts?: number | undefined; delay?: readonly [first: number, longest: number] | undefined } | undefined;
  /** Timeout of an attempt, in ms: 1 to 2^31 - 1; the app's. */
  timeout?: number | undefined;
}

/** Options of `flow.send`. */
export interface FlowSendOptions<T> extends StepOptions<T> {
  /** The name of the step; that of the contract. A run that sends a contract twice needs it. */
  name?: string | undefined;
}

/** Options of `flow.wait`. */
export interface WaitOptions {
  /** The name of this wait in the run; that of the signal, from the second wait on with a number. */
  name?: string | undefined;
  /** End of the wait, as ms from now or as a time; no limit. */
  timeout?: number | Date | undefined;
}

/** Result of `flow.send`: the value or a failure of the handler; failures of operation are retried instead. */
export type Decided<T, F extends string> = Success<T> | (Failure<F> & { readonly error: { readonly code: F } });

/**
 * A run, as the handler of its workflow sees it. Names of steps and sleeps are unique in a run: a second use rejects
 * with a `TypeError`.
 */
export interface Flow {
  /** The id of the run. */
  readonly id: string;
  /** The version that the workflow had when this run was started. */
  readonly version: number;
  /** The headers of its start, or of the handler or run that started it. */
  readonly headers: Readonly<Record<string, string>>;
  /** Who started it, as an edge said; `undefined`: nobody said so. A value of its own each time that it is read. */
  readonly caller: Caller | undefined;
  /**
   * Runs a function until it returns, and records what it returned (1 MiB at most), a failure included. Several may run
   * at once.
   */
  step<T>(name: string, fn: (step: Step) => MaybePromise<T>, options?: StepOptions<NoInfer<T>>): Promise<T>;
  /**
   * A step that sends a command or a query with the step's id, or runs another workflow to its end. Failures of
   * operation (`UNAVAILABLE`, `OVERLOADED`, `TIMEOUT`, …) are tried again for as long as the run may take; what comes
   * back is what the handler decided.
   */
  send<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F> | WorkflowContract<In, Out, F>,
    ...args: SendArgs<In, FlowSendOptions<Out>>
  ): Promise<Decided<Out, F | ProgramCode>>;
  /** Goes on after so many ms, or at a time. No process waits. */
  sleep(name: string, until: number | Date): Promise<void>;
  /** The next signal of this kind that the run has not taken yet; `undefined` after the `timeout`. */
  wait<T>(signal: Signal<never, T>, options?: { name?: string | undefined; timeout?: undefined }): Promise<T>;
  /** Waits no longer than `timeout`, after which it resolves with `undefined`. */
  wait<T>(signal: Signal<never, T>, options: WaitOptions): Promise<T | undefined>;
  /**
   * Says where the run is, for people: `RunInfo.stage`, 1 to 64 characters. It is recorded once, before the next step
   * begins, which costs an append; in an `undo` it does nothing. Throws a `TypeError` for another text.
   */
  stage(name: string): void;
}

/** Options of `start`. */
export interface StartOptions {
  /** The id of the run, 1 to 128 characters; what the contract's `id` makes of the input, else one is made. */
  id?: string | undefined;
  /** Not before this time, which is before the year 2262. `unschedule` takes it back until then. */
  at?: Date | undefined;
  /**
   * Again and again: six fields of cron, seconds first, or `@hourly` and the like. `id` is its name, and each of its
   * runs has the id `<id>@<ms>`, the time in ms since 1970. The same `id` again replaces it, and `unschedule` ends it.
   * Needs nats-server 2.14.
   */
  cron?: string | undefined;
  /** The time zone of `cron`, as `"Europe/Berlin"`; UTC. */
  zone?: string | undefined;
  /**
   * Stored with the run: the handler's `flow.headers`. What `carry` names, the trace and the caller go on with what its
   * steps send. None; in a handler those that go on with what it sends.
   */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of `result`. */
export interface ResultOptions {
  /** Time to wait for the end, in ms: 1 to 2^31 - 1; the app's. */
  timeout?: number | undefined;
  /** Ends the waiting when it aborts: `CANCELLED`. None. */
  signal?: AbortSignal | undefined;
}

/** Options of `tell`. */
export interface TellOptions {
  /** Id of the signal: a second one with the same id is ignored; made by Catga. */
  id?: string | undefined;
}

/**
 * Status of a run. `waiting`: for a time, a signal or another run. `retrying`: a step failed, and is tried again.
 * `stuck`: an operator has to decide.
 */
export type RunStatus = typeof RUN_STATUS[number];

/** All of them. */
export const RUN_STATUS = ["running", "waiting", "retrying", "stuck", "undoing", "done", "failed"] as const;

/** Something that a run does now, or waits for. */
export interface PendingStep {
  /** The step, sleep or wait; empty: the handler itself, which threw. */
  readonly name: string;
  /** Time since which it is pending. */
  readonly since: Date;
  /** Attempts that failed. */
  readonly attempts: number;
  /** Time at which it goes on by itself; `undefined`: now, or not by itself. */
  readonly next: Date | undefined;
  /**
   * Error of the last attempt; `cause`: what it threw, or the handler that it sent to in the same process: the message
   * in the first line, then the stack; 4 kB at most, and none with `causes: false`.
   */
  readonly error: { readonly code: string; readonly message: string; readonly cause?: string | undefined } | undefined;
}

/** Such a thing for people. */
export function pendingText({ name, attempts, next, error }: PendingStep): string {
  // of a handler that threw the failure itself says only where
  const [thrown = ""] = error?.cause?.split("\n", 1) ?? [];
  const parts = [
    name === "" ? "the handler" : name,
    attempts > 0 ? `${attempts} failed` : "",
    next === undefined || Number.isNaN(next.getTime()) ? "" : `until ${next.toISOString()}`,
    error === undefined
      ? ""
      : `${error.code}: ${thrown === "" || thrown.includes(error.message) ? error.message : thrown}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** Returns true if the error of something that is pending has this text in it. */
export function hasFailedWith({ pending }: Pick<RunInfo, "pending">, text: string): boolean {
  return pending.some(({ error }) => error !== undefined && `${error.code}: ${error.message}`.includes(text));
}

/** Something that is recorded of a run. */
export interface RunEntry {
  /** Time of its storing, by the server's clock. */
  readonly at: Date;
  /** The process that stored it, as `<node>.<token>`. */
  readonly by: string;
  /** `started`, `done`, `failed`, `slept`, `signalled`, … */
  readonly type: string;
  /** The step, sleep, wait or signal; empty if it is about none. */
  readonly name: string;
  /** The input, what a step returned, an error, a reason. */
  readonly value: unknown;
}

/** A run, as an operator sees it. */
export interface RunInfo {
  /** The name of the workflow. */
  readonly workflow: string;
  /** Its id. */
  readonly id: string;
  /** Status of the run. */
  readonly status: RunStatus;
  /** The last stage that its handler named by `flow.stage`; `undefined`: none. */
  readonly stage: string | undefined;
  /** The version that the workflow had when it was started. */
  readonly version: number;
  /** Time of the start. */
  readonly startedAt: Date;
  /** Time of the end; `undefined`: it has not ended. */
  readonly endedAt: Date | undefined;
  /** Steps, sleeps and waits that are pending. */
  readonly pending: readonly PendingStep[];
  /** All that is recorded of it, in order. */
  readonly timeline: readonly RunEntry[];
  /**
   * Paths of members of those values that tools hide, as the workflow's `redact` had them at the start; `"all"`: what
   * is stored there cannot be read, and tools hide all values; none.
   */
  readonly redact?: readonly string[] | "all" | undefined;
  /**
   * Has what is pending tried at once, and a stuck run go on. Rejects with a `CatgaError`: `NO_RUN` if the run has
   * ended, `UNAVAILABLE`.
   */
  retry(): Promise<void>;
  /** Records a value for a step that has none, by hand. The reason stays in the timeline. Rejects as `retry`. */
  skip(step: string, value: unknown, reason: string): Promise<void>;
}

/** Filter of runs; all of them. */
export interface RunsOptions {
  /** The name of the workflow; all of them. */
  workflow?: string | undefined;
  /** Their status; any. */
  status?: RunStatus | undefined;
  /** True: those that have not ended; false: those that have; both. */
  open?: boolean | undefined;
  /** The id of one; all of them. */
  id?: string | undefined;
}

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

/** A workflow, made by `workflow()`. */
export interface WorkflowContract<In, Out, F extends string = AnyCode> {
  /**
   * Compile time only: the compiler's error names this method if the workflow is passed to another; never has a value.
   */
  readonly "~use"?: "app.start(workflow, input)";
  /**
   * Compile time only: keeps a workflow from methods that take messages, because it is started, not sent; never has a
   * value.
   */
  readonly options?: undefined;
  /** Distinguishes a workflow from other contracts. */
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

/**
 * Something that a run can wait for, made by `Workflow.signal`. `T`: the type that a sender gives; `Payload`: the type
 * that the run gets, after the schema.
 */
export interface Signal<T = void, Payload = T> {
  /** The name of the workflow. */
  readonly workflow: string;
  /** The signal's own name. */
  readonly name: string;
  /** Carries the type; never has a value. */
  readonly "~payload"?: (payload: T) => void;
  /** Carries the type that the schema returns; never has a value. */
  readonly "~parsed"?: () => Payload;
  /** Internal: the schema. */
  readonly "~input"?: Schema<never, unknown> | undefined;
}

/** Argument of the function of a step. */
export interface Step {
  /**
   * Id of the step, the same in each attempt and on each node: `<workflow>:<run>:<name>`. Give it to the systems that
   * the step calls, as the id of the request.
   */
  readonly id: string;
  /** Number of the attempt, from 1. */
  readonly attempt: number;
  /** Aborts when the run is cancelled, the attempt times out, the app stops, or another node has taken the run over. */
  readonly signal: AbortSignal;
}

/** Options of a step. */
export interface StepOptions<T> {
  /**
   * Undoes the step if the run fails or is cancelled later. It may have steps of its own. If it throws, or takes longer
   * than `timeout` without a step of its own, it is tried again according to `retry`; if it returns a failure, the run
   * is stuck. Default: none.
   */
  undo?: ((value: T) => MaybePromise<unknown>) | undefined;
  /**
   * Retry after an error of the step. `attempts`: number of attempts, the first included (1 to 1,000,000; default: no
   * limit). `delay`: the first and the longest pause in ms (1 to 2^31 - 1; default: `[1_000, 3_600_000]`); pauses
   * double. After the last attempt the run is stuck. For a step that starts a run, `retry` and `timeout` apply to its
   * `undo` only.
   */
  retry?: { attempts?: number | undefined; delay?: readonly [first: number, longest: number] | undefined } | undefined;
  /** Timeout of an attempt, in ms: 1 to 2^31 - 1. Default: the app's `timeout`. */
  timeout?: number | undefined;
}

/** Options of `flow.send`. */
export interface FlowSendOptions<T> extends StepOptions<T> {
  /** The name of the step. A run that sends a contract twice needs it. Default: the contract's name. */
  name?: string | undefined;
}

/** Options of `flow.wait`. */
export interface WaitOptions {
  /** The name of this wait in the run. Default: the signal's name, from the second wait on with a number. */
  name?: string | undefined;
  /** End of the wait, in ms from now or as a time. Default: no limit. */
  timeout?: number | Date | undefined;
}

/** Result of `flow.send`: the value or a failure of the handler; failures of operation are retried instead. */
export type Decided<T, F extends string> = Success<T> | (Failure<F> & { readonly error: { readonly code: F } });

/**
 * A run, as the handler of its workflow sees it. Names of steps and sleeps are unique in a run: a second use of a name
 * rejects with a `TypeError`.
 */
export interface Flow {
  /** The id of the run. */
  readonly id: string;
  /** The version that the workflow had when this run was started. */
  readonly version: number;
  /** The headers given to `start`, or inherited from the handler or run that started this run. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * The caller that an edge named for the start of the run; `undefined`: no edge named one. A new value at each
   * reading.
   */
  readonly caller: Caller | undefined;
  /**
   * Runs a function until it returns, and records the value that it returned (1 MiB at most), a failure included.
   * Several steps may run at once.
   */
  step<T>(name: string, fn: (step: Step) => MaybePromise<T>, options?: StepOptions<NoInfer<T>>): Promise<T>;
  /**
   * A step that sends a command or a query with the step's id, or runs another workflow to its end. Failures of
   * operation (`UNAVAILABLE`, `OVERLOADED`, `TIMEOUT`, …) are tried again for as long as the run may take, so the
   * result is a value or failure that the handler decided on.
   */
  send<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F> | WorkflowContract<In, Out, F>,
    ...args: SendArgs<In, FlowSendOptions<Out>>
  ): Promise<Decided<Out, F | ProgramCode>>;
  /** Resolves after so many ms, or at a time. No process waits meanwhile. */
  sleep(name: string, until: number | Date): Promise<void>;
  /** Resolves with the next signal of this kind that the run has not taken yet. */
  wait<T>(signal: Signal<never, T>, options?: { name?: string | undefined; timeout?: undefined }): Promise<T>;
  /** Resolves with the next signal of this kind that the run has not taken yet, or with `undefined` after `timeout`. */
  wait<T>(signal: Signal<never, T>, options: WaitOptions): Promise<T | undefined>;
  /**
   * Names the stage that the run has reached, for people: `RunInfo.stage`, 1 to 64 characters. The stage is recorded
   * once, before the next step begins, which costs an append; in an `undo` the call does nothing. Throws a `TypeError`
   * for an invalid name.
   */
  stage(name: string): void;
}

/** Options of `start`. */
export interface StartOptions {
  /**
   * The id of the run, 1 to 128 characters. Default: the id that the workflow's `id` makes of the input, else a
   * generated id.
   */
  id?: string | undefined;
  /** Earliest time of the start, before the year 2262. Until then `unschedule` can cancel it. Default: at once. */
  at?: Date | undefined;
  /**
   * Starts a run again and again: six fields of cron, seconds first, or `@hourly` and the like. `id` is the schedule's
   * name; each run has the id `<id>@<ms>`, with the time in ms since 1970. The same `id` again replaces the schedule,
   * and `unschedule` ends it. Needs nats-server 2.14.
   */
  cron?: string | undefined;
  /** The time zone of `cron`, such as `"Europe/Berlin"`. Default: UTC. */
  zone?: string | undefined;
  /**
   * Headers that are stored with the run, for `flow.headers`. The steps' sends inherit the headers that `carry` names,
   * the trace and the caller. Default: none; in a handler, the headers that its sends inherit.
   */
  headers?: Readonly<Record<string, string>> | undefined;
}

/** Options of `result`. */
export interface ResultOptions {
  /** Time to wait for the run's end, in ms: 1 to 2^31 - 1. Default: the app's `timeout`. */
  timeout?: number | undefined;
  /** Ends the wait when it aborts: `CANCELLED`. Default: none. */
  signal?: AbortSignal | undefined;
}

/** Options of `tell`. */
export interface TellOptions {
  /** Id of the signal: a second signal with the same id is ignored. Default: a generated id. */
  id?: string | undefined;
}

/**
 * Status of a run. `waiting`: for a time, a signal or another run. `retrying`: a step failed, and is tried again.
 * `stuck`: an operator has to decide.
 */
export type RunStatus = typeof RUN_STATUS[number];

/** All statuses of runs. */
export const RUN_STATUS = ["running", "waiting", "retrying", "stuck", "undoing", "done", "failed"] as const;

/** A step, sleep or wait that a run has begun and not ended. */
export interface PendingStep {
  /** The name of the step, sleep or wait; empty for the handler itself, which threw. */
  readonly name: string;
  /** Time since which the step is pending. */
  readonly since: Date;
  /** Number of attempts that failed. */
  readonly attempts: number;
  /** Time at which the run goes on by itself; `undefined`: now, or not by itself. */
  readonly next: Date | undefined;
  /**
   * Error of the last attempt. `cause`: the error that the step threw, or that the handler threw to which it sent in
   * the same process: the message in the first line, then the stack; 4 kB at most; absent with `causes: false`.
   */
  readonly error: { readonly code: string; readonly message: string; readonly cause?: string | undefined } | undefined;
}

/** Describes a pending step for people. */
export function pendingText({ name, attempts, next, error }: PendingStep): string {
  // if a handler threw, the failure's own message says only where
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

/** Returns true if the error of a pending step contains this text. */
export function hasFailedWith({ pending }: Pick<RunInfo, "pending">, text: string): boolean {
  return pending.some(({ error }) => error !== undefined && `${error.code}: ${error.message}`.includes(text));
}

/** An entry in the timeline of a run. */
export interface RunEntry {
  /** Time at which the entry was stored, by the server's clock. */
  readonly at: Date;
  /** The process that stored the entry, as `<node>.<token>`. */
  readonly by: string;
  /** `started`, `done`, `failed`, `slept`, `signalled`, … */
  readonly type: string;
  /** The name of the step, sleep, wait or signal; empty if the entry concerns none. */
  readonly name: string;
  /** The entry's value: the input, a step's result, an error, or a reason. */
  readonly value: unknown;
}

/** A run, as an operator sees it. */
export interface RunInfo {
  /** The name of the workflow. */
  readonly workflow: string;
  /** The id of the run. */
  readonly id: string;
  /** Status of the run. */
  readonly status: RunStatus;
  /** The last stage that the handler named by `flow.stage`; `undefined`: none. */
  readonly stage: string | undefined;
  /** The version that the workflow had when the run was started. */
  readonly version: number;
  /** Time at which the run started. */
  readonly startedAt: Date;
  /** Time at which the run ended; `undefined`: it has not ended. */
  readonly endedAt: Date | undefined;
  /** Steps, sleeps and waits that are pending. */
  readonly pending: readonly PendingStep[];
  /** The entries of the run, in order. */
  readonly timeline: readonly RunEntry[];
  /**
   * Paths of members that tools hide in the values of `timeline`, from the workflow's `redact` at the start. `"all"`:
   * the stored paths cannot be read, so tools hide all values. `undefined`: none.
   */
  readonly redact?: readonly string[] | "all" | undefined;
  /**
   * Tries pending steps at once, and lets a stuck run go on. Rejects with a `CatgaError`: `NO_RUN` if the run has
   * ended, or `UNAVAILABLE`.
   */
  retry(): Promise<void>;
  /** Records a value by hand for a step that has none. The reason stays in the timeline. Rejects like `retry`. */
  skip(step: string, value: unknown, reason: string): Promise<void>;
}

/** Filter of runs. Default: all runs. */
export interface RunsOptions {
  /** Only runs of the workflow of this name. Default: all workflows. */
  workflow?: string | undefined;
  /** Only runs with this status. Default: any. */
  status?: RunStatus | undefined;
  /** True: only runs that have not ended; false: only runs that have ended. Default: both. */
  open?: boolean | undefined;
  /** Only the run with this id. Default: all runs. */
  id?: string | undefined;
}

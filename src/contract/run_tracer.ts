/**
 * The interface through which `tracing()` makes spans for runs of workflows: for their starts, for the runs, and for
 * attempts of steps.
 */
import type { AnyBehavior } from "./behavior.ts";
import type { Context } from "./context.ts";
import type { Result } from "./result.ts";

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

/**
 * Workflows as programs see them: the context that the handler of a workflow gets, options of `start` and `result`, and
 * runs as operators see them.
 */
import { printableJson } from "../../data/printable.ts";
import type { AnyCode } from "../../error.ts";
import type { Contract } from "../declaration/contract.ts";
import type { Caller, ProgramCode } from "../declaration/program_types.ts";
import type { FailOptions, Failure, Result, Success } from "./result.ts";
import type { MaybePromise, Schema } from "../schemas/schema.ts";
import type { SendArgs } from "./send_options.ts";

/** A workflow, made by `workflow()`. */
export interface WorkflowContract<In, Out, F extends string = AnyCode, View = unknown> {
  /**
   * Compile time only, never has a value: its text appears in the compiler's error when the workflow is passed to the
   * wrong method, and names the right one.
   */
  readonly "~use"?: "app.start(workflow, input)";
  /**
   * Compile time only, never has a value: keeps methods that take messages from accepting a workflow, which is started,
   * not sent.
   */
  readonly options?: undefined;
  /** Distinguishes a workflow from other contracts. */
  readonly kind: "workflow";
  /** The workflow's name: 1 to 48 letters, digits, `-` and `_`; the same on every node. */
  readonly name: string;
  /** Compile time only, never has a value: carries the types of input and result. */
  readonly "~types"?: (payload: In) => Out;
  /** Compile time only, never has a value: carries the type of the failure codes. */
  readonly "~fails"?: () => F;
  /** Compile time only, never has a value: carries the type of what runs show. */
  readonly "~view"?: () => View;
}

/** Any workflow, whatever its types. */
export type AnyWorkflow = Pick<WorkflowContract<never, unknown>, "kind" | "name">;

/** Any signal, whatever its workflow and types. */
export type AnySignal = Pick<Signal<never, unknown>, "workflow" | "name" | "~input">;

/** Any signal or question, whatever its workflow and types. */
export type AnyWaitable = Pick<Waitable<unknown>, "workflow" | "name" | "~input" | "~question">;

/** A signal or a question, for which `flow.wait` waits. `T`: the type of the value that the run gets. */
export interface Waitable<T> {
  /** The name of the workflow of the signal or question. */
  readonly workflow: string;
  /** The own name of the signal or question: unique among those of its kind in its workflow. */
  readonly name: string;
  /** Compile time only, never has a value: carries the type that the run gets. */
  readonly "~parsed"?: () => T;
  /** Internal: the schema of the payload. */
  readonly "~input"?: Schema<never, unknown> | undefined;
  /** Internal: the options of a question; `undefined`: it is a signal. */
  readonly "~question"?: QuestionDefinition | undefined;
}

/**
 * A signal that a run of a workflow can wait for, made by `Workflow.signal`. `T`: the type that the signal's sender
 * gives; `Payload`: the type that the run gets, after the schema.
 */
export interface Signal<T = void, Payload = T> extends Waitable<Payload> {
  /** Compile time only, never has a value: carries the type of the payload that the signal's sender gives. */
  readonly "~payload"?: (payload: T) => void;
  /** Compile time only, never has a value: keeps methods that take signals from accepting a question. */
  readonly "~question"?: undefined;
}

/**
 * A question that a run of a workflow can answer, made by `Workflow.question`. `In`: the type that the asker gives;
 * `Out`: the type of the answer that the asker gets; `F`: the codes that the answer may fail with; `Payload` and
 * `Answer`: the types that the run gets and gives.
 */
export interface Question<In = void, Out = void, F extends string = AnyCode, Payload = In, Answer = Out>
  extends Waitable<Asked<Payload, Answer, F>>, Askable<In, Out, F> {
  /** Internal: the question's options. */
  readonly "~question": QuestionDefinition;
}

/** A question, as its asker sees it: the argument of `ask`. */
export interface Askable<In, Out, F extends string = AnyCode> {
  /** The name of the question's workflow. */
  readonly workflow: string;
  /** The question's own name. */
  readonly name: string;
  /** Internal: the schema of what is asked. */
  readonly "~input"?: Schema<never, unknown> | undefined;
  /**
   * Compile time only, never has a value: its text appears in the compiler's error when the question is passed to the
   * wrong method, and names the right one.
   */
  readonly "~use"?: "app.ask(question, run, input)";
  /** Compile time only, never has a value: carries the types of the question's input and answer. */
  readonly "~types"?: (payload: In) => Out;
  /** Compile time only, never has a value: carries the type of the failure codes. */
  readonly "~fails"?: () => F;
  /** Internal: the question's options. */
  readonly "~question": QuestionDefinition;
}

/** Internal: the options of a question, with their defaults. */
export interface QuestionDefinition {
  /** Checks and parses the answer. */
  readonly output: Schema<never, unknown> | undefined;
  /** The codes that the answer may fail with, besides Catga's; `undefined`: any. */
  readonly failures: readonly string[] | undefined;
  /** How long the id and the answer are kept after the answer, in ms. */
  readonly keep: number;
}

/** Any question, whatever its workflow and types. */
export type AnyQuestion = Pick<Askable<never, unknown>, "workflow" | "name" | "~input" | "~question">;

/**
 * A question that a run has taken, and answers once. A question that the run has taken and does not answer before its
 * end, or before `flow.again`, fails with `NOT_ANSWERED`.
 */
export interface Asked<Payload, Answer = unknown, F extends string = AnyCode> {
  /** The id of the question: the same one when the asker repeats it. */
  readonly id: string;
  /** The input of the question, after its schema. */
  readonly input: Payload;
  /**
   * Answers the question. The answer is stored with the next entries of the run, at the latest with its end; the asker
   * gets it then. Throws a `TypeError` if the question has its answer already, and an error if the question's schema
   * refuses the value, which must not be asynchronous.
   */
  answer(value: Answer): void;
  /** Answers the question with a failure; as {@link Asked.answer}. */
  fail(code: NoInfer<F>, message: string, options?: FailOptions): void;
}

/**
 * The argument that Catga passes to the function of a step. `Progress`: type of the progress that the step reports;
 * `View`: type of what its run shows.
 */
export interface Step<Progress = unknown, View = never> {
  /**
   * Id of the step, the same in each attempt and on each node: `<workflow>:<run>:<name>`, in a later life of the run
   * (`flow.again`) with the number of the life before the name. Give it to the systems that
   * the step calls, as the id of the request, so that they can ignore repeated requests.
   */
  readonly id: string;
  /** Number of this attempt of the step; the first is 1. */
  readonly attempt: number;
  /**
   * Aborts when the run is cancelled, the attempt times out, the app stops, or another node has taken the run over. In
   * the last case, the end of an attempt that has not read `signal` counts on that node, too.
   */
  readonly signal: AbortSignal;
  /** The progress that an earlier attempt of the step has reported last; `undefined`: none that was stored. */
  readonly last: Progress | undefined;
  /**
   * Reports how far the step is: a value of up to 64 KiB, from which the next attempt can go on (`last`), on whichever
   * node. It is kept in memory, and stored at most once a second, later at most each hundredth of the time that the
   * attempt has taken; after a failed attempt at once. Throws a `TypeError` or `RangeError` for a value that cannot be
   * stored.
   */
  progress(value: Progress): void;
  /**
   * Shows where the run is while the step runs, as `flow.show` does between steps: the words of a model, one by one.
   * Each value takes the place of the one before; stored with the run's next entry, or alone as often as `progress`.
   * Once the attempt or its run is over the call does nothing. Throws as {@link Step.progress} does.
   */
  show(value: View): void;
}

/**
 * A database in which a step has its effect: what `sqlStore` of `@catga/catga/sql` gives. `Tx`: a transaction; `Out`:
 * what collects messages.
 */
export interface StepStore<Tx, Out> {
  /** Internal: runs the effect of a step once for its id. */
  "~step"<T>(id: string, fn: (tx: Tx, out: Out) => MaybePromise<T>, signal: AbortSignal): Promise<T>;
}

/**
 * Options of `flow.step`.
 * @decides workflow options, steps, signals, as types
 */
export interface StepOptions<T> {
  /**
   * Undoes the step if the run fails or is cancelled later. The function may have steps of its own. If it throws, or
   * takes longer than `timeout` without a step of its own, it is tried again according to `retry`; if it returns a
   * failure, the run is stuck (it waits for an operator). Default: none.
   */
  undo?: ((value: T) => MaybePromise<unknown>) | undefined;
  /**
   * Retry after an error of the step. `attempts`: number of attempts, the first included (1 to 1,000,000; default: no
   * limit). `delay`: the first and the longest pause in ms (1 to 2^31 - 1; default: `[1_000, 3_600_000]`); pauses
   * double. After the last attempt the run is stuck: it waits for an operator. For a step that starts a run, `retry`
   * and `timeout` apply to its `undo` only.
   */
  retry?: { attempts?: number | undefined; delay?: readonly [first: number, longest: number] | undefined } | undefined;
  /** Timeout of one attempt of the step, in ms: 1 to 2^31 - 1. Default: the `timeout` of `catga()`. */
  timeout?: number | undefined;
}

/** Options of `flow.send`, which sends a command or query as a step. */
export interface FlowSendOptions<T> extends StepOptions<T> {
  /** The name of the step. A run that sends messages of one contract twice needs it. Default: the contract's name. */
  name?: string | undefined;
}

/**
 * Options of `flow.map`, which works through a list. `T`: the type of what an item gives; `Item`: that of the items.
 * `retry` and `timeout` are those of each item's step.
 */
export interface MapOptions<T, Item> extends Omit<StepOptions<T>, "undo"> {
  /**
   * The name of the list: its items are the steps `<name>[0]`, `<name>[1]`, … A list whose items are sent has the name
   * of their contract if none is given; another one needs it.
   */
  name?: string | undefined;
  /** Number of items that are worked on at once: 1 to 1,000. Default: 10. */
  atOnce?: number | undefined;
  /**
   * True: what each item gives is collected, failures too, as `Promise.allSettled` does; false: the first failure ends
   * the list, as in `Promise.all`. Default: false.
   */
  settled?: boolean | undefined;
  /** Undoes the step of an item, as the `undo` of a step. Default: none. */
  undo?: ((value: T, item: Item) => MaybePromise<unknown>) | undefined;
}

/** Options of `flow.callback`. `T`: the type of the value that the handler gets. */
export interface CallbackOptions<T> {
  /**
   * Checks and parses the value with which the callback is completed. A value that it refuses completes the callback,
   * too: `result` then fails with `INVALID_MESSAGE`. Default: none, any value.
   */
  input?: Schema<unknown, T> | undefined;
  /**
   * Time at which the callback ends with `TIMEOUT` unless it is completed, or ms from now until then (0 to ten years).
   * Default: no limit.
   */
  timeout?: number | Date | undefined;
}

/** A callback of a run, made by `flow.callback`: who has the token completes it, once. */
export interface FlowCallback<T> {
  /** The right to complete the callback: a text that nobody can guess, of characters that URLs and headers take. */
  readonly token: string;
  /** Path of the callback on an edge with `callbacks`, without the edge's `base`: `/callbacks/<token>`. */
  readonly url: string;
  /**
   * Resolves when the callback is completed, with its value or the failure that it was completed with; with `TIMEOUT`
   * after the `timeout`; with `INVALID_MESSAGE` if `input` refuses the value.
   */
  readonly result: Promise<Result<T>>;
}

/** Begins the paths of callbacks on an edge. */
export const CALLBACK_PATH = "/callbacks/";

/** Options of `flow.wait`, which waits for a signal. */
export interface WaitOptions {
  /**
   * The name of this wait, unique in the run. Default: the signal's name, from the run's second wait for this signal on
   * with a number.
   */
  name?: string | undefined;
  /** Time at which the wait ends without a signal, or ms from now until then (0 to ten years). Default: no limit. */
  timeout?: number | Date | undefined;
  /**
   * Aborting this signal gives the wait up: it rejects with the reason of the abort, takes no signal any more, and
   * leaves what it took unseen to the next wait. Only the handler aborts it, after what it has awaited of `flow`:
   * otherwise a replay would take another way. Default: none.
   */
  signal?: AbortSignal | undefined;
}

/**
 * The signal that a wait for several took: a list with an element for each of them, in their order, of which the one
 * that was taken has the `value`, and the others are `undefined`.
 */
export type TakenSignal<Signals extends readonly unknown[]> = {
  [Taken in keyof Signals]: {
    [Each in keyof Signals]: Each extends Taken ? { readonly value: SignalPayload<Signals[Each]> } : undefined;
  };
}[number];

/** The list that a wait for several signals gives when its time is over: `undefined` for each of them. */
export type NoSignal<Signals extends readonly unknown[]> = { [Each in keyof Signals]: undefined };

/** The type of the value that a run gets with a signal. */
export type SignalPayload<Of> = Of extends Waitable<infer Payload> ? Payload : never;

/**
 * Result of `flow.send`: the value that the handler returned, or a failure that the handler chose. Other failures
 * (`TIMEOUT`, `UNAVAILABLE`, …) never come back: the step is tried again.
 */
export type Decided<T, F extends string> = Success<T> | (Failure<F> & { readonly error: { readonly code: F } });

/**
 * A run, as the handler of its workflow sees it. The names of steps and sleeps are unique in a run (in each of its
 * lives): a second use of a name rejects with a `TypeError`. `View`: type of what the run shows; a text, unless
 * `Workflow.view` names another. `In`: type of the workflow's input, for `again`.
 */
export interface Flow<View = never, In = unknown> {
  /** The id of the run. */
  readonly id: string;
  /** The version that the workflow had when this run was started. */
  readonly version: number;
  /** The headers given to `start`, or inherited from the handler or run that started this run. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * The caller that an HTTP edge named for the start of the run; `undefined`: no HTTP edge named one. A new value at
   * each reading.
   */
  readonly caller: Caller | undefined;
  /**
   * Runs a function as a step of the run: again and again until it returns, and never again after that. Records the
   * value or failure that it returned (1 MiB at most). Several steps may run at once.
   */
  step<T, Progress = unknown>(
    name: string,
    fn: (step: Step<Progress, View>) => MaybePromise<T>,
    options?: StepOptions<NoInfer<T>>,
  ): Promise<T>;
  /**
   * Runs a function as a step whose effect in a database is exactly once: the step's id and what the function returned
   * are recorded in the transaction, and a later attempt returns them. What the function collects in `out` is published
   * with the effect. A returned `fail(…)` takes the effect back, and is the step's outcome.
   */
  transaction<Tx, Out, T>(
    store: StepStore<Tx, Out>,
    name: string,
    fn: (tx: Tx, out: Out) => MaybePromise<T>,
    options?: StepOptions<NoInfer<T>>,
  ): Promise<T>;
  /**
   * Sends a command or a query as a step, with the step's id as message id; or runs another workflow to its end. After
   * a failure that the handler did not choose (`UNAVAILABLE`, `OVERLOADED`, `TIMEOUT`, …) the step is tried again until
   * it succeeds, or until the run's `timeout`.
   */
  send<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F> | WorkflowContract<In, Out, F>,
    ...args: SendArgs<In, FlowSendOptions<Out>>
  ): Promise<Decided<Out, F | ProgramCode>>;
  /**
   * Works through a list of up to 5,000 items, `atOnce` at a time: each item is a step of its own, or is sent, or is
   * the input of another run. Items begin in the order of the list. Resolves with what they gave, in this order; or
   * with the first failure that the function of an item returned, or a handler chose: no other item begins then, and
   * those that are under way go on. With `settled` resolves with what all of them gave, failures too.
   */
  map<Item, T, Progress = unknown>(
    items: readonly Item[],
    fn: (item: Item, step: Step<Progress, View>, place: number) => MaybePromise<T>,
    options: MapOptions<Exclude<NoInfer<T>, Failure>, NoInfer<Item>> & { name: string; settled?: false | undefined },
  ): Promise<Exclude<T, Failure>[] | Extract<T, Failure>>;
  /** Works through a list, and resolves with what each item gave, in the order of the list, failures too. */
  map<Item, T, Progress = unknown>(
    items: readonly Item[],
    fn: (item: Item, step: Step<Progress, View>, place: number) => MaybePromise<T>,
    options: MapOptions<Exclude<NoInfer<T>, Failure>, NoInfer<Item>> & { name: string; settled: boolean },
  ): Promise<T[]>;
  /** Sends each item, or starts a run with it, and resolves with the values, or with the first failure. */
  map<In, Out, F extends string>(
    items: readonly In[],
    contract: Contract<"command" | "query", In, Out, F> | WorkflowContract<In, Out, F>,
    options?: MapOptions<Out, In> & { settled?: false | undefined },
  ): Promise<Decided<Out[], F | ProgramCode>>;
  /** Sends each item, or starts a run with it, and resolves with all results. */
  map<In, Out, F extends string>(
    items: readonly In[],
    contract: Contract<"command" | "query", In, Out, F> | WorkflowContract<In, Out, F>,
    options: MapOptions<Out, In> & { settled: boolean },
  ): Promise<Decided<Out, F | ProgramCode>[]>;
  /**
   * Resolves at a time, or after a number of ms (0 to ten years). The wait is stored: no process has to live until it
   * ends. Rejects with a `TypeError` or `RangeError` for another value.
   */
  sleep(name: string, until: number | Date): Promise<void>;
  /**
   * Resolves with the payload of this signal: of the signals of this name that were sent to the run, the oldest that no
   * earlier `wait` has returned. Waits until one is sent if there is none. For a question resolves with what was asked,
   * which the handler then answers: `(await flow.wait(Change)).answer({ fee: 3 })`.
   */
  wait<T>(signal: Waitable<T>, options?: WaitOptions & { timeout?: undefined }): Promise<T>;
  /**
   * Resolves with the payload of the oldest signal of this name that no earlier `wait` has returned, or with
   * `undefined` if none is sent before the end of the `timeout`.
   */
  wait<T>(signal: Waitable<T>, options: WaitOptions): Promise<T | undefined>;
  /**
   * Waits for one of several signals, and takes exactly one: the oldest signal sent to the run that no earlier `wait`
   * has taken. Resolves with a list in the order of the signals, in which the one that it took has its `value`, and the
   * others are `undefined`: `const [moved, cancelled] = await flow.wait([Moved, Cancelled])`.
   */
  wait<const Signals extends readonly Waitable<unknown>[]>(
    signals: Signals,
    options?: WaitOptions & { timeout?: undefined },
  ): Promise<TakenSignal<Signals>>;
  /** Takes one signal of several; if none is sent before the end of the `timeout`, each of the list is `undefined`. */
  wait<const Signals extends readonly Waitable<unknown>[]>(
    signals: Signals,
    options: WaitOptions,
  ): Promise<TakenSignal<Signals> | NoSignal<Signals>>;
  /**
   * Makes a callback: something that is completed from outside, once, by whoever has its token: `app.complete`, or a
   * `POST` to its `url` on an edge with `callbacks`. The call returns at once; give the token away in a step, and await
   * `result`. The name is unique in the run, as a step's; each replay gives the same token. A callback ends with the
   * run, and with `flow.again`. Throws a `TypeError` or `RangeError` for an invalid name or option.
   */
  callback<T = unknown>(name: string, options?: CallbackOptions<T>): FlowCallback<T>;
  /**
   * Asks another run a question as a step, with the step's id as the question's id. Resolves with the run's answer, or
   * with a failure: its own, `NOT_ANSWERED`, `NO_RUN`. Waits as long as the run takes; a `timeout` limits one attempt.
   */
  ask<In, Out, F extends string>(
    question: Askable<In, Out, F>,
    run: string,
    ...args: SendArgs<In, FlowSendOptions<Out>>
  ): Promise<Decided<Out, F | ProgramCode | "NOT_ANSWERED" | "NO_RUN">>;
  /**
   * Shows where the run is, to programs (`app.view`, `app.watch`) and people: `RunInfo.view`. A value of up to 64 KiB,
   * in place of what the run showed before. The call returns at once; the view is stored with the run's next entry, or
   * after a second without one. In an `undo` the call does nothing. Throws a `TypeError` or `RangeError` for a value
   * that cannot be stored.
   */
  show(value: View): void;
  /**
   * Shows a text of 1 to 64 characters, as `show` does, for workflows whose runs show no more than the stage that they
   * have reached: `RunInfo.stage`. Throws a `TypeError` for another text.
   */
  stage(name: string): void;
  /**
   * Return what this gives, and the run begins anew under its id, with this input: its next life. Signals and questions
   * that the handler has not seen go on to it, and so do the ids and answers that the run knows; steps do not, and are
   * not undone any more. `result` waits for the end of the last life, and `timeout` counts from the first start. A run
   * that is cancelled or fails does not begin anew. Throws a `TypeError` in the function of a step, in an `undo`, and
   * for invalid options.
   */
  again(...args: SendArgs<In, AgainOptions>): never;
}

/** Options of `flow.again`, with which a run begins anew. */
export interface AgainOptions {
  /**
   * The fate of runs that the handler has started by `flow.send` and still waits for: `"cancel"`, or `"leave"`, so that
   * they go on; the next life cannot wait for them. Default: `"cancel"`.
   */
  children?: "cancel" | "leave" | undefined;
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
   * Starts a run at each time of a cron expression: six fields of cron, seconds first, or `@hourly` and the like. `id`
   * is the schedule's name; each run has the id `<id>@<ms>`, with the time in ms since 1970. The same `id` again
   * replaces the schedule, and `unschedule` ends it. Needs nats-server 2.14.
   */
  cron?: string | undefined;
  /** The time zone in which `cron` is read, such as `"Europe/Berlin"`. Default: UTC. */
  zone?: string | undefined;
  /**
   * Headers that are stored with the run; its handler reads them as `flow.headers`. Messages that the steps send
   * inherit the headers that the option `carry` names, the trace headers and the caller. Default: none; in a handler,
   * the headers that its sends inherit.
   */
  headers?: Readonly<Record<string, string>> | undefined;
  /**
   * Texts by which operators find the run: `app.runs({ tag })`. 1 to 10 of them, each of 1 to 64 characters. They are
   * stored with the start, and not hidden. Default: none.
   */
  tags?: readonly string[] | undefined;
}

/**
 * Option of `start`: a signal that is stored together with the start, as the arguments of `tell` behind the run. If the
 * run is there already, it is told the signal.
 */
export interface StartAndTell<T> {
  /** The signal, its payload, and the options of `tell`. Not together with `at` or `cron`. */
  tell: readonly [signal: Signal<T, unknown>, ...args: SendArgs<T, TellOptions>];
}

/** Options of `result`, which waits for the end of a run. */
export interface ResultOptions {
  /** Time to wait for the run's end, in ms: 1 to 2^31 - 1. Default: the app's `timeout`. */
  timeout?: number | undefined;
  /** Aborting this signal ends the wait, with `CANCELLED`. Default: none. */
  signal?: AbortSignal | undefined;
}

/** Options of `ask`, which asks a run a question. */
export interface AskOptions {
  /**
   * Id of the question: a repeated call with this id does not ask again, and gets the same answer. Default: a generated
   * id, which `details.id` of a `NOT_ENDED` error has.
   */
  id?: string | undefined;
  /** Time to wait for the answer, in ms: 1 to 2^31 - 1. Default: the app's `timeout`. */
  timeout?: number | undefined;
  /** Aborting this signal ends the wait, with `NOT_ENDED`; the question stays. Default: none. */
  signal?: AbortSignal | undefined;
}

/** Options of `watch`, which returns what a run shows. */
export interface WatchOptions {
  /** Aborting this signal ends the iteration. Default: none. */
  signal?: AbortSignal | undefined;
  /** The `number` of the last change that is known already: only later ones are returned. Default: none. */
  after?: number | undefined;
}

/** A change of what a run shows, or its end, which is the last change. */
export type ViewChange<View, Out, F extends string> =
  & {
    /** Number of the view: a later view of the run has a greater one; -1: the run has shown nothing. */
    readonly number: number;
  }
  & (
    | { readonly view: View; readonly result: undefined }
    /** `view`: what the run showed last; `undefined`: nothing. `result`: how it ended. */
    | { readonly view: View | undefined; readonly result: Result<Out, F> }
  );

/** Options of `tell`, which sends a signal to a run. */
export interface TellOptions {
  /** Id of the signal: the run ignores a second signal with the same id. Default: a generated id. */
  id?: string | undefined;
}

/**
 * Status of a run. `waiting`: until a time, or for a signal, another run, or a node with another version of the
 * workflow, because all live nodes refuse it (only nodes that handle workflows, and tools, know that; for others it is
 * `running`). `retrying`: a step failed, and is tried again. `stuck`: an operator has to decide. `unreadable`: this
 * program cannot decode the run's records, because its codec lacks their key, or because a later version of Catga wrote
 * them; the error in `pending` says so.
 */
export type RunStatus = "running" | "waiting" | "retrying" | "stuck" | "undoing" | "done" | "failed" | "unreadable";

/** All statuses of runs. */
export const RUN_STATUS: readonly RunStatus[] = [
  "running",
  "waiting",
  "retrying",
  "stuck",
  "undoing",
  "done",
  "failed",
  "unreadable",
];

/** A step, sleep or wait that a run has begun and not ended. */
export interface PendingStep {
  /**
   * The name of the step, sleep or wait; empty for the handler itself, which threw, or was not called, because every
   * live version of the workflow refuses the run.
   */
  readonly name: string;
  /** Time at which the step, sleep or wait began. */
  readonly since: Date;
  /** Number of failed attempts of the step. */
  readonly attempts: number;
  /** Time at which the run continues by itself; `undefined`: it continues now, or not by itself. */
  readonly next: Date | undefined;
  /**
   * Error of the step's last attempt. `cause`: the error that the step threw, or that the handler of the step's message
   * threw in the same process: the message in the first line, then the stack; 4 kB at most; absent if the node that
   * executed the step has the option `causes: false`.
   */
  readonly error: { readonly code: string; readonly message: string; readonly cause?: string | undefined } | undefined;
  /** The progress that the step has reported last, by `step.progress`; absent: none. */
  readonly progress?: unknown;
}

/** Describes a pending step in a sentence for people. */
export function pendingText({ name, attempts, next, error, progress }: PendingStep): string {
  // the thrown error says more than the failure's message, which only names the handler
  const [thrown = ""] = error?.cause?.split("\n", 1) ?? [];
  const parts = [
    name === "" ? "the handler" : name,
    progress === undefined ? "" : `at ${printableJson(progress)?.slice(0, MAX_PROGRESS_TEXT)}`,
    attempts > 0 ? `${attempts} failed` : "",
    next === undefined || Number.isNaN(next.getTime()) ? "" : `until ${next.toISOString()}`,
    error === undefined
      ? ""
      : `${error.code}: ${thrown === "" || thrown.includes(error.message) ? error.message : thrown}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

/** Maximum length of the text that shows a step's progress, in characters. */
const MAX_PROGRESS_TEXT = 200;

/** Returns the stage that a view is; `undefined`: it is another value than a short text. */
export function stageIn(view: unknown): string | undefined {
  return typeof view === "string" && view.length <= MAX_STAGE ? view : undefined;
}

/**
 * Maximum length of the name of a stage, in characters.
 * @decides `flow.stage`, and how long its text may be
 */
export const MAX_STAGE = 64;

/** Returns true if the error of one of the run's pending steps contains this text. */
export function hasFailedWith({ pending }: Pick<RunInfo, "pending">, text: string): boolean {
  return pending.some(({ error }) => error !== undefined && `${error.code}: ${error.message}`.includes(text));
}

/** An entry in the timeline of a run. */
export interface RunEntry {
  /** Time at which the entry was stored, by the server's clock. */
  readonly at: Date;
  /** The process that stored the entry, as `<node>.<token>`. */
  readonly by: string;
  /** Type of the recorded event: `started`, `done`, `failed`, `slept`, `signalled`, … */
  readonly type: string;
  /** The name of the step, sleep, wait or signal; empty if the entry concerns none. */
  readonly name: string;
  /** The value that the entry recorded: the input, a step's result, an error, or a reason. */
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
  /** The value that the handler has shown last, by `flow.show` or `flow.stage`; `undefined`: nothing. */
  readonly view: unknown;
  /** The view, if it is a text of up to 64 characters, as `flow.stage` shows it; else `undefined`. */
  readonly stage: string | undefined;
  /** The tags that were given to the start. */
  readonly tags: readonly string[];
  /** The code of the error with which the run failed; `undefined`: it has not failed. */
  readonly code: string | undefined;
  /** The version that the workflow had when the run was started; 0 if it cannot be decoded. */
  readonly version: number;
  /** Time at which the run started; if that cannot be decoded, time of a later record. */
  readonly startedAt: Date;
  /** Time at which the run ended; `undefined`: it has not ended. */
  readonly endedAt: Date | undefined;
  /** Steps, sleeps and waits that are pending. */
  readonly pending: readonly PendingStep[];
  /** The entries of the run, oldest first. */
  readonly timeline: readonly RunEntry[];
  /**
   * Paths of members that tools hide in the values of `timeline`, from the workflow's option `redact` when the run
   * started. `"all"`: the stored paths cannot be read, so tools hide all values. `undefined`: none.
   */
  readonly redact?: readonly string[] | "all" | undefined;
  /**
   * Tries the run's pending steps at once, and lets a stuck run continue. Rejects with a `CatgaError`: `NO_RUN` if the
   * run has ended, or `UNAVAILABLE`.
   */
  retry(): Promise<void>;
  /**
   * Records a value by hand for a pending step, which then counts as done. The reason is recorded in the timeline.
   * Rejects with a `CatgaError`: `NO_RUN` if the run has ended, `CONFLICT` if this is no step or has its outcome
   * already, or `UNAVAILABLE`.
   */
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
  /** Only runs that were started with this tag. Default: any. */
  tag?: string | undefined;
  /** Only runs whose last stage (`flow.stage`) is this one. Default: any. */
  stage?: string | undefined;
  /**
   * Only runs whose view (`flow.show`) has these members with these values, such as `{ state: "packing" }`. Default:
   * any.
   */
  where?: Readonly<Record<string, unknown>> | undefined;
  /** Only runs that failed with this code, or in which something that is pending failed with it. Default: any. */
  code?: string | undefined;
  /** Only runs that started at this time or later, and before that one. Default: at any time. */
  started?: { from?: Date | undefined; before?: Date | undefined } | undefined;
  /** Only runs that ended at this time or later, and before that one. Default: at any time, or not. */
  ended?: { from?: Date | undefined; before?: Date | undefined } | undefined;
}

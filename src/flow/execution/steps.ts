/**
 * The steps of a run in one execution of it: calls of `flow.step` and `flow.send` are checked, and return their
 * recorded outcome, or become a {@link StepCall}. A step performs a function or a send in attempts
 * (`attempted_step.ts`), or starts another run (`child_step.ts`). `undoing.ts` undoes steps.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { STEP_PAUSES } from "../../contract/declaration/defaults.ts";
import { describe } from "../../contract/declaration/definition.ts";
import type { AnyQuestion, FlowSendOptions, Step, StepOptions, StepStore } from "../../contract/calls/flow.ts";
import { isFailure } from "../../contract/calls/result.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import {
  checkDelay,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  isRecord,
  MAX_TIMEOUT,
  show,
} from "../../data/checks.ts";
import { CatgaError } from "../../error.ts";
import { AttemptedStep } from "./attempted_step.ts";
import { ChildStep } from "./child_step.ts";
import type { DriveState } from "./drive_state.ts";
import type { FailedAttempts, StepRetry } from "./failed_attempts.ts";
import { undoName } from "../stored/journal.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { decided } from "../stored/recorded_error.ts";
import { copyOf, valueOf } from "../stored/recorded_value.ts";
import { checkExistingRun, checkQuestion } from "../calls/run_arguments.ts";
import { asking } from "./asked_attempt.ts";
import { sending } from "./sent_attempt.ts";
import { type AttemptWork, inSpan } from "./step_attempt.ts";
import type { CalledStep, StepCall } from "./step_call.ts";

/** How a step and its `undo` are tried again; `timeout`: timeout of one attempt, in ms. */
type StepPolicy = StepRetry & { readonly timeout: number };

/** The `undo` of a step, which takes the value that is recorded for it. */
export type Undo = (value: unknown) => MaybePromise<unknown>;

/** Makes a {@link StepCall} from the parameters of a call of `flow.step` or `flow.send`. */
type MakeStep = (called: CalledStep, policy: StepPolicy) => StepCall;

/** The steps of a run in one execution of it. */
export class Steps {
  readonly #state: DriveState;
  readonly #failures: FailedAttempts;
  /** By name: steps that had no recorded outcome when they were called. */
  readonly #steps = new Map<string, StepCall>();
  readonly #undos = new Map<string, Undo>();
  readonly #policies = new Map<string, StepPolicy>();

  constructor(state: DriveState, failures: FailedAttempts) {
    this.#state = state;
    this.#failures = failures;
  }

  /** Aborts the steps whose outcomes the handler did not wait for when it ended. Child runs continue on their own. */
  abandon(): void {
    for (const step of this.#steps.values()) step.abandon();
  }

  /** The steps whose child runs have no end yet, as far as it is recorded. */
  get openChildren(): readonly ChildStep[] {
    return [...this.#steps.values()].flatMap((step) => step instanceof ChildStep && !step.isSettled ? [step] : []);
  }

  /** True if the handler has called a step that may have begun and has no outcome. */
  get open(): boolean {
    const { outcomes } = this.#state.journal;
    return [...this.#steps.values()].some(({ isOver, name }) => !isOver && !outcomes.has(name));
  }

  /** Names of the steps with an `undo`, or with a child run, that may have begun and have no outcome. */
  get undoable(): readonly string[] {
    return [...this.#steps.values()].flatMap(({ needsOutcome, mayHaveBegun, isSettled, name }) =>
      needsOutcome && mayHaveBegun && !isSettled ? [name] : []
    );
  }

  /** Returns true if a cancelled run waits for the outcome of this step, which the handler has called. */
  needsOutcome(step: string): boolean {
    return this.#steps.get(step)?.needsOutcome ?? false;
  }

  undoOf(step: string): Undo | undefined {
    return this.#undos.get(step);
  }

  /** Returns how a step that was called is tried again, and its timeout. */
  policyOf(step: string): StepPolicy {
    return this.#policies.get(step)!;
  }

  /**
   * Called when the execution of the run ends. Attempts in progress are left to the next execution if `restarts` is
   * true (the handler runs from its top again); otherwise they are aborted with the error that `why` makes.
   */
  stopped(why: () => CatgaError, restarts: boolean): void {
    const { handedOver, journal: { failures } } = this.#state;
    if (restarts) {
      for (const { name, ongoing, isOver } of this.#steps.values()) {
        const isRecorded = (failures.get(name)?.total ?? 0) >= (ongoing?.attempt.attempt ?? 0);
        if (ongoing !== undefined && !isOver && !isRecorded) handedOver.set(name, ongoing);
      }
      return;
    }
    for (const step of this.#steps.values()) step.abort(why);
    for (const { attempt } of handedOver.values()) attempt.abort(why());
  }

  /**
   * Aborts the attempts in progress of steps whose outcome a cancelled run does not need
   * ({@link CalledStep.needsOutcome}) and wakes each step that pauses between two attempts: the step begins its next
   * attempt if that is due (a cancel makes it due at once, see `journal.ts`), or is given up. Called when entries were
   * read of which one cancels the run, and for later entries.
   */
  cancelled(message: string): void {
    for (const step of this.#steps.values()) {
      if (!step.needsOutcome) step.abort(() => new CatgaError("CANCELLED", message));
      step.endPause();
    }
  }

  step<T>(name: string, fn: (step: Step) => MaybePromise<T>, options: StepOptions<NoInfer<T>>): Promise<T> {
    const state = this.#state;
    const timeout = options?.timeout ?? state.host.app.timeout;
    if (typeof fn !== "function") {
      return state.misused(new TypeError(`step ${name}: its work must be a function; got ${show(fn)}`));
    }
    const make = this.#attempted(timeout, async (attempt) => {
      const value = await state.performStep(name, () => fn(attempt));
      const { mostBytes } = state.host.log;
      if (isFailure(value)) return { ok: false, error: decided(value.error, "the step", mostBytes) };
      return { ok: true, value: copyOf(value, "the result", mostBytes) };
    });
    return this.#call(name, options, make, {}) as Promise<T>; // the step's value has its function's type
  }

  transaction<Tx, Out, T>(
    store: StepStore<Tx, Out>,
    name: string,
    fn: (tx: Tx, out: Out) => MaybePromise<T>,
    options: StepOptions<NoInfer<T>>,
  ): Promise<T> {
    if (typeof store?.["~step"] !== "function") {
      const got = `transaction ${name} takes what sqlStore(…) gives; got ${show(store)}`;
      return this.#state.misused(new TypeError(got));
    }
    if (typeof fn !== "function") {
      return this.#state.misused(new TypeError(`transaction ${name}: its work must be a function; got ${show(fn)}`));
    }
    return this.step<T>(name, ({ id, signal }) => store["~step"](id, fn, signal), options);
  }

  send(contract: AnyContract, payload: unknown, options: FlowSendOptions<never>): Promise<unknown> {
    const state = this.#state;
    const kind = contract?.kind as string;
    const isRequest = (kind === "command" || kind === "query") && isRecord(contract.options);
    if (!isRequest && !(kind === "workflow" && "~workflow" in contract)) {
      const got = /event|stream/.test(kind) ? `${describe(contract)} in the handler of a command` : show(contract);
      return state.misused(new TypeError(`flow.send takes a command, query or workflow; got ${got}`));
    }
    if (typeof options !== "object" || options === null) {
      const at = `flow.send ${contract.name}`;
      return state.misused(new TypeError(`${at} takes an object of options; got ${show(options)}`));
    }
    const { name = contract.name, ...rest } = options;
    if (kind === "workflow") {
      const make: MakeStep = (called) => new ChildStep(state, called, contract, payload);
      return this.#call(name, rest, make, { isSend: true, isChild: true });
    }
    const timeout = rest.timeout ?? contract.options.timeout ?? state.host.app.timeout;
    // a send ends at its own timeout; the attempt has a longer timeout, for a send that fails to end at its timeout
    const make = this.#attempted(
      Math.min(MAX_TIMEOUT, timeout + SEND_GRACE),
      sending(state, contract, payload, timeout),
    );
    return this.#call(name, rest, make, { isSend: true });
  }

  ask(question: AnyQuestion, run: string, payload: unknown, options: FlowSendOptions<never>): Promise<unknown> {
    const state = this.#state;
    try {
      checkQuestion("flow.ask", question);
      checkExistingRun(`flow.ask ${question.name}: run`, run);
    } catch (error) {
      return state.misused(error);
    }
    const { name = question.name, ...rest } = options;
    // the run may take long to answer: an attempt waits until it does, or this process dies
    const timeout = rest.timeout ?? MAX_TIMEOUT;
    const make = this.#attempted(timeout, asking(state, question, { run, payload, timeout }));
    return this.#call(name, rest, make, { isSend: true });
  }

  /** Returns a function that makes a step from its call; each attempt of the step does `work`. */
  #attempted(timeout: number, work: AttemptWork): MakeStep {
    return (called, retry) => new AttemptedStep(this.#state, this.#failures, called, { work, timeout, retry });
  }

  #call(
    name: string,
    options: StepOptions<never>,
    make: MakeStep,
    { isSend = false, isChild = false }: { readonly isSend?: boolean; readonly isChild?: boolean },
  ): Promise<unknown> {
    const state = this.#state;
    const { journal } = state;
    try {
      state.name(name);
      checkStep(`step ${name}`, options);
    } catch (error) {
      return state.misused(error);
    }
    const isMain = state.phase === "handler";
    const hasUndo = isMain && options.undo !== undefined;
    const policy = this.#setPolicy(name, options);
    this.#mayPause(name, policy);
    if (hasUndo) {
      this.#setUndo(name, options.undo as Undo);
      this.#mayPause(undoName(name), policy);
    }
    const needsOutcome = hasUndo || (isMain && isChild);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const settle = (outcome: RecordedOutcome) => resolve(valueOf(outcome, isSend));
    const known = journal.outcomes.get(name);
    const isAbandoned = this.#isAbandoned(isMain, needsOutcome);
    if (known !== undefined || isAbandoned) this.#abortHandedOver(name);
    if (known !== undefined && state.sees(known.index)) state.ends.deliver(name, () => settle(known));
    else if (known !== undefined || isAbandoned) state.halt();
    else {
      const step = make({ name, isMain, hasUndo, needsOutcome, settle }, policy);
      this.#steps.set(name, step);
      step.begin();
    }
    return promise;
  }

  #setPolicy(name: string, { retry = {}, timeout = this.#state.host.app.timeout }: StepOptions<never>): StepPolicy {
    const policy = { attempts: retry.attempts ?? Infinity, delay: retry.delay ?? STEP_PAUSES, timeout };
    this.#policies.set(name, policy);
    return policy;
  }

  /**
   * Notes that an earlier execution may have stored a schedule for the pause after an attempt of a step, or of an
   * `undo`, without recording the attempt.
   */
  #mayPause(name: string, { delay: [first, longest] }: StepPolicy): void {
    const { isFresh, times, journal } = this.#state;
    if (!isFresh) times.mayBeScheduled(name, this.#state.now + (journal.everFailed.has(name) ? longest : first));
  }

  /** Keeps the `undo` of a step, which will run in the async context of this call. */
  #setUndo(name: string, undo: Undo): void {
    const state = this.#state;
    const attempt = () => 1 + (state.journal.failures.get(undoName(name))?.total ?? 0);
    const traced = AsyncLocalStorage.bind((value: unknown) =>
      inSpan(state, { step: name, attempt: attempt(), isUndo: true }, async () => await undo(value))
    );
    this.#undos.set(name, traced);
  }

  /** Aborts an attempt that the previous execution left in progress, and that no call awaits. */
  #abortHandedOver(name: string): void {
    const { handedOver } = this.#state;
    handedOver.get(name)?.attempt.abort(new CatgaError("CANCELLED", `${name} is not waited for any more`));
    handedOver.delete(name);
  }

  /**
   * Returns true if a call of a step without an outcome never settles, because the run fails or is cancelled, or
   * because the `undo` that called the step is over. `isMain`: the handler called the step; false: an `undo` did.
   * `needsOutcome`: a cancelled run has to wait for the step's outcome, because the step may have to be undone.
   */
  #isAbandoned(isMain: boolean, needsOutcome: boolean): boolean {
    const { phase, failed, isFresh, journal: { failing, cancelled } } = this.#state;
    if (!isMain) return phase !== "undoing";
    return (failed && isFresh) || failing !== undefined || (cancelled !== undefined && !needsOutcome);
  }
}

/** How much longer than the timeout of its send an attempt may take, in ms. */
const SEND_GRACE = 2_000;

/** Throws if the options of a step are invalid. */
function checkStep(at: string, options: StepOptions<never>): void {
  checkKnown(at, options, STEP_OPTIONS);
  const { undo, retry, timeout } = options;
  if (undo !== undefined) checkFunction(`${at}: undo`, undo);
  if (timeout !== undefined) checkNumber(`${at}: timeout`, timeout, 1, MAX_TIMEOUT, "ms");
  if (retry === undefined) return;
  checkKnown(`${at}: retry`, retry, RETRY_OPTIONS);
  if (retry.attempts !== undefined) checkInteger(`${at}: retry.attempts`, retry.attempts, 1, 1_000_000);
  if (retry.delay !== undefined) {
    checkDelay(at, retry.delay, MAX_TIMEOUT);
  }
}

const STEP_OPTIONS = new Set(["undo", "retry", "timeout"]);
const RETRY_OPTIONS = new Set(["attempts", "delay"]);

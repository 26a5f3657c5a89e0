/**
 * The steps of a run in one execution of it: calls of `flow.step` and `flow.send` are checked, and return their
 * recorded outcome, or become a {@link StepCall}. A step performs a function or a send in attempts
 * (`attempted_step.ts`), or starts another run (`child_step.ts`). `undoing.ts` undoes steps.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { STEP_PAUSES } from "../../contract/declaration/defaults.ts";
import { describe } from "../../contract/declaration/definition.ts";
import type {
  AnyQuestion,
  FlowSendOptions,
  MapOptions,
  Step,
  StepOptions,
  StepStore,
} from "../../contract/calls/flow.ts";
import { isFailure } from "../../contract/calls/result.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import {
  checkBoolean,
  checkDelay,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  isRecord,
  MAX_TIMEOUT,
  show,
} from "../../data/checks.ts";
import { SparseMap } from "../../data/sparse.ts";
import { CatgaError } from "../../error.ts";
import { AttemptedStep } from "./attempted_step.ts";
import { ChildStep } from "./child_step.ts";
import type { DriveEnd, DriveState } from "./drive_state.ts";
import type { FailedAttempts, StepRetry } from "./failed_attempts.ts";
import { undoName } from "../stored/journal.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { valueOf } from "../stored/recorded_value.ts";
import { checkExistingRun, checkQuestion } from "../calls/run_arguments.ts";
import { asking } from "./asked_attempt.ts";
import { sending } from "./sent_attempt.ts";
import { type AttemptWork, inSpan } from "./step_attempt.ts";
import type { CalledStep, StepCall } from "./step_call.ts";

/** How a step and its `undo` are tried again; `timeout`: timeout of one attempt, in ms. */
type StepPolicy = StepRetry & { readonly timeout: number };

/** The `undo` of a step, which takes the value that is recorded for it. */
export type Undo = (value: unknown) => MaybePromise<unknown>;

/** The work of a list's items: the function of their steps, or what is sent with each. */
type MapWork = AnyContract | ((item: unknown, step: Step, place: number) => MaybePromise<unknown>);

type ItemUndo = (value: unknown, item: unknown) => MaybePromise<unknown>;

/** Makes a {@link StepCall} from the parameters of a call of `flow.step` or `flow.send`. */
type MakeStep = (called: CalledStep, policy: StepPolicy) => StepCall;

/** The steps of a run in one execution of it. */
export class Steps {
  readonly #state: DriveState;
  readonly #failures: FailedAttempts;
  /** By name: steps that had no recorded outcome when they were called. */
  readonly #steps = new Map<string, StepCall>();
  readonly #undos = new SparseMap<string, Undo>();
  readonly #policies = new SparseMap<string, StepPolicy>();

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

  /** Returns how the `undo` of a step that was called is tried again, and its timeout. */
  policyOf(step: string): StepPolicy {
    return this.#policies.get(step)!;
  }

  /**
   * Called when the execution of the run ends. Attempts in progress are left to the next execution if the handler runs
   * from its top again ("restart"); otherwise they are aborted with the error that `why` makes, but for those that
   * cannot know that another node executes the run now ("superseded").
   */
  stopped(why: () => CatgaError, end: DriveEnd): void {
    const { handedOver, journal: { failures }, error } = this.#state;
    if (end === "restart" && error === undefined) {
      for (const { name, ongoing, isOver } of this.#steps.values()) {
        const isRecorded = (failures.get(name)?.total ?? 0) >= (ongoing?.attempt.attempt ?? 0);
        if (ongoing !== undefined && !isOver && !isRecorded) handedOver.set(name, ongoing);
      }
      return;
    }
    for (const step of this.#steps.values()) end === "superseded" ? step.supersede(why) : step.abort(why);
    for (const { attempt } of handedOver.values()) attempt.abort(why());
  }

  /**
   * Aborts the attempts in progress of steps whose outcome a cancelled run does not need
   * ({@link CalledStep.needsOutcome}). Called when entries were read of which one cancels the run, and for later
   * entries, before the steps go on: a step that pauses then begins its next attempt if that is due (a cancel makes it
   * due at once, see `journal.ts`), or is given up.
   */
  cancelled(message: string): void {
    for (const step of this.#steps.values()) {
      if (!step.needsOutcome) step.abort(() => new CatgaError("CANCELLED", message));
    }
  }

  step<T>(
    name: string,
    fn: (step: Step) => MaybePromise<T>,
    options: StepOptions<NoInfer<T>>,
    together?: number,
  ): Promise<T> {
    const state = this.#state;
    const timeout = options?.timeout ?? state.host.app.timeout;
    if (typeof fn !== "function") {
      return state.misused(new TypeError(`step ${name}: its work must be a function; got ${show(fn)}`));
    }
    const make = this.#attempted(timeout, (attempt) => state.performStep(name, fn, attempt));
    return this.#call(name, options, make, { together }) as Promise<T>; // the step's value has its function's type
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

  send(
    contract: AnyContract,
    payload: unknown,
    options: FlowSendOptions<never>,
    together?: number,
  ): Promise<unknown> {
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
      return this.#call(name, rest, make, { isSend: true, isChild: true, together });
    }
    const timeout = rest.timeout ?? contract.options.timeout ?? state.host.app.timeout;
    // a send ends at its own timeout; the attempt has a longer timeout, for a send that fails to end at its timeout
    const make = this.#attempted(
      Math.min(MAX_TIMEOUT, timeout + SEND_GRACE),
      sending(state, contract, payload, timeout),
    );
    return this.#call(name, rest, make, { isSend: true, together });
  }

  /**
   * Works through a list; `work`: the function of each item's step, or what is sent with each item. Each item is a step
   * of its own, under the list's name and its place. Items begin in the order of the list, each when the handler's turn
   * comes to the end of an earlier one: so each replay begins the same ones.
   */
  map(items: readonly unknown[], work: MapWork, options: MapOptions<never, never> = {}): Promise<unknown> {
    const state = this.#state;
    const isSend = typeof work !== "function";
    const { name = isSend ? work?.name : undefined, atOnce = AT_ONCE, settled = false, undo, ...policy } = options ??
      {};
    const at = `map ${typeof name === "string" ? name : show(name)}`;
    try {
      checkKnown(at, options, MAP_OPTIONS);
      if (typeof name !== "string") throw new TypeError(`${at}: option name must be a text; got ${show(name)}`);
      checkInteger(`${at}: atOnce`, atOnce, 1, MAX_AT_ONCE);
      checkBoolean(`${at}: settled`, settled);
      if (!Array.isArray(items)) throw new TypeError(`${at} takes a list of items; got ${show(items)}`);
      if (items.length > MAX_ITEMS) {
        const advice = "work through a part, and through the next one in the run's next life (flow.again)";
        throw new RangeError(`${at} takes up to ${MAX_ITEMS} items; got ${items.length}: ${advice}`);
      }
    } catch (error) {
      return state.misused(error);
    }
    const list = [...items];
    const begin = (n: number): Promise<unknown> => {
      const item = list[n];
      // without `undo` if there is none; the casts are safe: its types are those of the items and values of this call
      const undone = undo && { undo: (value: unknown) => (undo as ItemUndo)(value, item) };
      const own = { ...policy, ...undone } as StepOptions<unknown>;
      const step = `${name}[${n}]`;
      if (isSend) return this.send(work, item, { ...own as StepOptions<never>, name: step }, atOnce);
      return this.step<unknown>(step, (step) => work(item, step, n), own, atOnce);
    };
    const ends = inTurn(list.length, atOnce, begin, (end) => !settled && isFailure(end));
    if (!isSend || settled) return ends;
    // safe: each end of a send is a result
    return ends.then((ends) => Array.isArray(ends) ? { ok: true, value: ends.map(({ value }) => value) } : ends);
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
    { isSend = false, isChild = false, together }: {
      readonly isSend?: boolean;
      readonly isChild?: boolean;
      readonly together?: number | undefined;
    },
  ): Promise<unknown> {
    const state = this.#state;
    const { journal } = state;
    try {
      if (!state.name(name, "step")) return new Promise(() => {});
      checkStep(`step ${name}`, options);
    } catch (error) {
      return state.misused(error);
    }
    const isMain = state.phase === "handler";
    const hasUndo = isMain && options.undo !== undefined;
    const { retry = {}, timeout = state.host.app.timeout } = options;
    const policy = { attempts: retry.attempts ?? Infinity, delay: retry.delay ?? STEP_PAUSES, timeout };
    this.#mayPause(name, policy);
    if (hasUndo) {
      this.#policies.set(name, policy);
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
      const step = make({ name, isMain, hasUndo, needsOutcome, together, settle }, policy);
      this.#steps.set(name, step);
      step.begin();
    }
    return promise;
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

/**
 * Calls `begin` for the numbers from 0, at most `atOnce` of them at a time. Resolves with what they resolved with, in
 * their order; or with the first one for which `isLast` returns true: then no other begins. Rejects as the first one
 * that rejects.
 */
function inTurn<T>(
  count: number,
  atOnce: number,
  begin: (n: number) => Promise<T>,
  isLast: (end: T) => boolean,
): Promise<T[] | T> {
  return new Promise((resolve, reject) => {
    const ends: T[] = new Array(count);
    let [next, left, isOver] = [0, count, false];
    const stop = () => isOver = true;
    const go = () => {
      if (isOver || next === count) return;
      const n = next++;
      begin(n).then((end) => {
        ends[n] = end;
        if (isOver) return;
        if (isLast(end)) {
          stop();
          return resolve(end);
        }
        if (--left === 0) return resolve(ends);
        go();
      }).catch((error) => (stop(), reject(error)));
    };
    if (count === 0) return resolve(ends);
    for (let n = 0; n < atOnce; n++) go();
  });
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

/** Number of items of a list that are worked on at once, unless the program says another. */
const AT_ONCE = 10;
/** Maximum of that number. */
const MAX_AT_ONCE = 1_000;
/**
 * Maximum number of items of a list: half of a run's entries, if no two are stored together.
 * @decides `flow.map`, how long its list may be
 */
const MAX_ITEMS = 5_000;
const MAP_OPTIONS = new Set(["name", "atOnce", "settled", "undo", "retry", "timeout"]);
const STEP_OPTIONS = new Set(["undo", "retry", "timeout"]);
const RETRY_OPTIONS = new Set(["attempts", "delay"]);

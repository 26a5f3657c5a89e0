/**
 * The steps of a run while it is driven here: begun once what they follow is stored, tried again after pauses until the
 * run is stuck, and given up after a cancel if there is nothing to take back. A step performs a function, a send, or
 * another run, whose end is told to this one. They are undone in `undoing.ts`.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { AnyContract } from "../contract/contract.ts";
import { STEP_PAUSES } from "../contract/defaults.ts";
import { describe } from "../contract/definition.ts";
import type { FlowSendOptions, Step, StepOptions } from "../contract/flow.ts";
import { isFailure } from "../contract/result.ts";
import type { MessageHeaders } from "../contract/run_tracer.ts";
import type { MaybePromise } from "../contract/schema.ts";
import { isRecord, MAX_TIMEOUT, show } from "../data/checks.ts";
import { CatgaError, isCatgaError, isErrorCode } from "../error.ts";
import type { Timer } from "../ports/clock.ts";
import { type DriveState, MISUSES, type PendingCall } from "./drive_state.ts";
import { type RecordedOutcome, undoName } from "./journal.ts";
import { causeOf, decided, DecidedFailure, errorOf, PASSING, Passing, readable, recorded } from "./recorded_error.ts";
import { copyOf, valueOf } from "./recorded_value.ts";
import { type OngoingAttempt, StepAttempt, stepId } from "./step_attempt.ts";
import { checkStep, HOLD, type StepRetry } from "./step_options.ts";

/** What a step does when it may: called again after news, while it has no outcome. */
type Going = (step: StepCall, settle: (outcome: RecordedOutcome) => void) => void;

/** A step that has been called. */
interface StepCall extends PendingCall {
  readonly name: string;
  readonly undo: boolean;
  /** It was called by the handler itself, not by an `undo`. */
  readonly main: boolean;
  /** No attempt began before this drive. */
  readonly fresh: boolean;
  /** An attempt has begun in this drive. */
  begun: boolean;
  /** It is being performed. */
  busy: boolean;
  /** It has its outcome, or is given up after a cancel. */
  over: boolean;
  attempt: StepAttempt | undefined;
  /** The attempt under way, for a handler that restarts. */
  ongoing?: OngoingAttempt | undefined;
  wake: (() => void) | undefined;
}

/** How a step is performed. */
interface Performing {
  perform(step: StepAttempt): Promise<RecordedOutcome>;
  /** How long an attempt may take, in ms. */
  readonly timeout: number;
}

/** Retries of a step and its `undo`; `timeout`: that of an attempt, in ms. */
type Policy = StepRetry & { readonly timeout: number };

/** The `undo` of a step, which takes the value that is recorded for it. */
export type Undo = (value: unknown) => MaybePromise<unknown>;

/** The steps of a drive. */
export class Steps {
  readonly #state: DriveState;
  readonly #steps = new Map<string, StepCall>();
  readonly #undos = new Map<string, Undo>();
  readonly #policies = new Map<string, Policy>();

  constructor(state: DriveState) {
    this.#state = state;
  }

  /** Gives up what the handler has returned without: what runs is aborted; children go on by themselves. */
  abandon(): void {
    for (const step of this.#steps.values()) {
      const { name, attempt, wake } = step;
      if (this.#isSettled(step)) continue;
      this.#over(step);
      attempt?.abort(new CatgaError("CANCELLED", `${this.#state.label} has ended without ${name}`));
      wake?.();
    }
  }

  /** Whether one that has begun, or may have begun, has no outcome. */
  get open(): boolean {
    const { outcomes } = this.#state.journal;
    return [...this.#steps.values()].some(({ over, name }) => !over && !outcomes.has(name));
  }

  /** Steps with an undo that have begun, or may begin, and have no outcome. */
  get undoable(): readonly string[] {
    return [...this.#steps.values()].flatMap((step) =>
      step.undo && step.main && !this.#isSettled(step) ? [step.name] : []
    );
  }

  undoOf(step: string): Undo | undefined {
    return this.#undos.get(step);
  }

  /** Recorded with a step: a handler that was changed may not call it any more. */
  #undoFlag(step: string): { readonly undo?: boolean } {
    return this.#undos.has(step) ? { undo: true } : {};
  }

  /** Of a step that was called. */
  policyOf(step: string): Policy {
    return this.#policies.get(step)!;
  }

  /** Whether the attempt under way is the last one of a step, or of its `undo`: a retryable failure is its outcome. */
  isLastAttempt(name: string, { attempts } = this.policyOf(name)): boolean {
    return (this.#state.journal.failures.get(name)?.attempts ?? 0) + 1 >= attempts;
  }

  /** The drive is over. `restarts`: the next one goes on with attempts that are under way. */
  stopped(why: () => CatgaError, restarts: boolean): void {
    const { handedOver, journal: { failures } } = this.#state;
    if (restarts) {
      for (const { name, ongoing, over } of this.#steps.values()) {
        const isRecorded = (failures.get(name)?.total ?? 0) >= (ongoing?.attempt.attempt ?? 0);
        if (ongoing !== undefined && !over && !isRecorded) handedOver.set(name, ongoing);
      }
      return;
    }
    for (const { attempt } of this.#steps.values()) attempt?.abort(why());
    for (const { attempt } of handedOver.values()) attempt.abort(why());
  }

  /** The run is cancelled: steps that have nothing to take back are aborted, and none waits for its next attempt. */
  cancelled(message: string): void {
    for (const { undo, attempt, wake } of this.#steps.values()) {
      if (!undo) attempt?.abort(new CatgaError("CANCELLED", message));
      wake?.();
    }
  }

  step<T>(name: string, fn: (step: Step) => MaybePromise<T>, options: StepOptions<NoInfer<T>>): Promise<T> {
    const timeout = options?.timeout ?? this.#state.host.app.timeout;
    if (typeof fn !== "function") {
      return this.#state.misused(new TypeError(`step ${name}: its work must be a function; got ${show(fn)}`));
    }
    // in the async context of this call, not of what its turn came with
    const perform = AsyncLocalStorage.bind((attempt: StepAttempt) =>
      this.#traced(name, attempt, () => this.#called(fn, attempt))
    );
    // the program's types say what it gave
    return this.#call(name, options, (step, settle) => this.#perform(step, { perform, timeout }, settle)) as Promise<T>;
  }

  send(contract: AnyContract, payload: unknown, options: FlowSendOptions<never>): Promise<unknown> {
    const kind = contract?.kind as string;
    const isRequest = (kind === "command" || kind === "query") && isRecord(contract.options);
    if (!isRequest && !(kind === "workflow" && "~workflow" in contract)) {
      const got = /event|stream/.test(kind) ? `${describe(contract)} in the handler of a command` : show(contract);
      return this.#state.misused(new TypeError(`flow.send takes a command, query or workflow; got ${got}`));
    }
    if (typeof options !== "object" || options === null) {
      const at = `flow.send ${contract.name}`;
      return this.#state.misused(new TypeError(`${at} takes an object of options; got ${show(options)}`));
    }
    const { name = contract.name, ...rest } = options;
    if (kind === "workflow") {
      return this.#call(name, rest, this.#child(contract, payload), { isSend: true, isChild: true });
    }
    const timeout = rest.timeout ?? contract.options.timeout ?? this.#state.host.app.timeout;
    const perform = AsyncLocalStorage.bind((attempt: StepAttempt) =>
      this.#traced(name, attempt, (headers) => this.#sent(contract, payload, attempt, timeout, headers))
    );
    // the send has its own end; this one is for a send that has none
    const how = { perform, timeout: Math.min(MAX_TIMEOUT, timeout + GRACE) };
    return this.#call(name, rest, (step, settle) => this.#perform(step, how, settle), { isSend: true });
  }

  /** Returns true if no attempt follows one that failed so: an operator has to decide. */
  isLast(name: string, error: unknown, attempts: number): boolean {
    if (error instanceof DecidedFailure || MISUSES.has(error as object)) return true;
    return !(error instanceof Passing) && (this.#state.journal.failures.get(name)?.attempts ?? 0) + 1 >= attempts;
  }

  /** Records a failed attempt, and when the next one follows. */
  async failed(name: string, thrown: unknown, { attempts, delay: [first, longest] }: StepRetry): Promise<void> {
    const state = this.#state;
    const error = isFailure(thrown) ? thrown.error : thrown;
    const { clock, app: { random, observer } } = state.host;
    const failures = state.journal.failures.get(name);
    const failed = (failures?.attempts ?? 0) + 1;
    const passing = error instanceof Passing;
    const what = { ...recorded(error), ...(state.host.app.causes ? causeOf(error) : {}) };
    if (this.isLast(name, error, attempts)) {
      state.recorder.refuse(name, what, error);
      await state.recorder.stored();
      return;
    }
    // a failure of operation ends with what caused it: pauses follow how long that has lasted
    const lasted = failures === undefined || failures.attempts === 0 ? 0 : clock.now() - failures.first;
    const pause = passing
      ? Math.min(longest, Math.max(first, lasted / 5))
      : Math.min(longest, first * 2 ** Math.min(30, failed - 1));
    const next = clock.now() + pause * (0.75 + random() / 4);
    const scheduled = next - clock.now() > HOLD;
    if (scheduled && !await state.times.wake(name, next)) return;
    state.recorder.record({ ...state.recorder.failedAttempt(name, what), next, ...(scheduled ? { scheduled } : {}) });
    if (!await state.recorder.stored()) return;
    // an outage may last for days, and be that of each run
    if (passing && failures?.error.code === what.code) return;
    const { code, message } = what;
    const attempt = (failures?.total ?? 0) + 1;
    observer({ type: "run-failed", ...state.ref, step: name, attempt, code, message, pause, error });
  }

  // a call ------------------------------------------------------------------------------------------

  #call(
    name: string,
    options: StepOptions<never>,
    going: Going,
    { isSend = false, isChild = false }: { readonly isSend?: boolean; readonly isChild?: boolean } = {},
  ): Promise<unknown> {
    const state = this.#state;
    const { journal } = state;
    try {
      state.name(name);
      checkStep(`step ${name}`, options);
    } catch (error) {
      return state.misused(error);
    }
    const main = state.phase === "handler";
    const { retry = {}, timeout = state.host.app.timeout } = options;
    this.#policies.set(name, { attempts: retry.attempts ?? Infinity, delay: retry.delay ?? STEP_PAUSES, timeout });
    if (main && options.undo !== undefined) {
      const undo = options.undo as Undo;
      const attempt = () => 1 + (journal.failures.get(undoName(name))?.total ?? 0);
      this.#undos.set(
        name,
        AsyncLocalStorage.bind((value) =>
          state.traced({ step: name, attempt: attempt(), isUndo: true }, async () => await undo(value))
        ),
      );
    }
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const settle = (outcome: RecordedOutcome) => resolve(valueOf(outcome, isSend));
    const known = journal.outcomes.get(name);
    if (known !== undefined || this.#isAbandoned(main, isChild || options.undo !== undefined)) {
      state.handedOver.get(name)?.attempt.abort(new CatgaError("CANCELLED", `${name} is not waited for any more`));
      state.handedOver.delete(name);
    }
    // a child undoes itself
    const undo = isChild || options.undo !== undefined;
    if (known !== undefined && state.sees(known.index)) state.ends.deliver(name, () => settle(known));
    else if (known !== undefined || this.#isAbandoned(main, undo)) state.halt();
    else {
      const step: StepCall = {
        ...{ name, undo, main, fresh: state.isFresh && !state.handedOver.has(name) },
        ...{ begun: false, busy: false, over: false, attempt: undefined, wake: undefined },
        go: () => {
          const outcome = journal.outcomes.get(name);
          if (outcome === undefined) return going(step, settle);
          step.attempt?.abort(new CatgaError("CANCELLED", `${name} was given an outcome`));
          this.#over(step);
          step.wake?.();
          if (state.sees(outcome.index)) state.ends.deliver(name, () => settle(outcome));
          else state.halt();
        },
      };
      this.#steps.set(name, step);
      state.call(step);
    }
    return promise;
  }

  #over(step: StepCall): void {
    step.over = true;
    this.#state.calls.delete(step);
  }

  /** Whether a step needs no outcome any more from this drive. */
  #isSettled({ name, over }: StepCall): boolean {
    return over || this.#state.over || this.#state.journal.outcomes.has(name);
  }

  /** Whether a step that has no outcome may not begin any more. */
  #isAbandoned(main: boolean, undo: boolean): boolean {
    const { phase, failed, isFresh, journal: { failing, cancelled } } = this.#state;
    if (!main) return phase !== "undoing";
    return (failed && isFresh) || failing !== undefined || (cancelled !== undefined && !undo);
  }

  /**
   * Whether a step needs no outcome, because the run is cancelled: there is nothing to undo of it, or it has not begun.
   */
  #isGivenUp(step: StepCall): boolean {
    const { phase, journal } = this.#state;
    if (journal.cancelled === undefined || phase !== "handler") return false;
    if (step.undo && (step.begun || !step.fresh)) return false;
    return step.over = true;
  }

  // attempts ----------------------------------------------------------------------------------------

  #perform(step: StepCall, how: Performing, settle: (outcome: RecordedOutcome) => void): void {
    const state = this.#state;
    if (step.busy) return step.wake?.();
    step.busy = true;
    this.#attempts(step, how).then((outcome) => {
      step.busy = false;
      if (step.over) state.halt();
      if (outcome === undefined || state.over) return;
      this.#over(step);
      state.ends.deliver(step.name, () => {
        // behind a cancel the handler sees nothing any more
        if (state.journal.cancelled === undefined || state.phase !== "handler" || !step.main) settle(outcome);
        else state.halt();
      });
    });
  }

  /** Drives a step to its outcome. `undefined`: it has none, and somebody else decides how it goes on. */
  async #attempts(step: StepCall, how: Performing): Promise<RecordedOutcome | undefined> {
    const state = this.#state;
    const { journal } = state;
    const { name } = step;
    while (true) {
      if (this.#isSettled(step)) return undefined;
      const left = state.times.pauseOf(name);
      // a stuck one is given up like any other
      if (left === Infinity) return void this.#isGivenUp(step);
      if (left > 0) {
        if (state.times.isScheduled(name, journal.failures.get(name)!)) return undefined;
        await this.#doze(step, left);
        continue;
      }
      if (this.#isGivenUp(step) || !await state.recorder.ready(step.undo && step.main ? name : undefined)) {
        return undefined;
      }
      // what was read, or given up, meanwhile
      if (this.#isSettled(step) || this.#isGivenUp(step)) return undefined;
      if (state.isTooLong()) return undefined;
      const outcome = await state.activity.during(() => this.#attempt(step, how));
      if (outcome !== "failed") return outcome;
    }
  }

  async #attempt(step: StepCall, { perform, timeout }: Performing): Promise<RecordedOutcome | "failed" | undefined> {
    const state = this.#state;
    const { journal } = state;
    const { name } = step;
    state.attempts++;
    step.begun = true;
    const before = state.handedOver.get(name);
    state.handedOver.delete(name);
    const number = (journal.failures.get(name)?.total ?? 0) + 1;
    const attempt = before?.attempt ?? new StepAttempt(stepId(state.ref, name), number, step.fresh && number === 1);
    step.attempt = attempt;
    const began = before?.began ?? state.now;
    let timer: Timer | undefined;
    // many have ended by then
    state.host.soon(() => {
      if (step.attempt !== attempt || state.over) return;
      timer = state.activity.timer(Math.max(0, began + timeout - state.now), () => {
        attempt.abort(new CatgaError("TIMEOUT", `an attempt of ${name} took longer than ${timeout} ms`));
      });
    });
    try {
      step.ongoing = before ?? { attempt, outcome: attempt.outcome(perform(attempt)), began };
      const outcome = await step.ongoing.outcome;
      if (this.#isSettled(step)) return undefined;
      if (outcome.error?.retryable && !this.isLastAttempt(name)) throw new Passing(errorOf(outcome.error));
      state.recorder.record({ t: "done", step: name, outcome, ...(outcome.ok ? this.#undoFlag(name) : {}) });
      return outcome;
    } catch (thrown) {
      if (this.#isSettled(step)) return undefined;
      const error = readable(thrown);
      // what a step without undo throws when it is aborted is no failure
      if (!step.undo && this.#isGivenUp(step)) return undefined;
      if (isCatgaError(error) && error.code === "CLOSED" && !(error instanceof DecidedFailure)) {
        state.leaving = true;
        return undefined;
      }
      await this.failed(name, error, this.policyOf(name));
      return "failed";
    } finally {
      step.attempt = undefined;
      step.ongoing = undefined;
      timer?.cancel();
      state.attempts--;
    }
  }

  /** Waits on this node; news ends it. */
  #doze(step: StepCall, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#state.activity.timer(ms, () => step.wake?.());
      step.wake = () => {
        step.wake = undefined;
        timer.cancel();
        resolve();
      };
    });
  }

  // what a step performs ----------------------------------------------------------------------------

  #traced(
    step: string,
    { attempt }: StepAttempt,
    perform: (headers: MessageHeaders | undefined) => Promise<RecordedOutcome>,
  ): Promise<RecordedOutcome> {
    return this.#state.traced({ step, attempt, isUndo: false }, perform);
  }

  async #called<T>(fn: (step: Step) => MaybePromise<T>, attempt: StepAttempt): Promise<RecordedOutcome> {
    const value = await fn(attempt);
    const { mostBytes } = this.#state.host.log;
    if (isFailure(value)) return { ok: false, error: decided(value.error, "the step", mostBytes) };
    return { ok: true, value: copyOf(value, "the result", mostBytes) };
  }

  async #sent(
    contract: AnyContract,
    payload: unknown,
    attempt: StepAttempt,
    timeout: number,
    headers: MessageHeaders | undefined,
  ): Promise<RecordedOutcome> {
    const { host, journal, leaving } = this.#state;
    const { id, signal, fresh } = attempt;
    // an entity looks for what was sent before
    const again = fresh || !host.app.ofEntity(contract) ? {} : { firstSent: new Date(journal.startedAt - GRACE) };
    const result = await host.app.send(contract, payload, { id, signal, timeout, headers, ...again });
    if (result.ok) {
      return { ok: true, value: copyOf(result.value, `the answer of ${contract.name}`, host.log.mostBytes) };
    }
    const { error } = result;
    if (!isErrorCode(error.code) || contract.options.failures?.includes(error.code)) {
      return { ok: false, error: decided(error, contract.name, host.log.mostBytes) };
    }
    if (error.code === "CLOSED" && (error.node === undefined || leaving)) throw error;
    if (PASSING.has(error.code) || signal.aborted) throw new Passing(error);
    if (error.code === "OUTCOME_UNKNOWN" || error.code === "CANCELLED") {
      const { kind, options: { idempotent } } = contract;
      if (kind === "query" || idempotent || host.app.ofEntity(contract)) throw new Passing(error);
      throw new DecidedFailure(recorded(error));
    }
    if (error.code === "HANDLER_FAILED") throw error;
    throw new DecidedFailure(recorded(error));
  }

  /** Another run, which tells this one its end; after a cancel it is cancelled, too. */
  #child(contract: AnyContract, input: unknown): Going {
    const state = this.#state;
    const { host, journal, ref } = state;
    let cancelled = false;
    return (step) => {
      const { name, main } = step;
      const { workflow = contract.name } = journal.children.get(name) ?? {};
      const child = { workflow, run: stepId(ref, name) };
      const parent = { ...ref, step: name, depth: 1 + (journal.started!.parent?.depth ?? 0) };
      const isCancelling = () => journal.cancelled !== undefined && !cancelled && main;
      if (step.over || step.busy || (journal.children.has(name) && !isCancelling())) return;
      if (state.times.isStuck(name) && !isCancelling() && !journal.wasTold(name, child)) return;
      step.busy = true;
      state.activity.work(async () => {
        try {
          if (!await state.recorder.ready(main ? name : undefined)) return;
          if (isCancelling() && !journal.wasTold(name, child)) {
            cancelled = true;
            const { message } = journal.cancelled!.error;
            // a child that was never started has nothing to undo
            if (await state.activity.insist(() => host.cancelChild(child, message, contract), undefined) ?? true) {
              return;
            }
            this.#over(step);
            return state.halt();
          }
          const started = journal.wasTold(name, child)
            ? { ok: true, value: child.run } as const
            : await host.startChild(contract, child.run, input, parent, state.carried);
          if (state.over || journal.outcomes.has(name) || journal.children.has(name)) return;
          if (started.ok) {
            state.recorder.record({ t: "child", step: name, ...child, ...this.#undoFlag(name) });
            state.recorder.after(() => step.go()); // it may have ended before
          } else if (PASSING.has(started.error.code) || started.error.code === "OUTCOME_UNKNOWN") {
            state.activity.timer(1_000, () => step.go());
          } else state.recorder.refuse(name, recorded(started.error));
        } finally {
          step.busy = false;
          const goesOn = !state.leaving && (isCancelling() || journal.wasTold(name, child));
          if (!state.over && (journal.outcomes.has(name) || goesOn)) step.go();
        }
      });
    };
  }
}

/** What a send may take beyond its timeout, and what clocks may differ by, in ms. */
const GRACE = 2_000;

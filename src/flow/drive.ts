/**
 * A run while this node drives it: the handler runs from its top, recorded steps give what they gave, and what is new is done and recorded. A
 * drive ends when the run has ended, when all that goes on waits for something outside, or when the run is no longer this node's.
 *
 * The rules, each held by `test/simulation/flow_simulation_test.ts`:
 * 1. No step begins before what the handler has seen so far is stored, and before the run is stored as this node's. Outcomes that are ready
 *    together are one append; the last step and the end are one.
 * 2. Each append expects the last message that was read. Another driver's message in its place ends this drive at once.
 * 3. A schedule stands before the entry that waits for it.
 * 4. A run that fails waits for the outcomes of all steps that began, then undoes, the latest first.
 * 5. After a cancel the handler sees nothing that was recorded behind it; steps with `undo` that may have begun get an outcome, and are undone.
 *
 * Over 300 lines: what a handler may call shares the calls that wait, and the entries that are not stored yet.
 */
import type { Flow, FlowSendOptions, Signal, Step, StepOptions, WaitOptions } from "../contract/flow.ts";
import type { AnyContract } from "../contract/contract.ts";
import { type Failure, isFailure, type Result } from "../contract/result.ts";
import { type MaybePromise, validate } from "../contract/schema.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { WorkflowBody } from "../contract/workflow_body.ts";
import { decodeText, encodeValue, exceeds } from "../data/encoding.ts";
import { MAX_TIMEOUT, show } from "../data/checks.ts";
import { CatgaError, isCatgaError, isErrorCode } from "../error.ts";
import type { Clock, Random, Timer } from "../ports/clock.ts";
import {
  type Entry,
  type Journal,
  nextSignal,
  type Outcome,
  type RecordedError,
  type Timed,
  undoName,
  undoOrder,
} from "./journal.ts";
import {
  checkStep,
  checkUntil,
  Decided,
  PASSING,
  Passing,
  recorded,
  type Retry,
  stepId,
  timeOf,
  untilAborted,
  valueOf,
} from "./outcomes.ts";
import type { RunRef, RunWriter } from "./run_log.ts";

/** How a drive ends. `again`: what it did in memory is not what is recorded; `left`: the node stops. */
export type DriveEnd = "ended" | "suspended" | "lost" | "again" | "left";

/** What a drive needs of its node. */
export interface DriveHost {
  readonly endpoint: string;
  readonly clock: Clock;
  readonly random: Random;
  /** How long an attempt of a step may take without an own timeout, in ms. */
  readonly timeout: number;
  /** The largest value that may be recorded, in bytes. */
  readonly mostBytes: number;
  /** Stores that the run is to be called at a time, in ms since 1970. The same step again replaces it. Rejects with a `CatgaError`. */
  wake(ref: RunRef, step: string, at: number): Promise<void>;
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
  /** Whether a contract is a command of an entity: one that may be sent again when nobody knows whether it ran. */
  ofEntity(contract: AnyContract): boolean;
  /** Starts a run that tells this one its end. */
  startChild(
    contract: AnyContract,
    id: string,
    input: unknown,
    parent: RunRef & { step: string },
  ): Promise<Result<string>>;
  /** Resolves with whether there is such a run: it has told, or will tell, its end. Rejects with a `CatgaError`. */
  cancelChild(child: RunRef, reason: string): Promise<boolean>;
  /** The run has ended: tells who waits for it. */
  ended(ref: RunRef, journal: Journal): Promise<void>;
  stuck(ref: RunRef, step: string, error: RecordedError): void;
  /** The run has many entries. */
  long(ref: RunRef, entries: number): void;
}

/** A time that a run waited for has come. */
export interface Due {
  /** The step, sleep or wait. */
  readonly step: string;
  /** That time, in ms since 1970. */
  readonly at: number;
}

/** What a drive is made of. */
export interface DriveOptions {
  readonly host: DriveHost;
  readonly ref: RunRef;
  readonly body: WorkflowBody;
  readonly journal: Journal;
  readonly writer: RunWriter;
  /** Times that have come. */
  readonly due: readonly Due[];
  /** This node has just started it. */
  readonly fresh?: boolean;
}

/** Something that the handler has called and that has not settled. */
interface Call {
  readonly name: string;
  /** Looks whether it can go on. Called again after news. */
  go(): void;
  /** Of a step: it has begun, so that the run may not end without its outcome. */
  readonly step?: StepCall;
}

/** A step that has been called. */
interface StepCall {
  readonly name: string;
  readonly undo: boolean;
  /** No attempt began before this drive. */
  readonly fresh: boolean;
  /** An attempt has begun in this drive. */
  begun: boolean;
  /** It is being performed. */
  busy: boolean;
  /** It has its outcome, or is given up after a cancel. */
  over: boolean;
  controller: AbortController | undefined;
  wake: (() => void) | undefined;
}

const IDLE = { begun: false, busy: false, over: false, controller: undefined, wake: undefined };

/** An attempt of a step. */
interface Attempt extends Step {
  /** There was none before. */
  readonly fresh: boolean;
}

/** A run on this node. */
export class Drive {
  readonly ref: RunRef;
  readonly journal: Journal;
  /** Resolves once. */
  readonly end: Promise<DriveEnd>;
  readonly #host: DriveHost;
  readonly #body: WorkflowBody;
  readonly #writer: RunWriter;
  /** Times that have come, whatever this node's clock says: by step, the latest, in ms since 1970. */
  readonly #due = new Map<string, number>();
  readonly #resolve: (end: DriveEnd) => void;
  #over = false;
  #leaving = false;
  /** Entries that are not stored yet, and the append that is under way. */
  #queue: Entry[] = [];
  #storing: Promise<void> | undefined;
  /** What goes on by itself: the drive is not suspended while there is any. */
  #active = 0;
  #looking = false;
  /** What the handler awaits, or an `undo` that runs now. */
  readonly #calls = new Set<Call>();
  readonly #steps = new Map<string, StepCall>();
  readonly #names = new Set<string>();
  readonly #undos = new Map<string, (value: unknown) => MaybePromise<unknown>>();
  readonly #retries = new Map<string, Retry>();
  /** Signals that waits took, until that is stored. */
  readonly #taken = new Set<number>();
  readonly #numbers = new Map<string, number>();
  readonly #timers = new Set<Timer>();
  /** Sleeps and waits that a timer ends. */
  readonly #ticking = new Set<string>();
  /** Sleeps and waits whose end is being stored. */
  readonly #noted = new Set<Call>();
  /** How many calls of the handler never settle, because the run is cancelled or fails. */
  #halted = 0;
  /** This drive has stored something, or began the run: what begins now did not begin before. */
  #own = false;
  /** What was stored is not what this drive did in memory. */
  #contradicted = false;
  /** It ends because it was cancelled. */
  #byCancel = false;
  /** `undo` functions run: the handler's own calls are over. */
  #phase: "handler" | "finishing" | "undoing" = "handler";
  /** How the handler ended, or will. */
  #finish: (() => void) | undefined;
  #news: Promise<void> | undefined;

  constructor({ host, ref, body, journal, writer, due, fresh = false }: DriveOptions) {
    this.#host = host;
    this.ref = ref;
    this.#body = body;
    this.journal = journal;
    this.#writer = writer;
    for (const one of due) this.#come(one);
    this.#own = fresh;
    const { promise, resolve } = Promise.withResolvers<DriveEnd>();
    this.end = promise;
    this.#resolve = resolve;
  }

  /** Begins. */
  begin(): void {
    const { journal } = this;
    if (journal.ended !== undefined) return void this.#ended();
    if (journal.takeovers > MOST_TAKEOVERS && !journal.failures.has("")) {
      const message = `the processes that drove it ended ${journal.takeovers} times without recording anything`;
      return this.#stop("", { code: "HANDLER_FAILED", message });
    }
    this.#limitTime();
    this.#runHandler();
    this.#look();
  }

  get over(): boolean {
    return this.#over;
  }

  /** There may be news: reads on. `due`: a time that has come. */
  tell(due?: Due): Promise<void> {
    if (this.#over) return Promise.resolve();
    if (due !== undefined) this.#come(due);
    return this.#news ??= this.#readNews().finally(() => this.#news = undefined);
  }

  /** The node stops: begins no more attempts, and ends when those that run have outcomes. */
  leave(): void {
    this.#leaving = true;
    this.#look();
  }

  /** Ends it at once, and aborts what runs. */
  stop(end: DriveEnd = "left"): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) timer.cancel();
    const why = end === "lost"
      ? new CatgaError("CANCELLED", `another node drives ${this.#label} now`)
      : new CatgaError("CLOSED", `${this.#label} is not driven here any more`);
    for (const { controller } of this.#steps.values()) controller?.abort(why);
    this.#resolve(end);
  }

  get #label(): string {
    return `run ${this.ref.run} of ${this.ref.workflow}`;
  }

  // the handler -------------------------------------------------------------------------------------

  #runHandler(): void {
    if (this.#pauseOf("", () => this.#runHandler())) return;
    this.#names.clear();
    this.#numbers.clear();
    const flow = this.#flow();
    this.#input().then((input) => this.#body.fn(flow, input as never)).then(
      (returned) => isFailure(returned) ? this.#failed(returned) : this.#returned(returned),
      (thrown) =>
        isFailure(thrown)
          ? this.#failed(thrown)
          : isCatgaError(thrown)
          ? this.#failed({ ok: false, error: thrown })
          : this.#threw(thrown),
    );
  }

  /** The input, parsed. Rejects if it does not fit the schema. */
  async #input(): Promise<unknown> {
    const { definition: { input, name } } = this.#body;
    const given = this.journal.started!.input;
    if (input === undefined) return given;
    const parsed = await validate(input, given, "INVALID_MESSAGE", name);
    if (parsed.ok) return parsed.value;
    throw new Error(parsed.error.message);
  }

  #flow(): Flow {
    const { ref: { run }, journal } = this;
    return {
      id: run,
      version: journal.started!.version,
      step: (name, fn, options = {}) => this.#step(name, (step) => this.#call(fn, step), options),
      send: (contract: unknown, payload?: unknown, options: FlowSendOptions<never> = {}) =>
        this.#send(contract as AnyContract, payload, options),
      sleep: (name, until) => this.#sleep(name, until),
      wait: <T>(signal: Signal<T>, options: WaitOptions = {}) => this.#wait(signal, options) as Promise<T>,
    } as Flow;
  }

  #returned(value: unknown): void {
    if (this.#over || this.#phase !== "handler") return;
    this.#finish = () => {
      let outcome: Outcome;
      try {
        outcome = { ok: true, value: this.#copy(value, "the result") };
      } catch (error) {
        return this.#stop("", recorded(error));
      }
      this.#endWith(outcome);
    };
    this.#look();
  }

  #failed({ error }: Failure): void {
    if (this.#over || this.#phase !== "handler") return;
    if (error.code === "CLOSED") return this.#threw(error);
    this.#finish = () => this.#undoAll(recorded(error));
    this.#look();
  }

  #threw(error: unknown): void {
    if (this.#over || this.#phase !== "handler") return;
    this.#active++;
    this.#failure("", error, { attempts: HANDLER_ATTEMPTS, delay: PAUSES })
      // from its top again, with what is recorded
      .then(() => this.#after(() => this.stop("again")), (broken) => this.#broken(broken))
      .finally(() => this.#active--);
  }

  // steps -------------------------------------------------------------------------------------------

  #step<T, R>(
    name: string,
    perform: (step: Attempt) => Promise<Outcome>,
    options: StepOptions<T>,
    isSend = false,
  ): Promise<R> {
    try {
      this.#name(name);
      checkStep(`step ${name}`, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const { journal } = this;
    const { undo, retry = {}, timeout = this.#host.timeout } = options;
    const main = this.#phase === "handler";
    if (main && undo !== undefined) this.#undos.set(name, undo as (value: unknown) => MaybePromise<unknown>);
    const policy = { attempts: retry.attempts ?? Infinity, delay: retry.delay ?? PAUSES };
    if (main) this.#retries.set(name, policy);
    const { promise, resolve } = Promise.withResolvers<R>();
    // the program's types say what it gave
    const settle = (outcome: Outcome) => resolve(valueOf(outcome, isSend) as R);
    const known = journal.outcomes.get(name);
    if (known !== undefined) {
      if (this.#sees(known.index)) settle(known);
      else this.#halt();
      return promise;
    }
    if (this.#abandoned(main, undo !== undefined)) {
      this.#halt();
      return promise;
    }
    const step: StepCall = { name, undo: undo !== undefined, fresh: this.#own, ...IDLE };
    this.#steps.set(name, step);
    const call: Call = {
      name,
      step,
      go: () => {
        const outcome = journal.outcomes.get(name);
        if (outcome !== undefined) {
          step.over = true;
          step.controller?.abort(new CatgaError("CANCELLED", `${name} was given an outcome`));
          this.#calls.delete(call);
          step.wake?.();
          if (this.#sees(outcome.index)) settle(outcome);
          else this.#halt();
          return this.#look();
        }
        if (step.busy) return step.wake?.();
        step.busy = true;
        this.#perform(step, perform, { policy, timeout }).then((done) => {
          step.busy = false;
          if (step.over) this.#halt();
          if (done === undefined || this.#over) return;
          step.over = true;
          this.#calls.delete(call);
          // behind a cancel the handler sees nothing any more
          if (journal.cancelled === undefined || this.#phase !== "handler" || !main) settle(done);
          else this.#halt();
        }).finally(() => this.#look());
      },
    };
    this.#calls.add(call);
    call.go();
    return promise;
  }

  /** Whether the handler may see what was recorded as this entry. */
  #sees(index: number): boolean {
    const { cancelled, failing } = this.journal;
    return this.#phase === "undoing" || index < Math.min(cancelled?.index ?? Infinity, failing?.index ?? Infinity);
  }

  /** Whether a step that has no outcome may not begin any more. */
  #abandoned(main: boolean, undo: boolean): boolean {
    const { journal } = this;
    if (!main) return this.#phase !== "undoing";
    if (journal.failing !== undefined) return true;
    return journal.cancelled !== undefined && !undo;
  }

  /** Drives a step to its outcome. `undefined`: it has none, and somebody else decides how it goes on. */
  async #perform(
    step: StepCall,
    perform: (step: Attempt) => Promise<Outcome>,
    { policy, timeout }: { readonly policy: Retry; readonly timeout: number },
  ): Promise<Outcome | undefined> {
    const { name } = step;
    const { journal } = this;
    while (true) {
      if (journal.outcomes.has(name) || this.#over) return undefined;
      const failures = journal.failures.get(name);
      if (failures !== undefined && !this.#hasCome(name, failures.next)) {
        if (failures.next === undefined) return undefined;
        const left = journal.cancelled !== undefined && journal.failing === undefined ? 0 : failures.next - this.#now;
        if (left > 0 && this.#isScheduled(name, failures)) return undefined;
        if (left > 0) {
          await this.#doze(step, left);
          continue;
        }
      }
      if (this.#givenUp(step) || !await this.#ready()) return undefined;
      // what was read meanwhile
      if (journal.outcomes.has(name) || this.#givenUp(step)) return undefined;
      if (journal.entries >= MOST_ENTRIES) {
        const message = `${this.#label} has ${journal.entries} entries: start the next run as its last step`;
        this.#refused(name, { code: "TOO_LARGE", message });
        return undefined;
      }
      this.#active++;
      step.begun = true;
      const attempt = (journal.failures.get(name)?.total ?? 0) + 1;
      const controller = step.controller = new AbortController();
      const timer = this.#host.clock.after(timeout, () => {
        controller.abort(new CatgaError("TIMEOUT", `an attempt of ${name} took longer than ${timeout} ms`));
      });
      this.#timers.add(timer);
      try {
        const id = stepId(this.ref, name);
        const { signal } = controller;
        const fresh = step.fresh && attempt === 1;
        const outcome = await untilAborted(perform({ id, attempt, signal, fresh }), signal);
        if (this.#over || journal.outcomes.has(name)) return undefined;
        this.#record({ t: "done", step: name, outcome });
        return outcome;
      } catch (error) {
        if (this.#over || journal.outcomes.has(name)) return undefined;
        // what a step without undo throws when it is aborted is no failure
        if (!step.undo && this.#givenUp(step)) return undefined;
        if (isCatgaError(error) && error.code === "CLOSED" && !(error instanceof Decided)) {
          this.#leaving = true;
          return undefined;
        }
        await this.#failure(name, error, policy);
      } finally {
        step.controller = undefined;
        this.#timers.delete(timer);
        timer.cancel();
        this.#active--;
      }
    }
  }

  /** Whether a step needs no outcome, because the run is cancelled: there is nothing to undo of it, or it has not begun. */
  #givenUp(step: StepCall): boolean {
    if (this.journal.cancelled === undefined || this.#phase !== "handler") return false;
    if (step.undo && (step.begun || !step.fresh)) return false;
    return step.over = true;
  }

  #call<T>(fn: (step: Step) => MaybePromise<T>, { id, attempt, signal }: Attempt): Promise<Outcome> {
    return Promise.resolve({ id, attempt, signal }).then(fn).then((value) => {
      if (isFailure(value)) return { ok: false, error: recorded(value.error) };
      try {
        return { ok: true, value: this.#copy(value, "the result") };
      } catch (error) {
        throw new Decided(recorded(error));
      }
    });
  }

  /** A value as it is read back. Throws a `CatgaError` for one that cannot be recorded. */
  #copy(value: unknown, what: string): unknown {
    if (value === undefined) return undefined;
    let text: string;
    try {
      text = encodeValue(value, what);
    } catch (error) {
      throw new CatgaError("INVALID_RESPONSE", `${what} cannot be recorded: ${(error as Error).message}`);
    }
    if (exceeds(text, this.#host.mostBytes)) {
      throw new CatgaError("TOO_LARGE", `${what} has ${text.length} characters: record where it is, not what it is`);
    }
    return decodeText(text);
  }

  /** Records a failed attempt, and when the next one follows. */
  async #failure(name: string, error: unknown, { attempts, delay: [first, longest] }: Retry): Promise<void> {
    const { journal } = this;
    const { clock, random } = this.#host;
    const failures = journal.failures.get(name);
    const failed = (failures?.attempts ?? 0) + 1;
    const passing = error instanceof Passing;
    const what = recorded(error);
    if (error instanceof Decided || (!passing && failed >= attempts)) {
      this.#refused(name, what);
      await this.#stored();
      return;
    }
    // a failure of operation ends with what caused it: pauses follow how long that has lasted
    const lasted = failures === undefined || failures.attempts === 0 ? 0 : clock.now() - failures.first;
    const pause = passing
      ? Math.min(longest, Math.max(first, lasted / 5))
      : Math.min(longest, first * 2 ** Math.min(30, failed - 1));
    const next = clock.now() + pause * (0.75 + random() / 4);
    const scheduled = next - clock.now() > HOLD;
    if (scheduled && !await this.#wake(name, next)) return;
    this.#record({ t: "failed", step: name, error: what, next, ...(scheduled ? { scheduled } : {}) });
    await this.#stored();
  }

  /** An operator has to decide before anything else is done. */
  #stop(step: string, error: RecordedError): void {
    this.#refused(step, error);
    this.#after(() => this.stop("again"));
  }

  /** An operator has to decide. */
  #refused(step: string, error: RecordedError): void {
    if (this.#over) return;
    this.#record({ t: "failed", step, error });
    this.#host.stuck(this.ref, step, error);
    this.#look();
  }

  // sends -------------------------------------------------------------------------------------------

  #send(contract: AnyContract, payload: unknown, options: FlowSendOptions<never>): Promise<unknown> {
    const kind = contract?.kind as string;
    if (kind !== "command" && kind !== "query" && kind !== "workflow") {
      return Promise.reject(new TypeError(`flow.send takes a command, a query or a workflow; got ${show(contract)}`));
    }
    const { name = contract.name, ...rest } = options;
    if (kind === "workflow") return this.#child(contract, name, payload, rest);
    const timeout = rest.timeout ?? contract.options.timeout ?? this.#host.timeout;
    // the send has its own end; this one is for a send that has none
    return this.#step(name, (step) => this.#sent(contract, payload, step, timeout), {
      ...rest,
      timeout: Math.min(MAX_TIMEOUT, timeout + GRACE),
    }, true);
  }

  async #sent(contract: AnyContract, payload: unknown, attempt: Attempt, timeout: number): Promise<Outcome> {
    const host = this.#host;
    const { id, signal, fresh } = attempt;
    // an entity looks for what was sent before
    const again = fresh || !host.ofEntity(contract) ? {} : { firstSent: new Date(this.journal.startedAt - GRACE) };
    const result = await host.send(contract, payload, { id, signal, timeout, ...again });
    if (result.ok) return { ok: true, value: this.#copy(result.value, `the answer of ${contract.name}`) };
    const { error } = result;
    if (!isErrorCode(error.code) || contract.options.failures?.includes(error.code)) {
      return { ok: false, error: recorded(error) };
    }
    if (error.code === "CLOSED" && (error.node === undefined || this.#leaving)) throw error;
    if (PASSING.has(error.code) || signal.aborted) throw new Passing(error);
    if (error.code === "OUTCOME_UNKNOWN" || error.code === "CANCELLED") {
      const { kind, options: { idempotent } } = contract;
      if (kind === "query" || idempotent || host.ofEntity(contract)) throw new Passing(error);
      throw new Decided(recorded(error));
    }
    if (error.code === "HANDLER_FAILED") throw error;
    throw new Decided(recorded(error));
  }

  #child(contract: AnyContract, name: string, input: unknown, options: StepOptions<never>): Promise<unknown> {
    try {
      this.#name(name);
      checkStep(`step ${name}`, options);
    } catch (error) {
      return Promise.reject(error);
    }
    const { journal } = this;
    const main = this.#phase === "handler";
    if (main && options.undo !== undefined) {
      this.#undos.set(name, options.undo as (value: unknown) => MaybePromise<unknown>);
    }
    if (main) this.#retries.set(name, { attempts: Infinity, delay: PAUSES });
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const known = journal.outcomes.get(name);
    if (known !== undefined) {
      if (this.#sees(known.index)) resolve(valueOf(known, true));
      else this.#halt();
      return promise;
    }
    const child = { workflow: contract.name, run: stepId(this.ref, name) };
    if (this.#abandoned(main, true)) {
      this.#halt();
      return promise;
    }
    const step: StepCall = { name, undo: true, fresh: true, ...IDLE };
    this.#steps.set(name, step);
    let cancelled = false;
    const call: Call = {
      name,
      step,
      go: () => {
        const outcome = journal.outcomes.get(name);
        if (outcome !== undefined) {
          step.over = true;
          this.#calls.delete(call);
          if (this.#sees(outcome.index)) resolve(valueOf(outcome, true));
          else this.#halt();
          return this.#look();
        }
        if (step.busy) return;
        const cancelling = journal.cancelled !== undefined && !cancelled && main;
        if (journal.children.has(name) && !cancelling) return;
        if (journal.failures.get(name)?.next === undefined && journal.failures.has(name)) return;
        step.busy = true;
        this.#active++;
        const work = async () => {
          if (!await this.#ready()) return;
          if (journal.cancelled !== undefined && main) {
            cancelled = true;
            // a child that was never started has nothing to undo
            if (await this.#cancelled(child, journal.cancelled.error.message)) return;
            step.over = true;
            this.#calls.delete(call);
            this.#halt();
            return;
          }
          const started = await this.#host.startChild(contract, child.run, input, { ...this.ref, step: name });
          if (this.#over || journal.outcomes.has(name) || journal.children.has(name)) return;
          if (started.ok) this.#record({ t: "child", step: name, ...child });
          else if (PASSING.has(started.error.code) || started.error.code === "OUTCOME_UNKNOWN") {
            this.#timer(1_000, () => call.go());
          } else this.#refused(name, recorded(started.error));
        };
        work().catch((error) => this.#broken(error)).finally(() => {
          step.busy = false;
          this.#active--;
          if (!this.#over && journal.outcomes.has(name)) call.go();
          else if (!this.#over && journal.cancelled !== undefined && main && !cancelled) call.go();
          this.#look();
        });
      },
    };
    this.#calls.add(call);
    call.go();
    return promise;
  }

  /** Resolves with whether the child is there: it tells its end. */
  async #cancelled(child: RunRef, reason: string): Promise<boolean> {
    for (let pause = 50; !this.#over; pause = Math.min(2_000, pause * 2)) {
      try {
        return await this.#host.cancelChild(child, reason);
      } catch {
        await new Promise<void>((resolve) => this.#timer(pause, resolve));
      }
    }
    return true;
  }

  // time and signals --------------------------------------------------------------------------------

  #sleep(name: string, until: number | Date): Promise<void> {
    try {
      this.#name(name);
      checkUntil(`sleep ${name}`, until);
    } catch (error) {
      return Promise.reject(error);
    }
    const { journal } = this;
    const { promise, resolve } = Promise.withResolvers<void>();
    const call: Call = {
      name,
      go: () => {
        const known = journal.woken.get(name);
        const woken = known !== undefined && this.#sees(known);
        if (!woken && this.#stands) return;
        const sleep = journal.sleeps.get(name);
        if (!woken && sleep === undefined) {
          return this.#begins(call, name, timeOf(until, this.#now), (at) => ({ t: "slept", step: name, until: at! }));
        }
        if (!woken && !this.#isDue(name, sleep!, call)) return;
        if (!woken) return this.#notes(call, { t: "woken", step: name });
        this.#calls.delete(call);
        resolve();
      },
    };
    this.#calls.add(call);
    call.go();
    return promise;
  }

  #wait(
    { workflow, name: signal }: Pick<Signal, "workflow" | "name">,
    { name, timeout }: WaitOptions,
  ): Promise<unknown> {
    const count = (this.#numbers.get(signal) ?? 0) + 1;
    const own = name ?? (count === 1 ? signal : `${signal} ${count}`);
    try {
      if (workflow !== this.ref.workflow) {
        throw new TypeError(`wait: ${signal} is a signal of ${workflow}, and this is a run of ${this.ref.workflow}`);
      }
      this.#name(own);
      if (timeout !== undefined) checkUntil(`wait ${own}: timeout`, timeout);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#numbers.set(signal, count);
    const { journal } = this;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const call: Call = {
      name: own,
      go: () => {
        const took = journal.took.get(own);
        if (took !== undefined && this.#sees(took.index)) {
          this.#calls.delete(call);
          return resolve(took.n === undefined ? undefined : journal.signal(took.n));
        }
        if (took !== undefined || this.#stands || this.#noted.has(call)) return;
        const n = nextSignal(journal, signal, this.#taken);
        const wait = journal.waits.get(own);
        if (n !== undefined) {
          this.#taken.add(n);
          return this.#notes(call, { t: "took", step: own, n });
        }
        if (wait === undefined) {
          const until = timeout === undefined ? undefined : timeOf(timeout, this.#now);
          return this.#begins(
            call,
            own,
            until,
            (at) => ({ t: "waits", step: own, signal, ...(at === undefined ? {} : { until: at }) }),
          );
        }
        if (wait.until === undefined || !this.#isDue(own, wait, call)) return;
        this.#notes(call, { t: "took", step: own });
      },
    };
    this.#calls.add(call);
    call.go();
    return promise;
  }

  /** The handler's own calls do not go on: the run is cancelled, or fails. */
  get #stands(): boolean {
    const { cancelled, failing } = this.journal;
    return this.#phase !== "undoing" && (cancelled !== undefined || failing !== undefined);
  }

  /**
   * Records what a call has waited for, and goes on with it when that is stored: what a run that was just loaded does next follows from nothing
   * that is not.
   */
  #notes(call: Call, entry: Entry): void {
    if (this.#noted.has(call)) return;
    this.#noted.add(call);
    this.#record(entry);
    this.#after(() => call.go());
  }

  /** Records that something waits, behind the schedule that ends it. */
  #begins(call: Call, name: string, until: number | undefined, entry: (until: number | undefined) => Entry): void {
    this.#active++;
    const begin = async () => {
      if (!await this.#ready()) return;
      const scheduled = until !== undefined && until - this.#now > HOLD;
      if (scheduled && !await this.#wake(name, until)) return;
      this.#record({ ...entry(until), ...(scheduled ? { scheduled } : {}) });
      if (await this.#stored() && this.#calls.has(call)) call.go();
    };
    begin().catch((error) => this.#broken(error)).finally(() => {
      this.#active--;
      this.#look();
    });
  }

  #come({ step, at }: Due): void {
    this.#due.set(step, Math.max(at, this.#due.get(step) ?? 0));
  }

  /** Whether the schedule of this time, or of a later one, has come. */
  #hasCome(step: string, time: number | undefined): boolean {
    return time !== undefined && (this.#due.get(step) ?? -1) >= time;
  }

  /** Whether a schedule is still to come: one that came too early, of a node that had lost the run, has taken its place. */
  #isScheduled(step: string, { scheduled }: { readonly scheduled: boolean }): boolean {
    return scheduled && !this.#due.has(step);
  }

  /** Whether a time has come; if it comes soon, the call goes on then. */
  #isDue(name: string, timed: Timed, call: Call): boolean {
    const { until } = timed;
    if (this.#hasCome(name, until)) return true;
    const left = (until ?? 0) - this.#now;
    if (left <= 0) return true;
    if (!this.#isScheduled(name, timed) && !this.#ticking.has(name)) {
      this.#ticking.add(name);
      this.#timer(left, () => {
        this.#ticking.delete(name);
        if (this.#calls.has(call)) call.go();
      });
    }
    return false;
  }

  /** Stores a schedule, however often that takes. Resolves with `false` when the drive is over before. */
  async #wake(step: string, at: number): Promise<boolean> {
    this.#active++;
    try {
      for (let pause = 50; !this.#over; pause = Math.min(2_000, pause * 2)) {
        try {
          await this.#host.wake(this.ref, step, Math.ceil(at));
          return true;
        } catch (error) {
          if (
            !isCatgaError(error) ||
            (error.code !== "UNAVAILABLE" && error.code !== "OUTCOME_UNKNOWN" && error.code !== "OVERLOADED")
          ) throw error;
          await new Promise<void>((resolve) => this.#timer(pause, resolve));
        }
      }
      return false;
    } finally {
      this.#active--;
    }
  }

  /** A run may take so long: the drive sees to it, or a schedule. */
  #limitTime(): void {
    const { journal } = this;
    const { timeout } = journal.started!;
    if (timeout === undefined || journal.cancelled !== undefined || journal.failing !== undefined) return;
    const check = () => {
      const left = journal.startedAt + timeout - this.#now;
      if (left > 0 && !this.#hasCome(TIME_OUT, this.#now + left)) return this.#timer(left, check, true);
      if (journal.cancelled !== undefined || journal.ended !== undefined || journal.failing !== undefined) return;
      const reason = `${this.#label} took longer than ${timeout} ms`;
      this.#record({ t: "cancelled", code: "TIMEOUT", reason, by: this.#host.endpoint });
      this.#after(() => this.#toldAll());
    };
    check();
  }

  // the end -----------------------------------------------------------------------------------------

  #endWith(outcome: Outcome): void {
    const { keep } = this.journal.started!;
    this.#record({ t: "ended", outcome, until: this.#now + keep });
    this.#after(() => this.journal.ended === undefined ? this.#look() : void this.#ended());
  }

  async #ended(): Promise<void> {
    this.#active++;
    await this.#host.ended(this.ref, this.journal);
    this.stop("ended");
  }

  /** Undoes what is finished, the latest first, and ends the run. */
  #undoAll(error: RecordedError): void {
    const { journal } = this;
    const why = journal.failing?.error ?? error;
    const steps = undoOrder(journal, (step) => this.#undos.has(step));
    this.#phase = "undoing";
    this.#calls.clear();
    if (steps.length === 0) return this.#endWith({ ok: false, error: why });
    if (journal.failing === undefined) this.#record({ t: "failing", error: why });
    this.#undo(steps, why);
  }

  #undo([step, ...more]: readonly string[], why: RecordedError): void {
    if (this.#over) return;
    if (step === undefined) return this.#endWith({ ok: false, error: why });
    const name = undoName(step);
    const policy = this.#retries.get(step) ?? { attempts: Infinity, delay: PAUSES };
    if (this.#pauseOf(name, () => this.#undo([step, ...more], why))) return;
    const undo = this.#undos.get(step)!;
    const done = () => {
      if (this.#over) return;
      this.#record({ t: "undone", step });
      this.#undo(more, why);
    };
    const run = async () => {
      if (!await this.#ready()) return;
      let returned: unknown;
      try {
        returned = await undo(this.journal.outcomes.get(step)!.value);
      } catch (error) {
        if (this.#over) return;
        await this.#failure(name, isFailure(error) ? new Decided(recorded(error.error)) : error, policy);
        return this.stop("again");
      }
      if (isFailure(returned)) this.#stop(name, recorded(returned.error));
      else done();
    };
    run().catch((error) => this.#broken(error)).finally(() => this.#look());
  }

  // storing -----------------------------------------------------------------------------------------

  #record(entry: Entry): void {
    if (this.#over) return;
    this.#queue.push(entry);
    if (this.#storing === undefined) this.#soon(() => void this.#stored());
  }

  /** Stores what is recorded so far. Resolves with `false` when the drive is over. */
  async #stored(): Promise<boolean> {
    while (!this.#over && (this.#queue.length > 0 || this.#storing !== undefined)) {
      await (this.#storing ??= this.#store().finally(() => this.#storing = undefined));
    }
    return !this.#over;
  }

  async #store(): Promise<void> {
    this.#active++;
    const entries = this.#queue.splice(0, MOST_TOGETHER);
    const before = this.journal.entries;
    try {
      const stored = await this.#writer.store(entries, (own) => this.#holding(own), () => this.#over);
      if (!stored) return this.stop("lost");
      if (this.#contradicted) return this.stop("again");
      this.#own = true;
      const { entries: now } = this.journal;
      if (before < WARN_ENTRIES && now >= WARN_ENTRIES) this.#host.long(this.ref, now);
    } catch (error) {
      this.#broken(error);
    } finally {
      this.#active--;
      this.#look();
    }
  }

  /** What of these entries holds, now that others have told the run something. */
  #holding(entries: readonly Entry[]): readonly Entry[] {
    const { cancelled, outcomes } = this.journal;
    this.#soon(() => this.#toldAll());
    // an operator gave a step an outcome: the handler has gone on with another one
    if (entries.some((entry) => entry.t === "done" && outcomes.has(entry.step))) {
      this.#contradicted = true;
      return [];
    }
    // the end, and the failure, were decided without knowing of the cancel
    const held = cancelled === undefined
      ? entries
      : entries.filter(({ t }) => t !== "ended" && (t !== "failing" || this.#byCancel));
    this.#contradicted ||= held.length < entries.length && !this.#byCancel;
    return this.#byCancel ? entries : held;
  }

  /** What was recorded so far is stored, and the run as this node's. Resolves with `false` when the drive is over, or no attempt may begin. */
  async #ready(): Promise<boolean> {
    if (this.#leaving) return false;
    if (this.journal.holder !== this.#host.endpoint && !this.#queue.some(({ t }) => t === "held")) {
      this.#queue.push({ t: "held" });
    }
    if (this.#queue.length > 0 || this.#storing !== undefined) {
      if (!await this.#stored()) return false;
    }
    return !this.#over && !this.#leaving;
  }

  /** Calls back when what is recorded so far is stored. */
  #after(then: () => void): void {
    this.#active++;
    this.#stored().then((stored) => stored && then()).finally(() => {
      this.#active--;
      this.#look();
    });
  }

  async #readNews(): Promise<void> {
    this.#active++;
    try {
      await this.#storing;
      if (this.#over) return;
      if (!await this.#writer.readOn()) return this.stop("lost");
      this.#toldAll();
    } catch {
      // its next append finds out
    } finally {
      this.#active--;
      this.#look();
    }
  }

  /** Goes on with what waits. */
  #toldAll(): void {
    if (this.#over) return;
    const { cancelled } = this.journal;
    if (cancelled !== undefined && this.#phase === "handler") {
      for (const { undo, controller, wake } of this.#steps.values()) {
        if (!undo) controller?.abort(new CatgaError("CANCELLED", cancelled.error.message));
        wake?.();
      }
    }
    for (const call of [...this.#calls]) if (this.#calls.has(call)) call.go();
    this.#look();
  }

  /** What cannot be stored ends the drive: whoever is called next tries again. */
  #broken(error: unknown): void {
    if (this.#over) return;
    this.error = error;
    this.stop("again");
  }

  /** Why it could not go on. */
  error: unknown;

  // waiting -----------------------------------------------------------------------------------------

  /** Waits for a failed attempt's pause, if there is one: `again` is called after it. */
  #pauseOf(name: string, again: () => void): boolean {
    const failures = this.journal.failures.get(name);
    if (failures === undefined || this.#hasCome(name, failures.next)) return false;
    if (failures.next !== undefined && failures.next <= this.#now) return false;
    let timer: Timer | undefined;
    const call: Call = {
      name,
      go: () => {
        const now = this.journal.failures.get(name);
        const left = now === undefined || this.#hasCome(name, now.next)
          ? 0
          : now.next === undefined
          ? Infinity
          : now.next - this.#now;
        timer?.cancel();
        if (left <= 0) {
          this.#calls.delete(call);
          return again();
        }
        if (left < Infinity && !this.#isScheduled(name, now!)) {
          timer = this.#timer(left, () => this.#calls.has(call) && call.go());
        }
      },
    };
    this.#calls.add(call);
    call.go();
    return true;
  }

  /** Waits on this node; news ends it. */
  #doze(step: StepCall, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#timer(ms, () => step.wake?.());
      step.wake = () => {
        step.wake = undefined;
        timer.cancel();
        resolve();
      };
    });
  }

  /** A timer that keeps the run on this node, unless it is a background one. */
  #timer(ms: number, then: () => void, background = false): Timer {
    if (!background) this.#active++;
    let over = false;
    const end = () => {
      if (over) return;
      over = true;
      this.#timers.delete(own);
      if (!background) this.#active--;
    };
    const timer = this.#host.clock.after(Math.min(ms, MAX_TIMEOUT), () => {
      end();
      if (!this.#over) then();
      this.#look();
    }, { background });
    const own: Timer = {
      cancel: () => {
        end();
        timer.cancel();
        this.#look();
      },
    };
    this.#timers.add(own);
    return own;
  }

  #soon(then: () => void): void {
    this.#active++;
    this.#host.clock.soon(() => {
      this.#active--;
      if (!this.#over) then();
      this.#look();
    });
  }

  /** Looks, when all that goes on by itself has come to rest, how the run goes on. */
  #look(): void {
    if (this.#looking || this.#over) return;
    this.#looking = true;
    this.#host.clock.soon(() => {
      this.#looking = false;
      if (this.#over || this.#active > 0) return;
      if (this.#queue.length > 0) return void this.#stored().then(() => this.#look());
      if (this.#leaving) return this.stop("left");
      this.#rest();
    });
  }

  #rest(): void {
    const { journal } = this;
    if (this.#phase === "handler") {
      const open = [...this.#steps.values()].filter(({ over, name }) => !over && !journal.outcomes.has(name));
      const why = journal.failing?.error ?? journal.cancelled?.error;
      // the handler has come as far as it may, or has ended
      if (why !== undefined && (this.#finish !== undefined || this.#calls.size > 0 || this.#halted > 0)) {
        this.#finish = () => this.#undoAll(why);
      }
      if (this.#finish !== undefined) {
        if (open.length === 0) {
          this.#phase = "finishing";
          this.#byCancel = journal.cancelled !== undefined;
          return this.#finish();
        }
        return this.#suspend();
      }
    }
    if (this.#calls.size > 0) this.#suspend();
  }

  #halt(): void {
    this.#halted++;
    this.#look();
  }

  #suspend(): void {
    const { journal } = this;
    const { timeout } = journal.started!;
    if (timeout === undefined || journal.cancelled !== undefined || journal.failing !== undefined) {
      return this.stop("suspended");
    }
    if (journal.limited) return this.stop("suspended");
    this.#active++;
    this.#wake(TIME_OUT, journal.startedAt + timeout)
      .then(() => this.#record({ t: "limited" }), (error) => this.#broken(error))
      .finally(() => {
        this.#active--;
        this.#look();
      });
  }

  #name(name: string): void {
    if (typeof name !== "string" || !/^[^@]/.test(name) || name.length > MAX_NAME || !name.isWellFormed()) {
      throw new TypeError(
        `the name of a step is 1 to ${MAX_NAME} characters, the first of which is not "@"; got ${show(name)}`,
      );
    }
    if (this.#names.has(name)) {
      throw new TypeError(`${this.#label} has a step ${show(name)} already: give this one another name`);
    }
    this.#names.add(name);
  }

  get #now(): number {
    return this.#host.clock.now();
  }
}

/** In place of a step: the time that the run may take. */
export const TIME_OUT = "@timeout";
/** How long a run stays on its node while it only waits, in ms; what takes longer is a schedule. */
const HOLD = 5_000;
const PAUSES = [1_000, 3_600_000] as const; // ms
/** How often a handler that throws is tried. */
const HANDLER_ATTEMPTS = 10;
/** After so many deaths of processes in a row an operator has to decide. */
const MOST_TAKEOVERS = 20;
const MOST_TOGETHER = 256;
const WARN_ENTRIES = 1_000;
const MOST_ENTRIES = 10_000;
const MAX_NAME = 64;
/** What a send may take beyond its timeout, and what clocks may differ by, in ms. */
const GRACE = 2_000;

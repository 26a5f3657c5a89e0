/**
 * The execution of a message: its deadline, its abort, its wait for admission, and the locks released at its end, for
 * one run of its handler. A handler that has not used its context has a {@link PendingMessage} in its place.
 * @decides the deadline of a handler that runs here: its abort, and the sender's `TIMEOUT`
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Failure } from "../contract/calls/result.ts";
import type { Lock, LockOptions } from "../contract/calls/shared_state.ts";
import { abandoned, type Later, NOT_PREPARED, notBegun, type Outcome } from "./outcome.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { QueueEntry } from "./admission_queue.ts";
import type { Asker, ContextHost, Stage } from "./context_host.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import { DeadlinedWait } from "./deadlined_wait.ts";

/**
 * Callbacks about a message, which stops running when it begins to wait for admission (a place at its handler), and in
 * the cases of {@link Execution.stepAside}; it runs again when that is over.
 */
export interface AdmissionWatcher {
  /**
   * Called when a message that ran, or was about to run, stops running: it waits for admission (a place at its
   * handler), or {@link Execution.stepAside} was called.
   */
  stepsAside(contract: AnyContract): void;
  /**
   * Called when the message runs again: it was admitted, or {@link Execution.stepBack} was called. Not called if the
   * message is dropped instead.
   */
  stepsBack(contract: AnyContract): void;
}

/**
 * The deadline, the abort, the wait for admission and the locks of one message. They are made when they are first
 * needed: a message whose handler returns at once, and uses none of them, has no `Execution`.
 */
export class Execution extends Deadlined {
  /** Ordered contracts only: the key whose messages run one at a time. */
  key: string | undefined = undefined;
  /** Idempotent commands and commands of entities only: the payload before the schema parsed it. */
  payload: unknown = undefined;
  /**
   * Commands of entities only: the promise of what the entity's handler returned; `undefined` before the handler was
   * called, and if it failed.
   */
  decision: Promise<unknown> | undefined = undefined;
  /**
   * Idempotent commands only, once the handler has begun: the revision of the claim (record that reserves the command's
   * id), used as fencing token.
   */
  fence: number | undefined = undefined;
  /** The stage in which the message is on its way to its handler. */
  stage: Stage = "handler";
  /**
   * Set while the handler runs under a claim (record that reserves an idempotent command's id): checks whether the
   * claim's lease has ended, and then calls {@link Execution.loseClaim}.
   */
  checkClaim: (() => void) | undefined = undefined;
  /** Durable contracts only: the error that the handler threw because something that it had called was out of reach. */
  passedOn: CatgaError | undefined = undefined;
  /**
   * Called if the message is aborted in the stage `preparing` (a schema or behavior runs before its handler): ends the
   * send with a refusal.
   */
  drop: ((reason: CatgaError) => void) | undefined = undefined;
  /** Notified when the message begins to wait for admission or for another run of a handler, and when it runs again. */
  watcher: AdmissionWatcher | undefined = undefined;
  readonly #host: ContextHost;
  readonly #contract: AnyContract;
  #controller: AbortController | undefined = undefined;
  #aborted: CatgaError | undefined = undefined;
  /**
   * The error with which the claim (record that reserves the message's id) was lost: the handler should stop, but the
   * sender still waits. `undefined`: the claim is not lost.
   */
  #lost: CatgaError | undefined = undefined;
  #attempt: Deadlined | undefined = undefined;
  #children: Set<Deadlined> | undefined = undefined;
  /** The locks that the handler holds or has requested. */
  #locks: Set<RunLock> | undefined = undefined;
  /** Number of the newest scope of locks; see {@link Execution.lockScope}. */
  #scope = 0;
  #running = false;
  /**
   * The message's entry in the queue in which it waits for admission (a place at its handler); `undefined`: it does not
   * wait.
   */
  #entry: QueueEntry | undefined = undefined;
  /**
   * True from {@link Execution.stepAside}, which has the cases, to {@link Execution.stepBack}: the message is treated
   * as not running, although its handler has begun.
   */
  #resting = false;
  /** Maximum time of the handler's run from its admission on, in ms, if the message has no other deadline. */
  #lasts: number | undefined = undefined;
  /** Passes the outcome to the send that waits for the message in this process. */
  #settle: ((outcome: Outcome) => void) | undefined = undefined;

  /** `due`: the deadline of the message, in ms of the monotonic clock. */
  constructor(host: ContextHost, contract: AnyContract, due: number) {
    super(due);
    this.#host = host;
    this.#contract = contract;
  }

  /**
   * The error with which the message was aborted, or lost its claim (record that reserves its id); `undefined`: neither
   * happened.
   */
  get aborted(): CatgaError | undefined {
    this.checkClaim?.();
    return this.#aborted ?? this.#lost;
  }

  /** True if the message was not aborted, and its handler has requested no lock. */
  get isUntouched(): boolean {
    return this.#aborted === undefined && this.#locks === undefined;
  }

  /**
   * The handler's signal (`ctx.signal`): it aborts when the message is aborted, or loses its claim (record that
   * reserves its id).
   */
  get signal(): AbortSignal {
    this.checkClaim?.();
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      const reason = this.#aborted ?? this.#lost?.cause;
      if (reason !== undefined) this.#controller.abort(reason);
    }
    return this.#controller.signal;
  }

  /**
   * Aborts `attempt`, an attempt to get the claim (record that reserves the message's id), when the message is aborted.
   */
  claim(attempt: Deadlined): void {
    if (this.#aborted !== undefined) attempt.abort(this.#aborted);
    else this.#attempt = attempt;
  }

  /** Acquires a lock for the handler; it is released when the handler has ended, if not before. */
  lock(key: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    const lock = this.#lock(key, options, asker);
    // a handler may end without awaiting its lock; a rejection that nobody handles would end the process
    lock.catch((error) => {
      if (!this.#running) this.#host.fault(`taking a lock of ${this.#contract.name}, whose handler has ended`, error);
    });
    return lock;
  }

  async #lock(key: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    const scope = this.#scope;
    await undefined; // so that a synchronous handler has ended when this continues
    if (!this.#running) throw this.#handlerEnded();
    const asked = new RunLock(this.#locks ??= new Set(), scope);
    const { wait: enqueued } = asked;
    const signals = [this.signal, enqueued.signal];
    if (options.signal !== undefined) signals.push(options.signal);
    try {
      const signal = AbortSignal.any(signals);
      const lock = await this.#host.state.locks.lock(key, { ...options, signal }, asker);
      if (this.#running && !enqueued.signal.aborted) return asked.take(lock);
      await lock.release();
    } catch (error) {
      if (enqueued.signal.aborted) throw enqueued.signal.reason;
      // the lock request fails with the error of the handler's signal, so that a handler that passes the error on is
      // recognized as aborted
      const reason = this.#aborted ?? this.#lost?.cause;
      if (reason !== undefined && isCatgaError(error) && error.cause === reason) throw reason;
      throw error;
    } finally {
      if (!asked.held) this.#locks.delete(asked);
    }
    throw this.#handlerEnded();
  }

  /**
   * Releases the handler's locks, and cancels its pending requests for locks: all of them without `scope`, when the
   * handler has ended; with `scope`, when one attempt of a behavior has ended, only those that were requested since
   * that scope began. Returns `undefined` if there is no lock; the returned promise never rejects.
   */
  releaseLocks(scope?: number): Promise<unknown> | undefined {
    if (scope === undefined) this.#running = false;
    if (this.#locks === undefined) return undefined;
    const fault = (error: unknown) => this.#host.fault(`releasing a lock of ${this.#contract.name}`, error);
    let released: Promise<void>[] | undefined;
    for (const asked of this.#locks) {
      if (scope !== undefined && asked.scope < scope) continue;
      if (asked.held) (released ??= []).push(asked.release().catch(fault));
      else asked.wait.abort(this.#handlerEnded());
    }
    return released && Promise.all(released);
  }

  /** Begins a scope of locks, and returns a function that releases the locks requested since then. */
  lockScope(): () => Promise<unknown> | undefined {
    const scope = ++this.#scope;
    return () => this.releaseLocks(scope);
  }

  #handlerEnded(): CatgaError {
    return new CatgaError("LOCK_LOST", `the handler of ${this.#contract.name} had ended before it was given its lock`);
  }

  /**
   * True if the message waits for admission (a place at its handler), or was dropped while it waited: its handler has
   * not begun.
   */
  get isQueued(): boolean {
    return this.#entry !== undefined;
  }

  /**
   * True if the message does not run, because it waits for admission (a place at its handler), or in the cases of
   * {@link Execution.stepAside}.
   */
  get isAside(): boolean {
    return this.#resting || this.isQueued;
  }

  /**
   * Call this method when the message begins to wait for admission as `entry`: aborting the message then aborts the
   * entry.
   */
  wait(entry: QueueEntry): void {
    const { isAside: aside } = this;
    this.#entry = entry;
    entry.due = Math.min(entry.due, this.due);
    if (!aside) this.watcher?.stepsAside(this.#contract);
  }

  /** Call this method when the message has been admitted: its handler may begin. */
  admitted(): void {
    this.#entry = undefined;
    if (this.#lasts !== undefined) this.#postpone(this.#host.wheel.now() + this.#lasts);
    if (!this.#resting) this.watcher?.stepsBack(this.#contract);
  }

  /**
   * Limits the wait for admission to the time `due`, by the monotonic clock, and the run of the handler after that to
   * `lasts` ms.
   */
  limitWait(due: number, lasts: number): void {
    this.#lasts = lasts;
    this.#postpone(due);
  }

  #postpone(due: number): void {
    const { wheel } = this.#host;
    const timed = this.wheelBucket >= 0;
    if (timed) wheel.delete(this);
    this.due = due;
    if (timed) wheel.add(this);
  }

  /**
   * Call this method when a run of a handler that the message has begun stops running (it waits for admission, or for a
   * run that it has begun itself), or when the message executes a run of a workflow, whose steps may need its place.
   * Until {@link Execution.stepBack}, or until it ends, the message is treated as not running: other messages get its
   * place.
   */
  stepAside(): void {
    const { isAside: aside } = this;
    this.#resting = true;
    if (!aside) this.watcher?.stepsAside(this.#contract);
  }

  /**
   * Call this method when the run of a handler for which {@link Execution.stepAside} was called runs again: the message
   * is treated as running again.
   */
  stepBack(): void {
    if (!this.#resting) return;
    this.#resting = false;
    if (!this.isQueued) this.watcher?.stepsBack(this.#contract);
  }

  /**
   * Begins the execution of an asynchronous handler: the message is aborted if its deadline passes after this call.
   * `ended`: called with the outcome when the handler has ended.
   */
  run(handler: Later, ended: (outcome: Outcome) => void): void {
    this.#start();
    handler.then((outcome) => this.#end(outcome, ended));
  }

  /**
   * Begins the execution of an asynchronous handler, whose end the caller reports by {@link Execution.end}. `settle`:
   * called with the outcome at that end; and before it with a failure, if the message is aborted first.
   */
  begin(settle: (outcome: Outcome) => void): void {
    this.#settle = settle;
    if (this.#aborted !== undefined && this.stage !== "claiming") settle(this.#abandoned(this.#aborted));
    this.#start();
  }

  /** Reports that the handler has ended, after {@link Execution.begin}. */
  end(outcome: Outcome): void {
    this.#end(outcome, this.#settle!);
  }

  #start(): void {
    const host = this.#host;
    if (this.#aborted === undefined) host.wheel.add(this);
    host.underWay.begin();
    this.#running = true;
  }

  #end(outcome: Outcome, ended: (outcome: Outcome) => void): void {
    this.#host.wheel.delete(this);
    this.#children = undefined;
    this.#running = false;
    ended(outcome);
    this.watcher = undefined;
    const released = this.releaseLocks();
    if (released === undefined) this.#done();
    else released.then(() => this.#done()); // a drain waits until the locks are released
  }

  #done(): void {
    this.#host.underWay.end();
  }

  /**
   * Resolves like `work`, a promise of the program's code; or with the value of `onAbort` if the message is aborted
   * before `work` has settled.
   */
  until<T>(work: Promise<T>, onAbort: (reason: CatgaError) => T): Promise<T> {
    const wait = new DeadlinedWait(Infinity, work, { onAbort, ended: () => this.release(wait) });
    this.adopt(wait);
    return wait.outcome;
  }

  /** Aborts `child`, a send of the handler, when this message is aborted. */
  adopt(child: Deadlined): void {
    const { aborted } = this;
    if (aborted !== undefined) child.abort(aborted);
    else (this.#children ??= new Set()).add(child);
  }

  /**
   * Call this method when `child`, a send of the handler, has ended: it is no longer aborted together with this
   * message.
   */
  release(child: Deadlined): void {
    this.#children?.delete(child);
  }

  /** Call this method when the deadline has passed: aborts the message, unless it was aborted. */
  pastDeadline(): void {
    if (this.#running && this.#aborted === undefined) this.expire();
  }

  override expire(): void {
    const { kind, name } = this.#contract;
    const error = new CatgaError("TIMEOUT", `the deadline of ${kind} ${name} has passed`);
    if (this.stage === "handler" && !this.isAside) this.#host.expired(this.#contract, error);
    this.abort(error);
  }

  override abort(reason: CatgaError): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    this.#host.wheel.delete(this);
    this.#attempt?.abort(reason);
    this.#stop(reason, reason);
    if (this.stage !== "claiming") this.#settle?.(this.#abandoned(reason));
    if (this.stage === "preparing") this.drop?.(reason);
    this.#entry?.abort(reason);
  }

  /**
   * Call this method when the claim (record that reserves the message's id) is lost: the handler should stop, or does
   * not begin. The sender waits for the result of another attempt.
   */
  loseClaim(reason: CatgaError): void {
    if (this.#aborted !== undefined || this.#lost !== undefined) return;
    this.#lost = new CatgaError("CANCELLED", reason.message, { cause: reason });
    this.#stop(reason, this.#lost);
    this.#entry?.abort(reason);
  }

  #stop(reason: CatgaError, children: CatgaError): void {
    this.#controller?.abort(reason);
    const adopted = this.#children;
    this.#children = undefined;
    if (adopted !== undefined) { for (const child of adopted) child.abort(children); }
  }

  #abandoned(reason: CatgaError): Failure {
    if (this.isQueued || this.stage === "turn") return notBegun(this.#contract, reason, "its turn had not come");
    if (this.stage === "preparing") return notBegun(this.#contract, reason, NOT_PREPARED);
    return abandoned(this.#contract, reason);
  }
}

/** A lock that a handler holds or has requested. */
class RunLock implements Lock {
  /** Number of the scope in which the lock was requested. */
  readonly scope: number;
  readonly wait: AbortController = new AbortController();
  readonly #all: Set<RunLock>;
  #lock: Lock | undefined = undefined;

  constructor(all: Set<RunLock>, scope: number) {
    this.scope = scope;
    this.#all = all.add(this);
  }

  get held(): boolean {
    return this.#lock !== undefined;
  }

  take(lock: Lock): Lock {
    this.#lock = lock;
    return this;
  }

  get token(): number {
    return this.#lock!.token;
  }

  get signal(): AbortSignal {
    return this.#lock!.signal;
  }

  release(): Promise<void> {
    return this.#lock!.release().finally(() => void this.#all.delete(this));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

/**
 * The deadline of a message whose asynchronous handler runs and has not used its context, and the function that settles
 * the message. It takes a third of the memory of an {@link Execution}, which replaces it as soon as the context is
 * used.
 */
export class PendingMessage<Ctx extends PendingContext = PendingContext> extends Deadlined {
  /**
   * Passes the outcome to the sender; `undefined` before the handler has begun, when it has ended, and after an
   * {@link Execution} has replaced this object.
   */
  settle: ((outcome: Outcome) => void) | undefined = undefined;
  /** The context of the message. */
  ctx: Ctx | undefined = undefined;

  constructor() {
    super(0);
  }

  override expire(): void {
    this.ctx!.execution.expire();
  }

  override abort(reason: CatgaError): void {
    this.ctx!.execution.abort(reason);
  }
}

/**
 * A message's context, whose {@link Execution} (deadline, abort and locks) is made at the first reading of `execution`.
 */
interface PendingContext {
  readonly execution: Pick<Deadlined, "expire" | "abort">;
}

/**
 * One run of a message at its handler: its deadline, its abort, its wait for admission, and the locks released at its
 * end.
 */
import type { AnyContract } from "../contract/contract.ts";
import type { Failure } from "../contract/result.ts";
import type { Lock, LockOptions } from "../contract/shared_state.ts";
import { abandoned, NOT_PREPARED, notBegun } from "./unfinished.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { QueueEntry } from "./admission_queue.ts";
import type { Asker, ContextHost, Stage } from "./context_host.ts";
import { Deadlined } from "../ports/deadline_wheel.ts";
import type { Later, Outcome } from "./outcome.ts";
import { DeadlinedWait } from "./deadlined_wait.ts";

/** Its methods are called when a message begins to take no turn, and when it takes one again. */
export interface AdmissionWatcher {
  /** Called when a message begins to wait for admission, or to rest, unless it does either already. */
  waits(contract: AnyContract): void;
  /**
   * Called when the message neither waits nor rests any more: it was admitted, or woken. Not called if it is dropped
   * instead.
   */
  goes(contract: AnyContract): void;
}

/** The execution of one message. A message has no execution if its handler returns at once and uses nothing of it. */
export class Execution extends Deadlined {
  /** Ordered contracts only: the key whose messages run one at a time. */
  key: string | undefined = undefined;
  /** Idempotent commands and commands of entities only: the payload before the schema. */
  payload: unknown = undefined;
  /** Commands of entities only: the decision, unless it failed. */
  decision: Promise<unknown> | undefined = undefined;
  /** Idempotent commands only, once the handler has begun: the revision of the claim. */
  fence: number | undefined = undefined;
  /** The message's stage on the way to its handler. */
  stage: Stage = "handler";
  /**
   * Set while the handler runs under a claim: calls {@link Execution.loseClaim} if the lease of the claim has ended.
   */
  checkClaim: (() => void) | undefined = undefined;
  /** Durable contracts only: the error that the handler threw because something that it called was out of reach. */
  passedOn: CatgaError | undefined = undefined;
  /** Called if the message is aborted while it is `preparing`. */
  drop: ((reason: CatgaError) => void) | undefined = undefined;
  /** Notified when the message begins to wait for admission or to rest, and when it takes a turn again. */
  watcher: AdmissionWatcher | undefined = undefined;
  readonly #host: ContextHost;
  readonly #contract: AnyContract;
  #controller: AbortController | undefined = undefined;
  #aborted: CatgaError | undefined = undefined;
  /** Set when the claim is lost: the handler should stop, but the sender still waits. */
  #lost: CatgaError | undefined = undefined;
  #attempt: Deadlined | undefined = undefined;
  #children: Set<Deadlined> | undefined = undefined;
  /** The locks that the handler holds, and the locks that it waits for. */
  #locks: Set<RunLock> | undefined = undefined;
  /** Number of the last scope of locks. */
  #scope = 0;
  #running = false;
  /** The entry of the message in the queue in which it waits for admission. */
  #entry: QueueEntry | undefined = undefined;
  /** True while the message waits for something that runs without it. */
  #resting = false;
  /** Maximum time of a run from its turn on, in ms, if the message has no other deadline. */
  #lasts: number | undefined = undefined;
  /** Settles the send that waits for the message in this process. */
  #settle: ((outcome: Outcome) => void) | undefined = undefined;

  /** `due`: the deadline, in ms of the monotonic clock. */
  constructor(host: ContextHost, contract: AnyContract, due: number) {
    super(due);
    this.#host = host;
    this.#contract = contract;
  }

  /** Why the message was aborted, or how its claim was lost; `undefined` if neither. */
  get aborted(): CatgaError | undefined {
    this.checkClaim?.();
    return this.#aborted ?? this.#lost;
  }

  /** True if the message was not aborted, and its handler has asked for no lock. */
  get untouched(): boolean {
    return this.#aborted === undefined && this.#locks === undefined;
  }

  /** The handler's signal: it aborts when the message is aborted, or its claim is lost. */
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
   * Aborts the attempt to get a claim when the message is aborted. After a lost claim the sender waits for the result
   * of another attempt.
   */
  claim(attempt: Deadlined): void {
    if (this.#aborted !== undefined) attempt.abort(this.#aborted);
    else this.#attempt = attempt;
  }

  /** Takes a lock for the handler; it is released at the end of the handler at the latest. */
  lock(key: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    const lock = this.#lock(key, options, asker);
    // a handler may end without awaiting its lock: the rejection must not end the process
    lock.catch((error) => {
      if (!this.#running) this.#host.fault(`taking a lock of ${this.#contract.name}, whose handler has ended`, error);
    });
    return lock;
  }

  async #lock(key: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    const scope = this.#scope;
    await undefined; // a synchronous handler has ended when this resumes
    if (!this.#running) throw this.#handlerEnded();
    const asked = new RunLock(this.#locks ??= new Set(), scope);
    const { wait } = asked;
    const signals = [this.signal, wait.signal];
    if (options.signal !== undefined) signals.push(options.signal);
    try {
      const signal = AbortSignal.any(signals);
      const lock = await this.#host.state.locks.lock(key, { ...options, signal }, asker);
      if (this.#running && !wait.signal.aborted) return asked.take(lock);
      await lock.release();
    } catch (error) {
      if (wait.signal.aborted) throw wait.signal.reason;
      // the same reason as the signal's, so that a handler that fails with it is recognized as aborted
      const reason = this.#aborted ?? this.#lost?.cause;
      if (reason !== undefined && isCatgaError(error) && error.cause === reason) throw reason;
      throw error;
    } finally {
      if (!asked.held) this.#locks.delete(asked);
    }
    throw this.#handlerEnded();
  }

  /**
   * Releases the handler's locks, and ends its waits for locks. Call it when the handler has ended; or, with a `scope`,
   * when an attempt has ended: locks that were asked for before that scope remain. The promise never rejects;
   * `undefined` without a lock.
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

  /** Like {@link Abortable.lockScope}. */
  lockScope(): () => Promise<unknown> | undefined {
    const scope = ++this.#scope;
    return () => this.releaseLocks(scope);
  }

  #handlerEnded(): CatgaError {
    return new CatgaError("LOCK_LOST", `the handler of ${this.#contract.name} had ended before it was given its lock`);
  }

  /** True if the message waits for admission, or was dropped while it did: its handler has not begun. */
  get waiting(): boolean {
    return this.#entry !== undefined;
  }

  /** True if the message takes no turn: it waits for admission, or rests. */
  get aside(): boolean {
    return this.#resting || this.waiting;
  }

  /** Call it when the message begins to wait for admission; aborting the message aborts the entry. */
  wait(entry: QueueEntry): void {
    const { aside } = this;
    this.#entry = entry;
    entry.due = Math.min(entry.due, this.due);
    if (!aside) this.watcher?.waits(this.#contract);
  }

  /** Call it when the message has been admitted. */
  go(): void {
    this.#entry = undefined;
    if (this.#lasts !== undefined) this.#postpone(this.#host.wheel.now() + this.#lasts);
    if (!this.#resting) this.watcher?.goes(this.#contract);
  }

  /**
   * Sets the deadline of the message's turn, `due`, and the maximum time of its run, which begins with its turn, in ms.
   */
  hurry(due: number, lasts: number): void {
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
   * Call it when the message waits for something that runs without it: it takes no turn until {@link Execution.wake},
   * or its end.
   */
  rest(): void {
    const { aside } = this;
    this.#resting = true;
    if (!aside) this.watcher?.waits(this.#contract);
  }

  /** Ends {@link Execution.rest}. */
  wake(): void {
    if (!this.#resting) return;
    this.#resting = false;
    if (!this.waiting) this.watcher?.goes(this.#contract);
  }

  /**
   * Call it when an asynchronous handler runs: from now on the deadline ends it. `ended`: called with the outcome after
   * the handler.
   */
  run(handler: Later, ended: (outcome: Outcome) => void): void {
    this.#start();
    handler.then((outcome) => this.#end(outcome, ended));
  }

  /**
   * Like {@link Execution.run}, for callers that call {@link Execution.end} themselves. `settle`: called with the
   * outcome, and before that with a failure if the message is aborted first.
   */
  begin(settle: (outcome: Outcome) => void): void {
    this.#settle = settle;
    if (this.#aborted !== undefined && this.stage !== "claiming") settle(this.#abandoned(this.#aborted));
    this.#start();
  }

  /** Call it when the handler has ended, after {@link Execution.begin}. */
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
    else released.then(() => this.#done()); // a drain waits for the release
  }

  #done(): void {
    this.#host.underWay.end();
  }

  /**
   * Resolves like `work`, user code for this message; or with the value of `onAbort` if the message is aborted first.
   */
  until<T>(work: Promise<T>, onAbort: (reason: CatgaError) => T): Promise<T> {
    const wait = new DeadlinedWait(Infinity, work, { onAbort, ended: () => this.release(wait) });
    this.adopt(wait);
    return wait.outcome;
  }

  /** Aborts the child, a send of the handler, when this message is aborted. */
  adopt(child: Deadlined): void {
    const { aborted } = this;
    if (aborted !== undefined) child.abort(aborted);
    else (this.#children ??= new Set()).add(child);
  }

  /** Call it when the child has ended. */
  release(child: Deadlined): void {
    this.#children?.delete(child);
  }

  override expire(): void {
    const { kind, name } = this.#contract;
    const error = new CatgaError("TIMEOUT", `the deadline of ${kind} ${name} has passed`);
    if (this.stage === "handler" && !this.aside) this.#host.expired(this.#contract, error);
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
   * Call it when the claim is lost: the handler should stop, or does not begin. The sender waits for the result of
   * another attempt.
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
    if (this.waiting || this.stage === "turn") return notBegun(this.#contract, reason, "its turn had not come");
    if (this.stage === "preparing") return notBegun(this.#contract, reason, NOT_PREPARED);
    return abandoned(this.#contract, reason);
  }
}

/** A lock that a handler holds or waits for, as long as it is in the set of the handler's run. */
class RunLock implements Lock {
  /** The scope in which the lock was asked for. */
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

/** The execution of a message at its handler: its deadline, its turn, how it is given up, and what goes with its end. */
import type { ContextHost, TurnWatcher } from "./context_host.ts";
import type { AnyContract } from "../contract/contract.ts";
import { Deadlined } from "./deadline_wheel.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import type { QueueEntry } from "./admission_queue.ts";
import type { Failure } from "../contract/result.ts";
import type { Asker } from "./shared_state.ts";
import type { Lock, LockOptions } from "../contract/shared_state.ts";
import type { Outcome } from "./outcome.ts";
import { Wait } from "./wait.ts";

/** The execution of one message. A handler that returns at once, and asks for nothing of it, has none. */
export class Execution extends Deadlined {
  /** The key whose messages run one at a time, when the contract is ordered. */
  key: string | undefined = undefined;
  /** As the sender gave it; of an idempotent command. */
  payload: unknown = undefined;
  fence: number | undefined = undefined;
  /** It waits for its claim, which hears of the signal and says what is known of other attempts: it has not begun itself. */
  claiming = false;
  /** Calls {@link Execution.lose} if the lease of its claim has ended; while its handler runs under a claim. */
  checkClaim: (() => void) | undefined = undefined;
  /** Something that takes its time comes before its handler (a schema, a behavior), which has not begun. */
  preparing = false;
  /** Called when it is given up while it is {@link Execution.preparing}. */
  drop: ((reason: CatgaError) => void) | undefined = undefined;
  /** Whoever has it run is told when it waits. */
  watcher: TurnWatcher | undefined = undefined;
  readonly #host: ContextHost;
  readonly #contract: AnyContract;
  #controller: AbortController | undefined = undefined;
  #aborted: CatgaError | undefined = undefined;
  /** Why its handler was to stop, though the sender waits on: its claim is lost. */
  #lost: CatgaError | undefined = undefined;
  #sender: AbortController | undefined = undefined;
  #children: Set<Deadlined> | undefined = undefined;
  /** The locks of its handler while that runs, and those that it waits for. */
  #locks: Set<Lock> | undefined = undefined;
  #wishes: Set<AbortController> | undefined = undefined;
  #running = false;
  /** Where it waits for its turn. */
  #place: QueueEntry | undefined = undefined;
  /** What a sender in this process waits for. */
  #settle: ((outcome: Outcome) => void) | undefined = undefined;

  /** `due`: the deadline, in ms of the monotonic clock. */
  constructor(host: ContextHost, contract: AnyContract, due: number) {
    super(due);
    this.#host = host;
    this.#contract = contract;
  }

  /** Why it was given up, or its claim is lost, when either is so. */
  get aborted(): CatgaError | undefined {
    this.checkClaim?.();
    return this.#aborted ?? this.#lost;
  }

  /** Whether it was not given up, and its handler has asked for no lock. */
  get untouched(): boolean {
    return this.#aborted === undefined && this.#locks === undefined && this.#wishes === undefined;
  }

  /** Aborts when it is given up, or its claim is lost. */
  get signal(): AbortSignal {
    this.checkClaim?.();
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      const reason = this.#aborted ?? this.#lost?.cause;
      if (reason !== undefined) this.#controller.abort(reason);
    }
    return this.#controller.signal;
  }

  /** Aborts when it is given up: an attempt whose claim is lost waits for the result of the other. */
  get sender(): AbortSignal {
    if (this.#sender === undefined) {
      this.#sender = new AbortController();
      if (this.#aborted !== undefined) this.#sender.abort(this.#aborted);
    }
    return this.#sender.signal;
  }

  /** Takes a lock for the run of its handler; gives it back when that has ended. */
  lock(key: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    const lock = this.#lock(key, options, asker);
    // of a lock that its handler did not await nobody hears, and the process must not end of that
    lock.catch((error) => {
      if (!this.#running) this.#host.fault(`taking a lock of ${this.#contract.name}, whose handler has ended`, error);
    });
    return lock;
  }

  async #lock(key: string | readonly string[], options: LockOptions, asker: Asker): Promise<Lock> {
    await undefined; // a handler that is not asynchronous has ended when this goes on
    if (!this.#running) throw this.#handlerEnded();
    const wish = new AbortController();
    (this.#wishes ??= new Set()).add(wish);
    const signals = [this.signal, wish.signal];
    if (options.signal !== undefined) signals.push(options.signal);
    try {
      const signal = AbortSignal.any(signals);
      const lock = await this.#host.state.locks.lock(key, { ...options, signal }, asker);
      if (this.#running) {
        (this.#locks ??= new Set()).add(lock);
        return lock;
      }
      await lock.release();
    } catch (error) {
      if (wish.signal.aborted) throw wish.signal.reason;
      // as its signal has it: why a message was given up says nothing of what it had done by then
      const reason = this.#aborted ?? this.#lost?.cause;
      if (reason !== undefined && isCatgaError(error) && error.cause === reason) throw reason;
      throw error;
    } finally {
      this.#wishes.delete(wish);
    }
    throw this.#handlerEnded();
  }

  /** Its handler has ended: gives back the locks that it held, and waits for no more. Never rejects. */
  async ended(): Promise<void> {
    this.#running = false;
    const [wishes, locks, host] = [this.#wishes, this.#locks, this.#host];
    this.#locks = undefined;
    if (wishes !== undefined) { for (const wish of wishes) wish.abort(this.#handlerEnded()); }
    if (locks === undefined) return;
    await Promise.all(
      [...locks].map((lock) =>
        lock.release().catch((error) => host.fault(`releasing a lock of ${this.#contract.name}`, error))
      ),
    );
  }

  #handlerEnded(): CatgaError {
    return new CatgaError("LOCK_LOST", `the handler of ${this.#contract.name} had ended before it was given its lock`);
  }

  /** Whether its handler has not begun: it waits for its turn, or had none. */
  get waiting(): boolean {
    return this.#place !== undefined;
  }

  /** It waits for its turn from now on, and gives it up when it is aborted. */
  wait(place: QueueEntry): void {
    const waited = this.waiting;
    this.#place = place;
    if (!waited) this.watcher?.waits();
  }

  /** Its turn has come. */
  go(): void {
    this.#place = undefined;
    this.watcher?.goes();
  }

  /** An asynchronous handler is under way: from now on the deadline counts. `ended` is called when it has come to its end. */
  run(handler: Promise<Outcome>, ended: (outcome: Outcome) => void): void {
    this.#start();
    handler.then((outcome) => this.#end(outcome, ended));
  }

  /** The same for who sees to it that {@link Execution.end} is called. `settle` hears of that end, or that it was given up. */
  begin(settle: (outcome: Outcome) => void): void {
    this.#settle = settle;
    if (this.#aborted !== undefined && !this.claiming) settle(this.#abandoned(this.#aborted));
    this.#start();
  }

  /** What has {@link Execution.begin begun} has come to its end. */
  end(outcome: Outcome): void {
    this.#end(outcome, this.#settle!);
  }

  #start(): void {
    const host = this.#host;
    if (this.#aborted === undefined) host.wheel.add(this);
    host.pending++;
    this.#running = true;
  }

  #end(outcome: Outcome, ended: (outcome: Outcome) => void): void {
    this.#host.wheel.delete(this);
    this.#children = undefined;
    this.#running = false;
    ended(outcome);
    if (this.#locks === undefined && this.#wishes === undefined) this.#done();
    else this.ended().then(() => this.#done()); // a drain waits for it
  }

  #done(): void {
    if (--this.#host.pending === 0) this.#host.idle();
  }

  /**
   * What comes of it for a sender in this process, as `told` has it: the handler's result, or a failure at the deadline, or
   * when the sender gives up.
   */
  outcome<T>(handler: Promise<Outcome>, told: (outcome: Outcome) => T): Promise<T> {
    return new Promise((resolve) => {
      this.begin((outcome) => resolve(told(outcome)));
      handler.then((outcome) => this.end(outcome));
    });
  }

  /** What the user's code gives for this message, or what `givenUp` makes of the reason when it is given up first. */
  until<T>(work: Promise<T>, givenUp: (reason: CatgaError) => T): Promise<T> {
    const wait = new Wait(Infinity, work, { givenUp, ended: () => this.release(wait) });
    this.adopt(wait);
    return wait.outcome;
  }

  /** Cancels a send of this handler when the handler itself is cancelled. */
  adopt(child: Deadlined): void {
    const { aborted } = this;
    if (aborted !== undefined) child.abort(aborted);
    else (this.#children ??= new Set()).add(child);
  }

  /** The send has ended. */
  release(child: Deadlined): void {
    this.#children?.delete(child);
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", `the deadline of ${this.#contract.kind} ${this.#contract.name} has passed`));
  }

  override abort(reason: CatgaError): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    this.#host.wheel.delete(this);
    this.#sender?.abort(reason);
    this.#stop(reason, reason);
    if (!this.claiming) this.#settle?.(this.#abandoned(reason));
    if (this.preparing) this.drop?.(reason);
    this.#place?.abort(reason);
  }

  /** Its claim is lost: its handler is to stop, or not to begin. Its sender waits on, for the result of another attempt. */
  lose(reason: CatgaError): void {
    if (this.#aborted !== undefined || this.#lost !== undefined) return;
    this.#lost = new CatgaError("CANCELLED", reason.message, { cause: reason });
    this.#stop(reason, this.#lost);
    this.#place?.abort(reason);
  }

  #stop(reason: CatgaError, children: CatgaError): void {
    this.#controller?.abort(reason);
    const adopted = this.#children;
    this.#children = undefined;
    if (adopted !== undefined) { for (const child of adopted) child.abort(children); }
  }

  #abandoned(reason: CatgaError): Failure {
    if (this.waiting) return notBegun(this.#contract, reason, "its turn had not come");
    if (this.preparing) return notBegun(this.#contract, reason, "a schema or behavior before it had not ended");
    return abandoned(this.#contract, reason);
  }
}

/** What a sender gets for a handler that it gave up on before it began: it certainly did not run. */
function notBegun({ kind, name }: AnyContract, reason: CatgaError, why: string): Failure {
  if (reason.code !== "TIMEOUT") return { ok: false, error: reason };
  const message = `${kind} ${name} did not run: ${why} when its deadline passed`;
  return { ok: false, error: new CatgaError("UNAVAILABLE", message, { retryable: true, cause: reason }) };
}

/**
 * What a sender gets for a handler that it gave up on while it ran: a command may have had its effect, whatever the reason
 * is.
 */
export function abandoned(contract: AnyContract, reason: CatgaError, when = "was running when"): Failure {
  if (contract.kind === "query" || reason.code === "CANCELLED") return { ok: false, error: reason };
  return {
    ok: false,
    error: new CatgaError(
      "OUTCOME_UNKNOWN",
      `${contract.kind} ${contract.name} ${when} its sender gave up (${reason.code}): it may have run`,
      { cause: reason },
    ),
  };
}

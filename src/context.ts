/** What a handler is told about its message, and what it sends with. */
import type { Clock } from "./clock.ts";
import type { AnyContract, Contract, Kind } from "./contract.ts";
import { Deadlined, type DeadlineWheel } from "./deadline_wheel.ts";
import { CatgaError, isCatgaError } from "./error.ts";
import type { Ticket } from "./gate.ts";
import type { EventSendOptions, SendOptions } from "./options.ts";
import type { Failure, Result } from "./result.ts";
import type { MaybePromise } from "./schema.ts";
import type { Cache, Claims, Lock, LockOptions, SharedState } from "./shared_state.ts";
import type { Args, BroadcastResult, SendAllOptions, Sender } from "./sender.ts";
import type { Outcome } from "./turns.ts";

/**
 * What a handler is told about its message. What it sends with it carries on the deadline, the correlation and the trace
 * headers (`traceparent`, `tracestate`, `baggage`), and is cancelled with it.
 *
 * @example
 * ```ts
 * import { catga, command, query, unwrap } from "@catga/catga";
 *
 * const Price = query<{ sku: string }, number>("Price");
 * const Buy = command<{ sku: string }, string>("Buy");
 * const price = Price.handle((_, ctx) => ctx.correlationId.length);
 * const buy = Buy.handle(async (order, ctx) => {
 *   const cost = await ctx.send(Price, order); // has what is left of the time of Buy
 *   return cost.ok ? `${order.sku} for ${cost.value}` : cost;
 * });
 * await using app = await catga({ handlers: [price, buy] });
 * console.log(unwrap(await app.send(Buy, { sku: "tea" }, { id: "first" }))); // tea for 5
 * ```
 */
export interface Context extends Sender {
  /** The message id: what the sender gave as `id`, else one that Catga made; the same in every attempt. */
  readonly id: string;
  /** The id of the message that all this began with; the message's own when it is the first. */
  readonly correlationId: string;
  /** The id of the message whose handler sent this one; `undefined` when no handler did. */
  readonly causationId: string | undefined;
  /** What the sender gave as `headers`, and the trace headers of the message that it was handling; `{}`. */
  readonly headers: Readonly<Record<string, string>>;
  /** When the sender gives up, in ms since 1970 by this node's clock. */
  readonly deadline: number;
  /** Aborts with a `CatgaError` when the sender gives up (`CANCELLED`), the deadline passes (`TIMEOUT`) or the app stops (`CLOSED`). */
  readonly signal: AbortSignal;
  /** The id of the node that this handler runs on. */
  readonly node: string;
  /** 1 for the first attempt to have this message handled. */
  readonly attempt: number;
  /**
   * Of an idempotent command: the revision of its claim, a fencing token that grows with each run of the handler for this id;
   * `undefined` for other messages. Let what the command changes refuse a smaller one: a run that was paused for longer than
   * 15 s may go on beside the next.
   *
   * @example
   * ```ts
   * import { catga, command } from "@catga/catga";
   *
   * const SetPrice = command<{ cents: number }, boolean>("SetPrice", { idempotent: true });
   * const setPrice = SetPrice.handle(({ cents }, ctx) => ctx.cache.set("price", cents, { fence: ctx.fence! }));
   * await using app = await catga({ handlers: setPrice });
   * console.log((await app.send(SetPrice, { cents: 420 }, { id: "price-1" })).value); // true
   * ```
   */
  readonly fence: number | undefined;
}

/** What travels with a message besides its payload; made by the context, carried by the endpoint. */
export interface Envelope {
  /** Names this run of a handler among all others: `<endpoint>.<number>…`. */
  readonly call: string;
  readonly id: string;
  readonly attempt: number;
  readonly correlation: string | undefined;
  readonly causation: string | undefined;
  readonly ancestry: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** The routing key that the sender gave, when the contract is ordered. */
  readonly key?: string | undefined;
}

/** What contexts need of the app that they belong to. */
export interface ContextHost {
  readonly node: string;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** What a drain waits for: asynchronous handlers that run, and sends that wait for an answer. */
  pending: number;
  /** To be called whenever {@link ContextHost.pending} has come down to 0. */
  idle(): void;
  /** What the nodes share. */
  readonly state: SharedState;
  /** Something went wrong that nobody waits for. */
  fault(during: string, error: unknown): void;
  /** A new name for a run, or for a message, of this process. */
  nextCall(): string;
  send(contract: AnyContract, payload: unknown, options: SendOptions, parent: MessageContext): Promise<Result<unknown>>;
  sendAll(
    contract: AnyContract,
    payloads: Iterable<unknown>,
    options: SendAllOptions,
    parent: MessageContext,
  ): Promise<Result<unknown>[]>;
  publish(contract: AnyContract, payload: unknown, options: SendOptions, parent: MessageContext): Promise<Result<void>>;
  broadcast(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    parent: MessageContext,
  ): Promise<BroadcastResult<unknown>[]>;
}

/** Hears when a message steps aside to wait for its handler's turn. */
export interface TurnWatcher {
  /** It begins to wait. */
  waits(): void;
  /** Its turn has come. Not called when it is dropped instead. */
  goes(): void;
}

/** No headers. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));

const NO_ANCESTRY: readonly string[] = Object.freeze([]);
const NO_OPTIONS: SendOptions = Object.freeze({});

/** The one context there is; everything that a handler may never ask for is made when it asks. */
export class MessageContext extends Deadlined implements Context {
  readonly contract: AnyContract;
  /** The key whose messages run one at a time, when the contract is ordered. */
  key: string | undefined = undefined;
  /** As the sender gave it; of an idempotent command. */
  payload: unknown = undefined;
  fence: number | undefined = undefined;
  /** It waits for its claim, which hears of the signal and says what is known of other attempts: it has not begun itself. */
  claiming = false;
  /** Whoever has it run is told when it waits. */
  watcher: TurnWatcher | undefined = undefined;
  readonly #host: ContextHost;
  #envelope: Envelope | undefined;
  #timeout: number;
  #controller: AbortController | undefined = undefined;
  #aborted: CatgaError | undefined = undefined;
  #children: Set<Deadlined> | undefined = undefined;
  /** The locks of its handler while that runs, and those that it waits for. */
  #locks: Set<Lock> | undefined = undefined;
  #wishes: Set<AbortController> | undefined = undefined;
  #running = false;
  /** Where it waits for its turn. */
  #place: Ticket | undefined = undefined;
  /** What a sender in this process waits for. */
  #settle: ((outcome: Outcome) => void) | undefined = undefined;

  /** `timeout` counts from now, in ms; `envelope` is what came with the message, when something did. */
  constructor(host: ContextHost, contract: AnyContract, timeout: number, envelope: Envelope | undefined) {
    super(NOT_READ);
    this.#host = host;
    this.contract = contract;
    this.#timeout = timeout;
    this.#envelope = envelope;
  }

  /** Why it was given up, when it was. */
  get aborted(): CatgaError | undefined {
    return this.#aborted;
  }

  get envelope(): Envelope {
    if (this.#envelope === undefined) {
      const call = this.#host.nextCall();
      this.#envelope = {
        call,
        id: call,
        attempt: 1,
        correlation: undefined,
        causation: undefined,
        ancestry: NO_ANCESTRY,
        headers: NO_HEADERS,
      };
    }
    return this.#envelope;
  }

  get id(): string {
    return this.envelope.id;
  }

  get correlationId(): string {
    return this.envelope.correlation ?? this.envelope.id;
  }

  get causationId(): string | undefined {
    return this.#envelope?.causation;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#envelope?.headers ?? NO_HEADERS;
  }

  get attempt(): number {
    return this.#envelope?.attempt ?? 1;
  }

  get node(): string {
    return this.#host.node;
  }

  get deadline(): number {
    const { clock } = this.#host;
    return clock.now() + this.remaining(clock.monotonic());
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted);
    }
    return this.#controller.signal;
  }

  send<In, Out>(contract: Contract<"command" | "query", In, Out>, ...args: Args<In>): Promise<Result<Out>> {
    // the contract's types say that what comes back is an Out
    return this.#host.send(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<Result<Out>>;
  }

  sendAll<In, Out>(
    contract: Contract<"command" | "query", In, Out>,
    payloads: Iterable<NoInfer<In>>,
    options: SendAllOptions = {},
  ): Promise<Result<Out>[]> {
    return this.#host.sendAll(contract as AnyContract, payloads, options, this) as Promise<Result<Out>[]>;
  }

  publish<In>(contract: Contract<"event", In, void>, ...args: Args<In, EventSendOptions>): Promise<Result<void>> {
    return this.#host.publish(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this);
  }

  broadcast<In, Out>(contract: Contract<Kind, In, Out>, ...args: Args<In>): Promise<BroadcastResult<Out>[]> {
    return this.#host.broadcast(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<
      BroadcastResult<Out>[]
    >;
  }

  /** For the one who runs its handler, when that is to run once for its id. */
  get claims(): Claims {
    return this.#host.state.claims;
  }

  get cache(): Cache {
    return this.#host.state.cache;
  }

  lock(key: string | readonly string[], options: LockOptions = {}): Promise<Lock> {
    const lock = this.#lock(key, options);
    // of a lock that its handler did not await nobody hears, and the process must not end of that
    lock.catch((error) => {
      if (!this.#running) this.#host.fault(`taking a lock of ${this.contract.name}, whose handler has ended`, error);
    });
    return lock;
  }

  async #lock(key: string | readonly string[], options: LockOptions): Promise<Lock> {
    const { call, ancestry } = this.envelope;
    const wish = new AbortController();
    (this.#wishes ??= new Set()).add(wish);
    const signals = [this.signal, wish.signal];
    if (options.signal !== undefined) signals.push(options.signal);
    try {
      const signal = AbortSignal.any(signals);
      const lock = await this.#host.state.locks.lock(key, { ...options, signal }, { call, ancestry });
      if (this.#running) {
        (this.#locks ??= new Set()).add(lock);
        return lock;
      }
      await lock.release();
    } catch (error) {
      if (wish.signal.aborted) throw wish.signal.reason;
      // as its signal has it: why a message was given up says nothing of what it had done by then
      if (this.#aborted !== undefined && isCatgaError(error) && error.cause === this.#aborted) throw this.#aborted;
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
        lock.release().catch((error) => host.fault(`releasing a lock of ${this.contract.name}`, error))
      ),
    );
  }

  #handlerEnded(): CatgaError {
    return new CatgaError("LOCK_LOST", `the handler of ${this.contract.name} had ended before it was given its lock`);
  }

  /** The deadline by the monotonic clock, which says `now`: what has not been asked for begins to count then. */
  dueAt(now: number): number {
    if (this.due === NOT_READ) this.due = now + this.#timeout;
    return this.due;
  }

  /** What is left until the deadline, in ms, at this moment of the monotonic clock. */
  remaining(now: number): number {
    return this.dueAt(now) - now;
  }

  /** Whether its handler has not begun: it waits for its turn, or had none. */
  get waiting(): boolean {
    return this.#place !== undefined;
  }

  /** It waits for its turn from now on, and gives it up when it is aborted. */
  wait(place: Ticket): void {
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
    const host = this.#host;
    this.remaining(host.clock.monotonic());
    if (this.#aborted === undefined) host.wheel.add(this);
    host.pending++;
    this.#running = true;
    handler.then((outcome) => {
      host.wheel.delete(this);
      this.#children = undefined;
      const done = () => {
        if (--host.pending === 0) host.idle();
      };
      this.#running = false;
      ended(outcome);
      if (this.#locks === undefined && this.#wishes === undefined) done();
      else this.ended().then(done); // a drain waits for it
    });
  }

  /**
   * What comes of it for a sender in this process, as `told` has it: the handler's result, or a failure at the deadline, or
   * when the sender gives up.
   */
  outcome<T>(handler: Promise<Outcome>, told: (outcome: Outcome) => T): Promise<T> {
    return new Promise((resolve) => {
      const settle = (outcome: Outcome) => resolve(told(outcome));
      this.#settle = settle;
      if (this.#aborted !== undefined && !this.claiming) settle(this.#abandoned(this.#aborted));
      this.run(handler, settle);
    });
  }

  /** Runs one of several handlers of this message as a run of its own: what it locks is not held by the others. */
  apart(handle: (own: MessageContext) => MaybePromise<Outcome>): Promise<Outcome> {
    const host = this.#host;
    const { id, attempt, correlation, causation, ancestry, headers, key } = this.envelope;
    const envelope = { call: host.nextCall(), id, attempt, correlation, causation, ancestry, headers, key };
    const own = new MessageContext(host, this.contract, this.remaining(host.clock.monotonic()), envelope);
    own.key = this.key;
    this.adopt(own);
    const handled = Promise.resolve(handle(own));
    return new Promise((resolve) =>
      own.run(handled, (outcome) => {
        this.release(own);
        resolve(outcome);
      })
    );
  }

  /** Cancels a send of this handler when the handler itself is cancelled. */
  adopt(child: Deadlined): void {
    if (this.#aborted !== undefined) child.abort(this.#aborted);
    else (this.#children ??= new Set()).add(child);
  }

  /** The send has ended. */
  release(child: Deadlined): void {
    this.#children?.delete(child);
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", `the deadline of ${this.contract.kind} ${this.contract.name} has passed`));
  }

  override abort(reason: CatgaError): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = reason;
    this.#host.wheel.delete(this);
    this.#controller?.abort(reason);
    const children = this.#children;
    this.#children = undefined;
    if (children !== undefined) { for (const child of children) child.abort(reason); }
    if (!this.claiming) this.#settle?.(this.#abandoned(reason));
    this.#place?.abort(reason);
  }

  #abandoned(reason: CatgaError): Failure {
    return this.waiting ? notBegun(this.contract, reason) : abandoned(this.contract, reason);
  }
}

/** `due` before anybody has asked. */
const NOT_READ = -1;

/** What a sender gets for a handler that it gave up on before it began: it certainly did not run. */
function notBegun({ kind, name }: AnyContract, reason: CatgaError): Failure {
  if (reason.code !== "TIMEOUT") return { ok: false, error: reason };
  const message = `${kind} ${name} did not run: its turn had not come when its deadline passed`;
  return { ok: false, error: new CatgaError("UNAVAILABLE", message, { retryable: true, cause: reason }) };
}

/**
 * What a sender gets for a handler that it gave up on while it ran: a command may have had its effect, whatever the reason
 * is.
 */
export function abandoned(contract: AnyContract, reason: CatgaError): Failure {
  if (contract.kind === "query" || reason.code === "CANCELLED") return { ok: false, error: reason };
  return {
    ok: false,
    error: new CatgaError(
      "OUTCOME_UNKNOWN",
      `${contract.kind} ${contract.name} was running when its sender gave up (${reason.code}): it may have run`,
      { cause: reason },
    ),
  };
}

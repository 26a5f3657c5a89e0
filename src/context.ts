/** What a handler is told about its message, and what it sends with. */
import type { Clock } from "./clock.ts";
import type { AnyContract, Contract, Kind } from "./contract.ts";
import { Course } from "./course.ts";
import type { DeadlineWheel } from "./deadline_wheel.ts";
import type { CatgaError } from "./error.ts";
import type { Ticket } from "./gate.ts";
import type { BroadcastOptions, PublishOptions, SendOptions } from "./options.ts";
import type { Result } from "./result.ts";
import { RunCache } from "./run_cache.ts";
import type { MaybePromise } from "./schema.ts";
import type { Cache, Claims, Lock, LockOptions, SharedState } from "./shared_state.ts";
import type { BroadcastResult, SendAllOptions, SendArgs, Sender } from "./sender.ts";
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
  /**
   * Aborts with a `CatgaError` when the sender gives up (`CANCELLED`), the deadline passes (`TIMEOUT`), the app stops (`CLOSED`),
   * or, of an idempotent command, when its claim is lost and another attempt may run (`OUTCOME_UNKNOWN`).
   */
  readonly signal: AbortSignal;
  /** The id of the node that this handler runs on. */
  readonly node: string;
  /** 1 for the first attempt to have this message handled. */
  readonly attempt: number;
  /**
   * Of an idempotent command: the revision of its claim, a fencing token that grows with each run of the handler for this id;
   * `undefined` for other messages. Let what the command changes refuse a smaller one: a run that was paused for longer than
   * 15 s, or had no connection for more than 4 s, may go on beside the next.
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

/**
 * The one context there is. Small, for there is one for each message: what a handler may never ask for is made when it asks,
 * and what only handlers need that take their time is in a {@link Course} (80 bytes instead of 260, measured in Deno).
 */
export class MessageContext implements Context {
  readonly contract: AnyContract;
  readonly #host: ContextHost;
  readonly #timeout: number;
  #envelope: Envelope | undefined;
  #course: Course | undefined;

  /** `timeout` counts from when something first depends on it, in ms; `envelope` is what came with the message, when something did. */
  constructor(host: ContextHost, contract: AnyContract, timeout: number, envelope: Envelope | undefined) {
    this.contract = contract;
    this.#host = host;
    this.#timeout = timeout;
    this.#envelope = envelope;
    this.#course = undefined;
  }

  /** Its deadline, and all that can happen until then. */
  get course(): Course {
    return this.#course ?? this.#begin(this.#host.wheel.now());
  }

  #begin(now: number): Course {
    return this.#course = new Course(this.#host, this.contract, now + this.#timeout);
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

  /** The name of its run, if anybody may have been told it. */
  get call(): string | undefined {
    return this.#envelope?.call;
  }

  /** The runs that wait for this one. */
  get ancestry(): readonly string[] {
    return this.#envelope?.ancestry ?? NO_ANCESTRY;
  }

  get fence(): number | undefined {
    return this.#course?.fence;
  }

  get node(): string {
    return this.#host.node;
  }

  get deadline(): number {
    const { clock } = this.#host;
    return clock.now() + this.remaining(clock.monotonic());
  }

  get signal(): AbortSignal {
    return this.course.signal;
  }

  send<In, Out>(contract: Contract<"command" | "query", In, Out>, ...args: SendArgs<In>): Promise<Result<Out>> {
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

  publish<In>(contract: Contract<"event", In, void>, ...args: SendArgs<In, PublishOptions>): Promise<Result<void>> {
    return this.#host.publish(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this);
  }

  broadcast<In, Out>(
    contract: Contract<Kind, In, Out>,
    ...args: SendArgs<In, BroadcastOptions>
  ): Promise<BroadcastResult<Out>[]> {
    return this.#host.broadcast(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<
      BroadcastResult<Out>[]
    >;
  }

  /** For the one who runs its handler, when that is to run once for its id. */
  get claims(): Claims {
    return this.#host.state.claims;
  }

  get cache(): Cache {
    return new RunCache(this.#host.state.cache, this);
  }

  lock(key: string | readonly string[], options: LockOptions = {}): Promise<Lock> {
    const { call, ancestry } = this.envelope;
    return this.course.lock(key, options, { call, ancestry });
  }

  /** Why it was given up, when it was. */
  get aborted(): CatgaError | undefined {
    return this.#course?.aborted;
  }

  /** Gives it up. */
  abort(reason: CatgaError): void {
    this.course.abort(reason);
  }

  /** The deadline by the monotonic clock, which says `now`: what has not been asked for begins to count then. */
  dueAt(now: number): number {
    return (this.#course ?? this.#begin(now)).due;
  }

  /** What is left until the deadline, in ms, at this moment of the monotonic clock. */
  remaining(now: number): number {
    // the wheel's clock, by which it began, may be a ms ahead
    return Math.min(this.dueAt(now) - now, this.#timeout);
  }

  /** Whether its handler has not begun: it waits for its turn, or had none. */
  get waiting(): boolean {
    return this.#course?.waiting ?? false;
  }

  /** It waits for its turn from now on, and gives it up when it is aborted. */
  wait(place: Ticket): void {
    this.course.wait(place);
  }

  /** An asynchronous handler is under way: from now on the deadline counts. `ended` is called when it has come to its end. */
  run(handler: Promise<Outcome>, ended: (outcome: Outcome) => void): void {
    this.course.run(handler, ended);
  }

  /** Runs one of several handlers of this message as a run of its own: what it locks is not held by the others. */
  apart(handle: (own: MessageContext) => MaybePromise<Outcome>): Promise<Outcome> {
    const host = this.#host;
    const { id, attempt, correlation, causation, ancestry, headers, key } = this.envelope;
    const envelope = { call: host.nextCall(), id, attempt, correlation, causation, ancestry, headers, key };
    const own = new MessageContext(host, this.contract, this.remaining(host.clock.monotonic()), envelope);
    own.course.key = this.course.key;
    this.course.adopt(own.course);
    const handled = Promise.resolve(handle(own));
    return new Promise((resolve) =>
      own.run(handled, (outcome) => {
        this.course.release(own.course);
        resolve(outcome);
      })
    );
  }
}

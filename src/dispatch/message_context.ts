import type { AnyContract, Contract, Kind } from "../contract/contract.ts";
import { Execution } from "./execution.ts";
import type { CatgaError } from "../error.ts";
import type { QueueEntry } from "./admission_queue.ts";
import type { BroadcastOptions, PublishOptions, SendOptions } from "../contract/send_options.ts";
import type { Result } from "../contract/result.ts";
import { RunCache } from "./run_cache.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Cache, Lock, LockOptions } from "../contract/shared_state.ts";
import type { Claims } from "./shared_state.ts";
import type { BroadcastResult, SendAllOptions, SendArgs } from "../contract/sender.ts";
import type { Outcome } from "./outcome.ts";
import type { Abortable, Context } from "../contract/context.ts";
import { type ContextHost, type Envelope, NO_HEADERS } from "./context_host.ts";

const NO_ANCESTRY: readonly string[] = Object.freeze([]);

const NO_OPTIONS: SendOptions = Object.freeze({});

/**
 * The one context there is. Small, for there is one for each message: what a handler may never ask for is made when it asks,
 * and what only handlers need that take their time is in a {@link Execution} (80 bytes instead of 260, measured in Deno).
 */
export class MessageContext implements Context, Abortable {
  readonly contract: AnyContract;
  readonly #host: ContextHost;
  readonly #timeout: number;
  #envelope: Envelope | undefined;
  #execution: Execution | undefined;

  /** `timeout` counts from when something first depends on it, in ms; `envelope` is what came with the message, when something did. */
  constructor(host: ContextHost, contract: AnyContract, timeout: number, envelope: Envelope | undefined) {
    this.contract = contract;
    this.#host = host;
    this.#timeout = timeout;
    this.#envelope = envelope;
    this.#execution = undefined;
  }

  /** Its deadline, and all that can happen until then. */
  get execution(): Execution {
    return this.#execution ?? this.#begin(this.#host.wheel.now());
  }

  #begin(now: number): Execution {
    return this.#execution = new Execution(this.#host, this.contract, now + this.#timeout);
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
    return this.#execution?.fence;
  }

  get node(): string {
    return this.#host.node;
  }

  get deadline(): number {
    const { clock } = this.#host;
    return clock.now() + this.remaining(clock.monotonic());
  }

  get signal(): AbortSignal {
    return this.execution.signal;
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
    return this.execution.lock(key, options, { call, ancestry });
  }

  /** Why it was given up, when it was. */
  get aborted(): CatgaError | undefined {
    return this.#execution?.aborted;
  }

  /** Gives it up. */
  abort(reason: CatgaError): void {
    this.execution.abort(reason);
  }

  /** The deadline by the monotonic clock, which says `now`: what has not been asked for begins to count then. */
  dueAt(now: number): number {
    return (this.#execution ?? this.#begin(now)).due;
  }

  /** What is left until the deadline, in ms, at this moment of the monotonic clock. */
  remaining(now: number): number {
    // the wheel's clock, by which it began, may be a ms ahead
    return Math.min(this.dueAt(now) - now, this.#timeout);
  }

  /** Whether its handler has not begun: it waits for its turn, or had none. */
  get waiting(): boolean {
    return this.#execution?.waiting ?? false;
  }

  /** It waits for its turn from now on, and gives it up when it is aborted. */
  wait(place: QueueEntry): void {
    this.execution.wait(place);
  }

  /** An asynchronous handler is under way: from now on the deadline counts. `ended` is called when it has come to its end. */
  run(handler: Promise<Outcome>, ended: (outcome: Outcome) => void): void {
    this.execution.run(handler, ended);
  }

  /** Runs one of several handlers of this message as a run of its own: what it locks is not held by the others. */
  apart(handle: (own: MessageContext) => MaybePromise<Outcome>): Promise<Outcome> {
    const host = this.#host;
    const { id, attempt, correlation, causation, ancestry, headers, key } = this.envelope;
    const envelope = { call: host.nextCall(), id, attempt, correlation, causation, ancestry, headers, key };
    const own = new MessageContext(host, this.contract, this.remaining(host.clock.monotonic()), envelope);
    own.execution.key = this.execution.key;
    this.execution.adopt(own.execution);
    const handled = Promise.resolve(handle(own));
    return new Promise((resolve) =>
      own.run(handled, (outcome) => {
        this.execution.release(own.execution);
        resolve(outcome);
      })
    );
  }
}

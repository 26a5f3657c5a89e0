/**
 * The context that every handler gets: its message's metadata, the methods with which it sends messages, and the cache
 * as its run sees it. The message's {@link Execution} has its deadline and its abort.
 */
import type { Abortable } from "../contract/calls/context.ts";
import type {
  AnyContract,
  Contract,
  ContractOptions,
  DurableContractOptions,
  Kind,
} from "../contract/declaration/contract.ts";
import type { EntityBody, EntityContext } from "../contract/declaration/handler.ts";
import type {
  AnyWorkflow,
  Askable,
  AskOptions,
  ResultOptions,
  Signal,
  StartOptions,
  TellOptions,
  WorkflowContract,
} from "../contract/calls/flow.ts";
import type { RunContext, RunDriver } from "../contract/declaration/workflow_body.ts";
import type { AnyEntity, LoadedEntity, LoadOptions } from "../contract/declaration/entity_definition.ts";
import type { HandlerFn, StreamingContext } from "../contract/declaration/definition.ts";
import type { BroadcastOptions, SendArgs, SendOptions, StreamOptions } from "../contract/calls/send_options.ts";
import { isFailure, type Result } from "../contract/calls/result.ts";
import { type MaybePromise, schemaThrew } from "../contract/schemas/schema.ts";
import type { EnqueueOptions, KeepOptions, PublishOptionsOf } from "../contract/calls/durable_messages.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/calls/sender.ts";
import type { Cache, CacheLoadOptions, CacheSetOptions, Lock, LockOptions } from "../contract/calls/shared_state.ts";
import { type AppClock, appClock, dateOf } from "../ports/clock.ts";
import { type CatgaError, isCatgaError } from "../error.ts";
import { patience, type QueueEntry } from "./admission_queue.ts";
import type { Caller, ProgramCode } from "../contract/declaration/program_types.ts";
import { callerIn, NO_HEADERS } from "./carried_headers.ts";
import type { Claims, ContextHost, Envelope, Settling } from "./context_host.ts";
import { Execution, PendingMessage } from "./execution.ts";
import type { Later, Outcome } from "./outcome.ts";
import type { CacheKey } from "../contract/calls/sendable.ts";

/**
 * The implementation of `Context`. It is small, because each message has one: its metadata (the envelope) is made when
 * a handler first reads it, its {@link Execution} only for handlers that do not return at once
 * (docs/internals/measurements.md).
 * @decides what `ctx` does when a handler calls it: `ctx.send`, `ctx.lock`, `ctx.publish` and the like
 */
export class MessageContext implements EntityContext, RunContext, StreamingContext, Abortable {
  readonly contract: AnyContract;
  readonly #host: ContextHost;
  readonly #timeout: number;
  #envelope: Envelope | undefined;
  /**
   * The execution of the message. While there is none: `null` in the stage `preparing` (a schema or behavior runs
   * before the handler), `undefined` in the other stages. A field of its own for the stage would take 8 bytes of every
   * send.
   */
  #execution: Execution | null | undefined;
  #pending: PendingMessage<MessageContext> | undefined;

  /**
   * `timeout`: in ms, counted from the first use of the deadline; `envelope`: the metadata that came with the message;
   * `undefined`: none came.
   */
  constructor(host: ContextHost, contract: AnyContract, timeout: number, envelope: Envelope | undefined) {
    this.contract = contract;
    this.#host = host;
    this.#timeout = timeout;
    this.#envelope = envelope;
    this.#execution = undefined;
    this.#pending = undefined;
  }

  /** The message's {@link Execution} (deadline, abort, locks), made when it is first needed. */
  get execution(): Execution {
    return this.#execution ?? this.#begin(this.#host.wheel.now());
  }

  #begin(now: number): Execution {
    const pending = this.#pending;
    const host = this.#host;
    const due = pending === undefined ? now + this.#timeout : host.wheel.dueOf(pending, now);
    const execution = new Execution(host, this.contract, due);
    if (this.preparing) execution.stage = "preparing";
    if (pending !== undefined) {
      execution.begin(pending.settle!); // called first, so that a drain finds at least one run in progress
      this.#endPending(pending);
    }
    return this.#execution = execution;
  }

  /** True if the message is in the stage `preparing`: a schema or a behavior runs before its handler. */
  get preparing(): boolean {
    return this.#execution === null || this.#execution?.stage === "preparing";
  }

  /** Sets the message's stage to `preparing` or `handler`. */
  set preparing(preparing: boolean) {
    if (this.#execution) this.#execution.stage = preparing ? "preparing" : "handler";
    else this.#execution = preparing ? null : undefined;
  }

  /**
   * Begins the run of an asynchronous handler, without making an {@link Execution}. `settle`: called with the outcome,
   * or before that with a failure if the message is aborted first. `pending` is used for nothing else until
   * {@link MessageContext.end}.
   */
  begin(settle: (outcome: Outcome) => void, pending: PendingMessage<MessageContext> = new PendingMessage()): void {
    pending.ctx = this;
    if (this.#execution) return this.#execution.begin(settle);
    const { wheel, underWay } = this.#host;
    pending.settle = settle;
    wheel.addFor(this.#pending = pending, this.#timeout);
    underWay.begin();
  }

  /** Reports that the handler has ended, after {@link MessageContext.begin}. */
  end(outcome: Outcome): void {
    if (this.#execution) return this.#execution.end(outcome);
    const pending = this.#pending!;
    pending.settle!(outcome);
    this.#endPending(pending);
  }

  #endPending(pending: PendingMessage<MessageContext>): void {
    this.#pending = pending.settle = undefined; // the locks that the handler requested have been released
    this.#host.wheel.delete(pending);
    this.#host.underWay.end();
  }

  get envelope(): Envelope {
    if (this.#envelope === undefined) this.#envelope = new OwnEnvelope(this.#host.nextCall());
    return this.#envelope;
  }

  get id(): string {
    return this.envelope.id;
  }

  /** Sets the id that the contract makes of the payload; called for a message that came without an id. */
  set id(id: string) {
    const { call, attempt, correlation, causation, ancestry, headers, key, send, span, sentAt } = this.envelope;
    const { position, fence, storedAt, due, subscription } = this.envelope;
    this.#envelope = {
      ...{ call, id, attempt, correlation, causation, ancestry, headers, key, send, span, sentAt },
      ...{ position, fence, storedAt, due, subscription },
    };
  }

  /** True if the sender gave the message an id. */
  get named(): boolean {
    return this.envelope.id !== this.envelope.call;
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

  get caller(): Caller | undefined {
    return callerIn(this.headers) as Caller | undefined; // the program says which type its edge's callers have
  }

  get attempt(): number {
    return this.#envelope?.attempt ?? 1;
  }

  /**
   * The name of this run of the handler; `undefined`: the run has no name, because no code has asked for one, so that
   * no other run can refer to it.
   */
  get call(): string | undefined {
    return this.#envelope?.call;
  }

  /** Names of the runs of handlers that wait for this run to end, outermost first. */
  get ancestry(): readonly string[] {
    return this.#envelope?.ancestry ?? NO_ANCESTRY;
  }

  /**
   * Time at which the message was first sent, as far as this process knows, by its monotonic clock; `undefined`: it was
   * sent just now.
   */
  get sentAt(): number | undefined {
    return this.#envelope?.sentAt;
  }

  get fence(): number | undefined {
    return this.#execution?.fence ?? this.#envelope?.fence;
  }

  get position(): number | undefined {
    return this.#envelope?.position;
  }

  get stored(): Date | undefined {
    const ms = this.#envelope?.storedAt;
    return ms === undefined ? undefined : dateOf(ms);
  }

  get due(): Date | undefined {
    const ms = this.#envelope?.due;
    return ms === undefined ? undefined : dateOf(ms);
  }

  get subscription(): string | undefined {
    return this.#envelope?.subscription;
  }

  get key(): string | undefined {
    return this.position === undefined ? undefined : this.envelope.key;
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

  get draining(): AbortSignal {
    return this.#host.draining;
  }

  send<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F>,
    ...args: SendArgs<In>
  ): Promise<Result<Out, F | ProgramCode>> {
    // the cast is safe: the contract's types guarantee the type of the result
    return called(this).#host.send(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<
      Result<Out, F | ProgramCode>
    >;
  }

  sendAll<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F>,
    payloads: Iterable<NoInfer<In>>,
    options: SendAllOptions = {},
  ): Promise<Result<Out, F | ProgramCode>[]> {
    return called(this).#host.sendAll(contract as AnyContract, payloads, options, this) as Promise<
      Result<Out, F | ProgramCode>[]
    >;
  }

  publish<In>(
    contract: Contract<"event", In, void>,
    ...args: SendArgs<In, PublishOptionsOf<ContractOptions | DurableContractOptions>>
  ): Unanswered {
    // cast: options of a wrong type are checked with those of programs in JavaScript
    const options = (args[1] ?? NO_OPTIONS) as KeepOptions;
    return called(this).#host.publish(contract as AnyContract, args[0], options, this) as Unanswered;
  }

  enqueue<In>(contract: Contract<"command", In, unknown>, ...args: SendArgs<In, EnqueueOptions>): Unanswered {
    return called(this).#host.enqueue(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Unanswered;
  }

  unschedule(contract: Contract<"event" | "command", never, unknown> | AnyWorkflow, id: string): Promise<boolean> {
    return called(this).#host.unschedule(contract, id);
  }

  broadcast<In, Out, F extends string>(
    contract: Contract<Kind, In, Out, F>,
    ...args: SendArgs<In, BroadcastOptions>
  ): Promise<BroadcastResult<Out, F | ProgramCode>[]> {
    return called(this).#host.broadcast(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<
      BroadcastResult<Out, F | ProgramCode>[]
    >;
  }

  async load<State>(entity: AnyEntity<State>, id: string, options?: LoadOptions): Promise<LoadedEntity<State>> {
    const loading = called(this).#host.load(entity, id, options);
    const loaded = await this.execution.until<LoadedEntity<State> | CatgaError>(loading, (reason) => reason);
    if (isCatgaError(loaded)) throw loaded;
    return loaded;
  }

  "~decide"(entity: EntityBody, payload: unknown): Promise<unknown> {
    const { execution } = this;
    // behaviors such as `retry()` may call the handler again: a decision that did not fail is kept, and not repeated
    const decision = execution.decision ??= new Promise((resolve, reject) =>
      this.decide(entity, payload, { resolve, reject })
    );
    const failed = () => {
      if (execution.decision === decision) execution.decision = undefined;
    };
    decision.then((value) => isFailure(value) && failed(), failed);
    return decision;
  }

  async "~items"(fn: HandlerFn, payload: unknown): Promise<unknown> {
    const { feed } = await this.#host.streams();
    return await feed(this.contract, fn, payload, this);
  }

  stream<In, Item, F extends string>(
    contract: Contract<"stream", In, Item, F>,
    ...args: SendArgs<In, StreamOptions>
  ): AsyncIterableIterator<Item> {
    // the cast is safe: the contract's types guarantee the type of the stream's items
    return called(this).#host.stream(
      contract as AnyContract,
      args[0],
      args[1] ?? NO_OPTIONS,
      this,
    ) as AsyncIterableIterator<
      Item
    >;
  }

  /** Lets an entity handle this command. */
  decide(entity: EntityBody, payload: unknown, to: Settling): void {
    this.#host.decide(entity, payload, this, to);
  }

  "~runs"(): Promise<RunDriver> {
    // from now on this message is treated as not running: the steps of the workflow's run may need its place
    this.execution.stepAside();
    return this.#host.nodeRuns();
  }

  start<In, Out, F extends string>(
    contract: WorkflowContract<In, Out, F>,
    ...args: SendArgs<In, StartOptions>
  ): Promise<Result<string, never>> {
    return called(this).#host.start(contract, args[0], args[1], this);
  }

  result<Out, F extends string>(
    contract: WorkflowContract<never, Out, F>,
    run: string,
    options: ResultOptions = {},
  ): Promise<Result<Out, F>> {
    // the cast is safe: the contract's types guarantee the type of the result
    return called(this).#host.result(contract, run, options) as Promise<Result<Out, F>>;
  }

  tell<T>(signal: Signal<T, unknown>, run: string, ...args: SendArgs<T, TellOptions>): Unanswered {
    return called(this).#host.tell(signal, run, args[0], args[1]);
  }

  ask<In, Out, F extends string>(
    question: Askable<In, Out, F>,
    run: string,
    ...args: SendArgs<In, AskOptions>
  ): Promise<Result<Out, F>> {
    // the cast is safe: the question's types guarantee the type of the answer
    return called(this).#host.ask(question, run, args[0], args[1]) as Promise<Result<Out, F>>;
  }

  complete(token: string, value?: unknown): Unanswered {
    return called(this).#host.complete(token, value);
  }

  cancel(contract: WorkflowContract<never, unknown>, run: string, reason: string): Unanswered {
    return called(this).#host.cancel(contract, run, reason);
  }

  /**
   * The claims of the node (records that reserve ids of commands), with which the mediator runs the handlers of
   * idempotent commands.
   */
  get claims(): Claims {
    return this.#host.state.claims;
  }

  get clock(): AppClock {
    return appClock(this.#host.clock, this);
  }

  get cache(): Cache {
    return new RunCache(this.#host.state.cache, this);
  }

  lock(key: string | readonly string[], options: LockOptions = {}): Promise<Lock> {
    const { call, ancestry } = called(this).envelope;
    return this.execution.lock(key, options, { call, ancestry });
  }

  /**
   * Reports the error of a schema of the contract, if the schema threw. Returns the result unchanged. `id`: the id of
   * the message, if it is part of a batch.
   */
  checkedBy<T extends Result<unknown>>(schema: "input" | "output" | "items", result: T, id?: string): T {
    if (result.error !== undefined && schemaThrew(result.error)) {
      const { contract: { name: contract }, correlationId } = this;
      const { cause: error } = result.error;
      this.#host.observer({ type: "handler-failed", contract, schema, id: id ?? this.id, correlationId, error });
    }
    return result;
  }

  /**
   * The error with which the message was aborted, or lost its claim (record that reserves its id); `undefined`: neither
   * happened.
   */
  get aborted(): CatgaError | undefined {
    return this.#execution?.aborted;
  }

  /** True if the message was not aborted, and its handler has requested no lock. */
  get isUntouched(): boolean {
    return this.#execution?.isUntouched ?? true;
  }

  abort(reason: CatgaError): void {
    this.execution.abort(reason);
  }

  lockScope(): () => Promise<unknown> | undefined {
    // without an `Execution`, the handler has not requested any lock: all locks that it requests later belong to this
    // scope
    return this.#execution?.lockScope() ?? (() => this.#execution?.releaseLocks(0));
  }

  /** Returns the message's deadline by the monotonic clock. The timeout begins at `now` if it has not begun before. */
  dueAt(now: number): number {
    return (this.#execution ?? this.#begin(now)).due;
  }

  /** Returns the time until the message's deadline, in ms. `now`: the time by the monotonic clock. */
  remaining(now: number): number {
    // the deadline was computed from a coarser clock, which may be up to 1 ms ahead
    return Math.min(this.dueAt(now) - now, this.#timeout);
  }

  /**
   * True if the message waits for admission (a place at its handler), or was dropped while it waited: its handler has
   * not begun.
   */
  get isQueued(): boolean {
    return this.#execution?.isQueued ?? false;
  }

  /**
   * True if the message does not run, because it waits for admission (a place at its handler), or in the cases of
   * {@link Execution.stepAside}.
   */
  get isAside(): boolean {
    return this.#execution?.isAside ?? false;
  }

  /**
   * Called when a run of a handler that this message has begun stops running: it waits for admission, or a run that it
   * has begun has stopped. Until {@link MessageContext.stepsBack}, this message is treated as not running, too: other
   * messages get its place at its handler.
   */
  stepsAside(): void {
    this.execution.stepAside();
  }

  /**
   * Called when the run of a handler that this message has begun runs again: this message is treated as running, too.
   */
  stepsBack(): void {
    this.execution.stepBack();
  }

  /**
   * Call this method when the message begins to wait for admission as `entry`: aborting the message then aborts the
   * entry.
   */
  enqueued(entry: QueueEntry): void {
    const now = this.#host.clock.monotonic();
    const due = this.#envelope?.senderWaits?.(now);
    if (due !== undefined) this.execution.limitWait(now + patience(due - now, this.#timeout), this.#timeout);
    this.execution.wait(entry);
  }

  /**
   * Begins the execution of an asynchronous handler: the message is aborted if its deadline passes after this call.
   * `ended`: called with the outcome when the handler has ended.
   */
  run(handler: Later, ended: (outcome: Outcome) => void): void {
    this.execution.run(handler, ended);
  }

  /**
   * Runs one of several handlers of this message with a context of its own, so that the handlers do not share locks.
   */
  withOwnContext(handle: (own: MessageContext) => MaybePromise<Outcome>): Promise<Outcome> {
    const host = this.#host;
    const { id, attempt, correlation, causation, ancestry, headers, key, position, fence } = this.envelope;
    const { storedAt, due, subscription } = this.envelope;
    const call = host.nextCall();
    const envelope = {
      ...{ call, id, attempt, correlation, causation, ancestry, headers, key, position, fence },
      ...{ storedAt, due, subscription },
    };
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

/**
 * The metadata of a message that came without metadata. It is a class, because objects of a class take less memory than
 * literals, and an entity's command keeps its metadata until it is stored (docs/internals/measurements.md).
 */
class OwnEnvelope implements Envelope {
  readonly call: string;
  readonly only = true;
  readonly attempt = 1;
  readonly correlation = undefined;
  readonly causation = undefined;
  readonly ancestry = NO_ANCESTRY;
  readonly headers = NO_HEADERS;

  constructor(call: string) {
    this.call = call;
  }

  get id(): string {
    return this.call;
  }
}

/** The result of a method whose message no handler answers, such as `publish`. */
type Unanswered = Promise<Result<void, never>>;

const NO_ANCESTRY: readonly string[] = Object.freeze([]);

const NO_OPTIONS: SendOptions = Object.freeze({});

/** Returns `this` of a method; throws if a program has taken the method out of its object. */
function called<T extends object>(self: T | undefined): T {
  if (self !== undefined) return self;
  throw new TypeError(
    "a method of a handler's context was called without its object: write ctx.send(…) or ctx.cache.get(…), not " +
      "send(…) or get(…)",
  );
}

/** The cache as one run of a handler sees it: waits for a load end when the handler's message is aborted. */
export class RunCache implements Cache {
  readonly #cache: Cache;
  readonly #run: { readonly signal: AbortSignal };

  constructor(cache: Cache, run: { readonly signal: AbortSignal }) {
    this.#cache = cache;
    this.#run = run;
  }

  get<T>(key: string): Promise<T | undefined> {
    return called(this).#cache.get(key);
  }

  set(key: string, value: unknown, options?: CacheSetOptions): Promise<boolean> {
    return called(this).#cache.set(key, value, options);
  }

  delete(key: string): Promise<void> {
    return called(this).#cache.delete(key);
  }

  getOrSet<T>(key: CacheKey<T>, load: () => MaybePromise<T>, options?: CacheLoadOptions): Promise<T> {
    const { signal: own } = called(this).#run;
    const given = options?.signal;
    const signal = given instanceof AbortSignal ? AbortSignal.any([own, given]) : given ?? own;
    return called(this).#cache.getOrSet(key, load, { ...options, signal });
  }
}

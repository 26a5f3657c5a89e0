/**
 * The context that every handler gets: its message's metadata and the methods that it sends with. The execution of the
 * message has its deadline and its abort.
 */
import type { Abortable } from "../contract/context.ts";
import type { AnyContract, Contract, Kind } from "../contract/contract.ts";
import type { EntityBody, EntityContext } from "../contract/handler.ts";
import type {
  AnyWorkflow,
  ResultOptions,
  Signal,
  StartOptions,
  TellOptions,
  WorkflowContract,
} from "../contract/flow.ts";
import type { RunContext, RunDriver } from "../contract/workflow_body.ts";
import type { AnyEntity, LoadedEntity, LoadOptions } from "../contract/entity_definition.ts";
import type { HandlerFn } from "../contract/definition.ts";
import type { StreamingContext } from "../contract/stream.ts";
import type { StreamOptions } from "../contract/send_options.ts";
import { isFailure, type Result } from "../contract/result.ts";
import { type MaybePromise, schemaThrew } from "../contract/schema.ts";
import type { EnqueueOptions, KeepOptions } from "../contract/durable_messages.ts";
import type { BroadcastOptions, SendArgs, SendOptions } from "../contract/send_options.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/sender.ts";
import type { Cache, Lock, LockOptions } from "../contract/shared_state.ts";
import { dateOf } from "../data/safe_date.ts";
import { type CatgaError, isCatgaError } from "../error.ts";
import { type AppClock, appClock } from "../ports/clock.ts";
import { patience, type QueueEntry } from "./admission_queue.ts";
import type { ProgramCode } from "../contract/program_types.ts";
import { callerIn, NO_HEADERS } from "./carried_headers.ts";
import type { Claims, ContextHost, Envelope, Settling } from "./context_host.ts";
import { Execution } from "./execution.ts";
import type { Later, Outcome } from "./outcome.ts";
import { PendingMessage } from "./pending_message.ts";
import { RunCache } from "./run_cache.ts";

/**
 * The implementation of `Context`. It is small, because each message has one: the envelope is made when a handler first
 * reads it, the {@link Execution} for handlers that do not return at once (docs/internals/measurements.md).
 */
export class MessageContext implements EntityContext, RunContext, StreamingContext, Abortable {
  readonly contract: AnyContract;
  readonly #host: ContextHost;
  readonly #timeout: number;
  #envelope: Envelope | undefined;
  #execution: Execution | undefined;
  #pending: PendingMessage<MessageContext> | undefined;
  /** True if the message's stage is `preparing`, as long as it has no execution. */
  #preparing: boolean;

  /**
   * `timeout`: in ms, counted from the first use of the deadline; `envelope`: metadata that came with the message, if
   * any.
   */
  constructor(host: ContextHost, contract: AnyContract, timeout: number, envelope: Envelope | undefined) {
    this.contract = contract;
    this.#host = host;
    this.#timeout = timeout;
    this.#envelope = envelope;
    this.#execution = undefined;
    this.#pending = undefined;
    this.#preparing = false;
  }

  /** The message's execution, made when it is first needed. */
  get execution(): Execution {
    return this.#execution ?? this.#begin(this.#host.wheel.now());
  }

  #begin(now: number): Execution {
    const pending = this.#pending;
    const host = this.#host;
    const due = pending === undefined ? now + this.#timeout : host.wheel.dueOf(pending, now);
    const execution = new Execution(host, this.contract, due);
    if (this.#preparing) execution.stage = "preparing";
    if (pending !== undefined) {
      execution.begin(pending.settle!); // first: a drain must not find that nothing is under way
      this.#endPending(pending);
    }
    return this.#execution = execution;
  }

  /** True if the message's stage is `preparing`. */
  get preparing(): boolean {
    return this.#execution === undefined ? this.#preparing : this.#execution.stage === "preparing";
  }

  /** Sets the message's stage to `preparing` or `handler`. */
  set preparing(preparing: boolean) {
    if (this.#execution === undefined) this.#preparing = preparing;
    else this.#execution.stage = preparing ? "preparing" : "handler";
  }

  /**
   * Like {@link Execution.begin}, but makes no execution. `pending` is used for nothing else until
   * {@link MessageContext.end}.
   */
  begin(settle: (outcome: Outcome) => void, pending: PendingMessage<MessageContext> = new PendingMessage()): void {
    pending.ctx = this;
    if (this.#execution !== undefined) return this.#execution.begin(settle);
    const { wheel, underWay } = this.#host;
    pending.settle = settle;
    wheel.addFor(this.#pending = pending, this.#timeout);
    underWay.begin();
  }

  /** Like {@link Execution.end}. */
  end(outcome: Outcome): void {
    if (this.#execution !== undefined) return this.#execution.end(outcome);
    const pending = this.#pending!;
    pending.settle!(outcome);
    this.#endPending(pending);
  }

  #endPending(pending: PendingMessage<MessageContext>): void {
    this.#pending = pending.settle = undefined; // requests of a handler that has ended have ended, too
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

  /** Sets the id that the contract makes of the payload, for a message that came without an id. */
  set id(id: string) {
    const { call, attempt, correlation, causation, ancestry, headers, key, send, span, sentAt } = this.envelope;
    const { position, fence, storedAt, due } = this.envelope;
    this.#envelope = {
      ...{ call, id, attempt, correlation, causation, ancestry, headers, key, send, span, sentAt },
      ...{ position, fence, storedAt, due },
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

  get caller(): unknown {
    return callerIn(this.headers);
  }

  get attempt(): number {
    return this.#envelope?.attempt ?? 1;
  }

  /** The name of the message's run; `undefined` if none was made, so that no other run can refer to it. */
  get call(): string | undefined {
    return this.#envelope?.call;
  }

  /** The runs that wait for this run, outermost first. */
  get ancestry(): readonly string[] {
    return this.#envelope?.ancestry ?? NO_ANCESTRY;
  }

  /** Like {@link Envelope.sentAt}. */
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
    // the contract's types guarantee that the result is an `Out`, or one of its failures
    return this.#host.send(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<
      Result<Out, F | ProgramCode>
    >;
  }

  sendAll<In, Out, F extends string>(
    contract: Contract<"command" | "query", In, Out, F>,
    payloads: Iterable<NoInfer<In>>,
    options: SendAllOptions = {},
  ): Promise<Result<Out, F | ProgramCode>[]> {
    return this.#host.sendAll(contract as AnyContract, payloads, options, this) as Promise<
      Result<Out, F | ProgramCode>[]
    >;
  }

  publish<In>(contract: Contract<"event", In, void>, ...args: SendArgs<In, KeepOptions>): Unanswered {
    return this.#host.publish(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Unanswered;
  }

  enqueue<In>(contract: Contract<"command", In, unknown>, ...args: SendArgs<In, EnqueueOptions>): Unanswered {
    return this.#host.enqueue(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Unanswered;
  }

  unschedule(contract: Contract<"event" | "command", never, unknown> | AnyWorkflow, id: string): Promise<boolean> {
    return this.#host.unschedule(contract, id);
  }

  broadcast<In, Out, F extends string>(
    contract: Contract<Kind, In, Out, F>,
    ...args: SendArgs<In, BroadcastOptions>
  ): Promise<BroadcastResult<Out, F | ProgramCode>[]> {
    return this.#host.broadcast(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as Promise<
      BroadcastResult<Out, F | ProgramCode>[]
    >;
  }

  async load<State>(entity: AnyEntity<State>, id: string, options?: LoadOptions): Promise<LoadedEntity<State>> {
    const loading = this.#host.load(entity, id, options);
    const loaded = await this.execution.until<LoadedEntity<State> | CatgaError>(loading, (reason) => reason);
    if (isCatgaError(loaded)) throw loaded;
    return loaded;
  }

  "~decide"(entity: EntityBody, payload: unknown): Promise<unknown> {
    const { execution } = this;
    // behaviors may call the handler again, like `retry()` after an error: a decision that did not fail is kept
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
    // the contract's types guarantee the type of its items
    return this.#host.stream(contract as AnyContract, args[0], args[1] ?? NO_OPTIONS, this) as AsyncIterableIterator<
      Item
    >;
  }

  /** Lets an entity decide a command. */
  decide(entity: EntityBody, payload: unknown, to: Settling): void {
    this.#host.decide(entity, payload, this, to);
  }

  "~runs"(): Promise<RunDriver> {
    // the steps of the run that the message waits for may wait for a turn
    this.execution.rest();
    return this.#host.nodeRuns();
  }

  start<In, Out, F extends string>(
    contract: WorkflowContract<In, Out, F>,
    ...args: SendArgs<In, StartOptions>
  ): Promise<Result<string, never>> {
    return this.#host.start(contract, args[0], args[1], this);
  }

  result<Out, F extends string>(
    contract: WorkflowContract<never, Out, F>,
    run: string,
    options: ResultOptions = {},
  ): Promise<Result<Out, F>> {
    // the contract's types guarantee that the result is an `Out`, or one of its failures
    return this.#host.result(contract, run, options) as Promise<Result<Out, F>>;
  }

  tell<T>(signal: Signal<T, unknown>, run: string, ...args: SendArgs<T, TellOptions>): Unanswered {
    return this.#host.tell(signal, run, args[0], args[1]);
  }

  cancel(contract: WorkflowContract<never, unknown>, run: string, reason: string): Unanswered {
    return this.#host.cancel(contract, run, reason);
  }

  /** For the mediator, which runs the handler of an idempotent command under a claim. */
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
    const { call, ancestry } = this.envelope;
    return this.execution.lock(key, options, { call, ancestry });
  }

  /** Observes the result of this schema of the contract if the schema threw. `id`: of a message in the batch. */
  checkedBy<T extends Result<unknown>>(schema: "input" | "output" | "items", result: T, id?: string): T {
    if (result.error !== undefined && schemaThrew(result.error)) {
      const { contract: { name: contract }, correlationId } = this;
      const { cause: error } = result.error;
      this.#host.observer({ type: "handler-failed", contract, schema, id: id ?? this.id, correlationId, error });
    }
    return result;
  }

  /** Why the message was aborted, or how its claim was lost; `undefined` if neither. */
  get aborted(): CatgaError | undefined {
    return this.#execution?.aborted;
  }

  /** True if the message was not aborted, and its handler has asked for no lock. */
  get untouched(): boolean {
    return this.#execution?.untouched ?? true;
  }

  abort(reason: CatgaError): void {
    this.execution.abort(reason);
  }

  lockScope(): () => Promise<unknown> | undefined {
    // without an execution, the handler has asked for no lock yet: all later locks are in the scope
    return this.#execution?.lockScope() ?? (() => this.#execution?.releaseLocks(0));
  }

  /** The deadline by the monotonic clock. The timeout begins at `now` if it has not begun. */
  dueAt(now: number): number {
    return (this.#execution ?? this.#begin(now)).due;
  }

  /** The time until the deadline, in ms; `now` by the monotonic clock. */
  remaining(now: number): number {
    // the timeout began by the clock of the wheel, which may be up to 1 ms ahead
    return Math.min(this.dueAt(now) - now, this.#timeout);
  }

  /** Like {@link Execution.waiting}. */
  get waiting(): boolean {
    return this.#execution?.waiting ?? false;
  }

  /** Like {@link Execution.aside}. */
  get aside(): boolean {
    return this.#execution?.aside ?? false;
  }

  /** Called when a run that this message began waits for admission, or rests: this message rests, too. */
  waits(): void {
    this.execution.rest();
  }

  /** Called when that run takes a turn again: this message stops resting. */
  goes(): void {
    this.execution.wake();
  }

  /** Like {@link Execution.wait}. */
  wait(entry: QueueEntry): void {
    const now = this.#host.clock.monotonic();
    const due = this.#envelope?.senderWaits?.(now);
    if (due !== undefined) this.execution.hurry(now + patience(due - now, this.#timeout), this.#timeout);
    this.execution.wait(entry);
  }

  /** Like {@link Execution.run}. */
  run(handler: Later, ended: (outcome: Outcome) => void): void {
    this.execution.run(handler, ended);
  }

  /** Runs one of several handlers of this message as a separate run, so that the handlers do not share locks. */
  apart(handle: (own: MessageContext) => MaybePromise<Outcome>): Promise<Outcome> {
    const host = this.#host;
    const { id, attempt, correlation, causation, ancestry, headers, key, position, fence } = this.envelope;
    const { storedAt, due } = this.envelope;
    const call = host.nextCall();
    const envelope = {
      ...{ call, id, attempt, correlation, causation, ancestry, headers, key, position, fence },
      ...{ storedAt, due },
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
 * The envelope of a message that came without an envelope. A class, because it lives while an entity's append is under
 * way (docs/internals/measurements.md).
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

/** The result of a message that no handler answers. */
type Unanswered = Promise<Result<void, never>>;

const NO_ANCESTRY: readonly string[] = Object.freeze([]);

const NO_OPTIONS: SendOptions = Object.freeze({});

/**
 * A running node: its sends, its state and its end. `send_path.ts` prepares and routes a send; `drain.ts` has the order
 * of a drain.
 */
import type { StoreAttachment } from "../contract/nodes/attached_store.ts";
import { AsyncLocalStorage } from "node:async_hooks";
import { outside } from "../data/async_context.ts";
import { failure } from "../dispatch/outcome.ts";
import { type AppClock, appClock, type Clock, type Timer } from "../ports/clock.ts";
import { DeadlineWheel } from "../ports/deadline_wheel.ts";
import { openOnce } from "../ports/open_once.ts";
import { UnderWay } from "../ports/under_way.ts";
import { checkBoolean, checkKnown, checkNumber, checkSignal, checkString, MAX_TIMEOUT, show } from "../data/checks.ts";
import { checkContract, describe } from "../contract/declaration/definition.ts";
import type { Context } from "../contract/calls/context.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { DRAIN_TIMEOUT } from "../contract/declaration/defaults.ts";
import type { EntityBody } from "../contract/declaration/handler.ts";
import type {
  AnyEntity,
  EntityDefinition,
  LoadedEntity,
  LoadOptions,
} from "../contract/declaration/entity_definition.ts";
import type { Health, NodeChange, NodeInfo } from "../contract/nodes/node_info.ts";
import {
  checkDeadLetterOptions,
  checkFollowOptions,
  checkPauseOptions,
  type DeadLetter,
  type DeadLetterOptions,
  type EnqueueOptions,
  type EventFollower,
  type FollowEventsOptions,
  type KeepOptions,
  type LimitControl,
  type LimitPauseOptions,
  type LimitSettings,
  type PauseOptions,
  type SubscriptionInfo,
} from "../contract/calls/durable_messages.ts";
import type {
  AnyQuestion,
  AnySignal,
  AnyWorkflow,
  AskOptions,
  ResultOptions,
  RunInfo,
  RunsOptions,
  StartOptions,
  TellOptions,
  WatchOptions,
} from "../contract/calls/flow.ts";
import type { LedLimits } from "../contract/nodes/node_stats.ts";
import type { Observer } from "../contract/nodes/observer.ts";
import type { Result } from "../contract/calls/result.ts";
import type { Catga, DrainOptions } from "../contract/nodes/running_node.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { drivenWorkflow, runContracts, runType, startName } from "../contract/declaration/workflow.ts";
import { checkId, checkStreamOptions, type SendOptions, type StreamOptions } from "../contract/calls/send_options.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/calls/sender.ts";
import type { Cache, LeadOptions, Lock, LockOptions, Term } from "../contract/calls/shared_state.ts";
import type {
  DecidingMessage,
  Entities,
  Holdings,
  ParentMessage,
  Settling,
  SharedState,
} from "../dispatch/context_host.ts";
import type { ItemSink, StreamEngine, StreamOpening } from "../dispatch/item_ports.ts";
import type { DurableLog, Remote, RemoteRequest, TrackedCaller } from "../dispatch/remote.ts";
import type { Mediator } from "../dispatch/mediator.ts";
import type { NodeHost, NodeRuns } from "../dispatch/node_host.ts";
import { Runner } from "../dispatch/runner.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { drain, type DrainableNode } from "./drain.ts";
import type { NodeAlarms } from "./node_alarms.ts";
import type { UnreadableEntity } from "../contract/nodes/alarms.ts";
import { UsedContracts } from "../contract/nodes/used_contracts.ts";
import { fastPaths, type LocalFastPath } from "./local_fast_path.ts";
import { begunFollower, lazyReading, noChanges } from "./late_iterators.ts";
import { RequestBuilder, type SendDefaults } from "./request_builder.ts";
import { sendAll } from "./send_all.ts";
import { SendPath } from "./send_path.ts";

/** Parts from which an app is made. */
export interface AppParts extends SendDefaults {
  /** The description of this node that `self` returns in an app without a cluster. */
  readonly self: NodeInfo;
  /** True if the app has no network: no other node can have a handler that this one does not have. */
  readonly isWithoutNetwork: boolean;
  /** The node's own clock: its timers end with the node. */
  readonly clock: Clock;
  /** The clock that programs get: its timers continue after the node has ended. */
  readonly programClock: Clock;
  readonly mediator: Mediator;
  readonly observer: Observer;
  /** The node's alarms. */
  readonly alarms: NodeAlarms;
  /** Makes the node's locks, cache and claims; called once, with the new app. */
  state(app: App): SharedState;
  /** Opens the log; called once, when the log is first needed. Rejects only with a `CatgaError`. */
  log(app: App): Promise<DurableLog>;
  /**
   * Makes the part that executes runs of workflows; called once, when it is first needed. Rejects only with a
   * `CatgaError`.
   */
  runs(app: App): Promise<NodeRuns>;
  /** Loads the engine that sends and reads the items of streams. */
  streams(): Promise<StreamEngine>;
  /**
   * Makes the part that reads and changes entities; called once, when it is first needed. Rejects only with a
   * `CatgaError`.
   */
  entities(app: App): Promise<Entities>;
}

/** Key of the method that all three runtimes call to print a value. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/** Public methods, besides `send`, that a program may take out of the app: `const { publish } = app`. */
const METHODS = [
  ...["sendAll", "publish", "broadcast", "enqueue", "unschedule", "load", "forget", "stream"],
  ...["start", "result", "tell", "ask", "complete", "cancel", "runs", "view", "watch"],
  ...["follow", "subscriptions", "deadLetters", "rewind", "pause", "resume", "limit"],
  ...["lock", "lead", "nodes", "watchNodes", "health", "ready", "drain"],
] as const satisfies readonly (keyof Catga)[];

/**
 * A running node, with methods that take any contract. {@link Catga} is its public interface, with the types of each
 * contract.
 */
export class App implements NodeHost, DrainableNode {
  readonly node: string;
  /** Names this process among all others: `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly clock: AppClock;
  readonly wheel: DeadlineWheel;
  readonly state: SharedState;
  readonly underWay: UnderWay = new UnderWay();
  /**
   * Number of running behaviors around sends. `underWay` counts them and the sends that they make; {@link App.inFlight}
   * counts only the sends.
   */
  runningSendBehaviors = 0;
  readonly observer: Observer;
  /** Runs this node's handlers. */
  readonly runner: Runner;
  /** The contracts that this node uses without handling them. */
  readonly used: UsedContracts = new UsedContracts();
  /** The databases that this node serves. */
  readonly stores: StoreAttachment[] = [];
  /** Why the program says that this node is not ready; `undefined`: it is ready. */
  unready: string | undefined;
  readonly closed: Promise<void>;
  readonly #parts: AppParts;
  /** Settles when the node has stopped; see {@link App.closed}. */
  readonly #ended = Promise.withResolvers<void>();
  #fastPaths: ReadonlyMap<AnyContract, LocalFastPath> = NO_FAST_PATHS;
  readonly #builder: RequestBuilder;
  readonly #sendPath: SendPath;
  #remote: Remote | undefined;
  /** Number of names that {@link App.nextCall} has made. */
  #calls = 0;
  /** Aborts when this node shuts down in an orderly way and no longer gets new messages. */
  readonly #draining = new AbortController();
  /** The drain (orderly shutdown), once it has begun. */
  #drain: Promise<void> | undefined;
  readonly #release: () => Promise<void>;
  #log: Promise<DurableLog> | undefined;
  /** The log, once it is open. */
  #opened: DurableLog | undefined;
  /** The entities, once they are loaded. */
  #ownEntities: Entities | undefined;
  /** The part that executes runs of workflows, once it is loaded. */
  #ownRuns: NodeRuns | undefined;
  /** Timer of the next computation of the alarms, once the log is open. */
  #alarmTimer: Timer | undefined;
  readonly #nodeListeners: Set<() => void> = new Set();

  /** `release`: closes everything that was opened for the app; called after the drain. */
  constructor(parts: AppParts, release: () => Promise<void>) {
    // not enumerable, as methods are, and replaceable, as test doubles of them need
    const define = (name: string, value: unknown) =>
      Object.defineProperty(this, name, { value, writable: true, configurable: true });
    for (const name of METHODS) define(name, this[name].bind(this as never));
    const { send } = this;
    // a function of its own: a bound one costs a call 6 ns more in Bun (measured, Bun 1.4)
    const bound: App["send"] = (contract, payload, ...more) =>
      more.length === 0 ? send.call(this, contract, payload) : send.call(this, contract, payload, ...more);
    define("send", bound);
    this.#parts = parts;
    this.node = parts.self.id;
    this.endpoint = parts.self.endpoint;
    this.clock = appClock(parts.programClock);
    this.wheel = new DeadlineWheel(parts.clock);
    const { mediator, observer, timeout } = parts;
    this.observer = observer;
    const builder = this.#builder = new RequestBuilder(
      this,
      parts,
      (name) => this.#remote?.ofEntity(name) ?? mediator.find(name)?.entity ?? false,
    );
    this.state = parts.state(this);
    const runner = this.runner = new Runner({ host: this, mediator, observer, timeout });
    const { isWithoutNetwork } = parts;
    const log = () => this.log();
    this.#sendPath = new SendPath({ node: this.node, isWithoutNetwork, builder, mediator, runner, log });
    this.#release = release;
    this.closed = this.#ended.promise;
    // the handler is needed because an app whose `closed` nobody awaits must not crash the process; the rejection was
    // logged before
    this.closed.catch(() => {});
    this.refresh();
  }

  /** Text that `console.log` prints for an app, in Deno, Bun and Node: one line instead of its members. */
  [INSPECT](): string {
    const { id, service, handles } = this.self;
    const { status, nodes } = this.health();
    return `Catga { id: ${id}, service: ${service}, status: ${status}, handles: ${handles.length}, nodes: ${nodes} }`;
  }

  /** Makes this node part of a cluster; called before it joins. */
  join(remote: Remote): void {
    this.#remote = remote;
    this.refresh();
  }

  /**
   * Computes again everything that depends on the handlers of other nodes. Called by the cluster when the membership
   * has changed.
   */
  refresh(): void {
    const { mediator } = this.#parts;
    const alone = new Set(mediator.served.filter((name) => this.#remote?.alone(name) ?? true));
    this.#builder.refresh();
    this.#sendPath.refresh(this.#remote, alone);
    this.#fastPaths = this.#drain === undefined
      ? fastPaths(this, { mediator, builder: this.#builder, alone, refused: this.#sendPath.again })
      : NO_FAST_PATHS;
    for (const listener of this.#nodeListeners) listener();
  }

  /** Returns the shape that a contract has on a node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, name: string): string | undefined {
    return this.#remote?.shapeAt(node, name);
  }

  /**
   * Adds a listener, called when nodes join or leave, or their handlers change. Returns a function that removes the
   * listener.
   */
  onNodes(listener: () => void): () => void {
    this.#nodeListeners.add(listener);
    return () => this.#nodeListeners.delete(listener);
  }

  get self(): NodeInfo {
    return this.#remote?.self ?? this.#parts.self;
  }

  nodes(): readonly NodeInfo[] {
    return this.#remote?.nodes() ?? (this.isDraining ? [] : [this.#parts.self]);
  }

  watchNodes(options: { signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<NodeChange> {
    checkKnown("watchNodes", options, WATCH_OPTIONS);
    checkSignal("watchNodes", options.signal);
    return this.#remote?.watchNodes(options.signal) ?? noChanges(options.signal, this.closed);
  }

  health(): Health {
    const cluster = this.#remote?.health ?? IN_MEMORY;
    const { connection, member, queued } = cluster;
    const subscriptions = this.#opened?.health ?? [];
    const status = this.#builder.stopped
      ? "stopped"
      : this.isDraining
      ? "draining"
      : statusOf(cluster, this.#opened?.caughtUp ?? true, this.unready);
    return {
      status,
      ...(this.unready === undefined ? {} : { why: this.unready }),
      ready: status === "ready",
      live: status !== "stopped",
      node: this.node,
      connection,
      member: member && !this.isDraining,
      nodes: this.nodes().length,
      inFlight: this.inFlight,
      queued,
      subscriptions,
      ...(this.stores.length === 0 ? {} : { sql: this.stores.map(({ health }) => health) }),
      alarms: status === "stopped" ? [] : this.#alarmsOf(subscriptions), // a stopped node no longer sees any state
    };
  }

  ready(isReady: boolean, why?: string): void {
    checkBoolean("ready: the first argument", isReady);
    if (!isReady) {
      if (why === undefined) throw new TypeError('ready(false): say why, as in ready(false, "the database is down")');
      checkString("ready: the reason", why);
      if (why === "" || why.length > MAX_WHY) {
        throw new RangeError(`ready: the reason must have 1 to ${MAX_WHY} characters; got ${why.length}`);
      }
    } else if (why !== undefined) {
      throw new TypeError(`ready(true) takes no reason; got ${show(why)}`);
    }
    const unready = isReady ? undefined : why;
    if (unready === this.unready) return;
    this.unready = unready;
    this.refresh();
    this.#remote?.announce();
  }

  get holdings(): Holdings {
    return this.state.holdings;
  }

  get alarms(): Health["alarms"] {
    return this.#alarmsOf(this.#opened?.health ?? []);
  }

  #alarmsOf(subscriptions: Health["subscriptions"]): Health["alarms"] {
    this.#ownRuns?.look();
    const { backlog } = this.#remote?.health ?? {};
    const stores = this.stores.map(({ health }) => health);
    return this.#parts.alarms.alarms(subscriptions, backlog, this.#remote?.mismatches, stores);
  }

  get limits(): readonly LedLimits[] {
    return (this.#opened?.health ?? []).flatMap(({ service, name, limits = [] }) =>
      limits.length === 0 ? [] : [{ subscription: `${service}/${name}`, limits }]
    );
  }

  get unreadable(): readonly UnreadableEntity[] {
    return this.#parts.alarms.unreadable;
  }

  /** Number of asynchronous handlers that run on this node, plus the sends of this node that wait for answers. */
  get inFlight(): number {
    return this.underWay.count - this.runningSendBehaviors;
  }

  timeLeft(contract: AnyContract, options?: SendOptions, parent?: ParentMessage): number {
    return this.#builder.timeLeft(contract, options, parent);
  }

  get carried(): readonly string[] {
    return this.#builder.carried;
  }

  keyed(contract: AnyContract): boolean {
    return this.#builder.keyed(contract) || this.#builder.ofEntity(contract);
  }

  ofEntity(contract: AnyContract): boolean {
    return this.#builder.ofEntity(contract);
  }

  nextCall(): string {
    return `${this.endpoint}.${++this.#calls}`;
  }

  fault(during: string, error: unknown): void {
    this.observer({ type: "fault", during, error });
  }

  expired(contract: AnyContract, error: CatgaError): void {
    this.runner.counts.of(contract).expired(error);
  }

  get cache(): Cache {
    return this.state.cache;
  }

  lock(key: string | readonly string[], options: LockOptions = {}): Promise<Lock> {
    return this.state.locks.lock(key, options, { call: this.nextCall(), ancestry: [] });
  }

  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term {
    return this.state.lead(name, fn, options);
  }

  /** Resolves with true if the process of an endpoint has died, as far as the cluster can tell. */
  gone(endpoint: string): Promise<boolean> {
    return this.#remote?.gone(endpoint) ?? Promise.resolve(false);
  }

  /** Returns for how long the process of an endpoint has been absent, in ms, as far as the cluster can tell. */
  absent(endpoint: string): number {
    return this.#remote?.absent(endpoint) ?? 0;
  }

  /** Sends a command or a query. Not async: an async wrapper alone costs as much as the whole fast path (measured). */
  send(
    contract: AnyContract,
    payload: unknown,
    // `more` is a rest parameter: with separate parameters, leaving out the options costs a call 6 ns (measured, Deno
    // 2.9)
    ...more: [options?: SendOptions, parent?: ParentMessage]
  ): Promise<Result<unknown>> {
    if (more.length === 0 || (more[0] === undefined && more[1] === undefined)) {
      const fastPath = this.#fastPaths.get(contract);
      if (fastPath !== undefined) return fastPath.send(payload);
    }
    return this.#sendPath.send(contract, payload, more[0], more[1]);
  }

  /** Sends an internal message of Catga: without behaviors around sends, and without preparation. Never rejects. */
  sendInternal(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>> {
    return this.#sendPath.internal(contract, payload, options);
  }

  /**
   * Sends an internal message of Catga, without behaviors around sends, and calls `caller` with the result instead of
   * returning a promise.
   */
  handOut(contract: AnyContract, payload: unknown, options: SendOptions, caller: TrackedCaller): void {
    this.#sendPath.handOut(contract, payload, options, caller);
  }

  relay(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    how: Pick<RemoteRequest, "admit" | "refusedBy">,
  ): Promise<Result<unknown>> {
    return this.#sendPath.relay(contract, payload, options, how);
  }

  async sendAll(
    contract: AnyContract,
    payloads: Iterable<unknown>,
    options: SendAllOptions = {},
    parent?: ParentMessage,
  ): Promise<Result<unknown>[]> {
    checkContract("sendAll", contract, "command", "query");
    return await sendAll(contract, payloads, options, {
      clock: this.#parts.clock,
      send: (payload, each) => this.send(contract, payload, each, parent),
      over: () => this.#builder.stopped || options.signal?.aborted === true || parent?.aborted !== undefined,
    });
  }

  streams(): Promise<StreamEngine> {
    return this.#parts.streams();
  }

  /** Reads a stream. The request is sent at the first `next()`, in the async context of this call. */
  stream(
    contract: AnyContract,
    input: unknown,
    options: StreamOptions = {},
    parent?: ParentMessage,
  ): AsyncIterableIterator<unknown> {
    checkContract("stream", contract, "stream");
    checkStreamOptions(contract, options);
    const { idle: _, signal: __, timeout: ___, ...sending } = options;
    const opening: StreamOpening = {
      ...{ contract, input, options, clock: this.clock },
      // bound, because who reads the items, such as the body of a response, may be in another async context or in none
      open: AsyncLocalStorage.bind((input, items, signal, timeout) =>
        this.openStream(contract, input, { ...sending, timeout, signal }, { parent, items })
      ),
    };
    return lazyReading(async () => (await this.streams()).read(opening), this.draining);
  }

  /** Sends the request of a stream. Resolves when the stream has ended, with its result. */
  protected openStream(
    contract: AnyContract,
    input: unknown,
    options: SendOptions,
    to: { parent: ParentMessage | undefined; items: ItemSink },
  ): Promise<Result<unknown>> {
    return this.#sendPath.relay(contract, input, options, to);
  }

  publish(
    contract: AnyContract,
    payload: unknown,
    options?: KeepOptions,
    parent?: ParentMessage,
  ): Promise<Result<void>> {
    return this.#sendPath.publish(contract, payload, options, parent);
  }

  enqueue(
    contract: AnyContract,
    payload: unknown,
    options?: EnqueueOptions,
    parent?: ParentMessage,
  ): Promise<Result<void>> {
    return this.#sendPath.enqueue(contract, payload, options, parent);
  }

  async unschedule(contract: AnyContract | AnyWorkflow, id: string): Promise<boolean> {
    if (contract?.kind === "workflow") {
      checkId(`unschedule ${contract.name}`, id);
      return await this.unschedule(runContracts(runType(contract.name)).due, startName(id));
    }
    checkContract("unschedule", contract, "command", "event");
    checkId(`unschedule ${contract.name}`, id);
    if (!id.isWellFormed()) {
      throw new TypeError(`unschedule ${contract.name}: id must be well-formed Unicode; got ${JSON.stringify(id)}`);
    }
    if (!contract.options.durable) {
      throw new TypeError(
        `unschedule ${contract.name}: the ${contract.kind} is not durable, so that nothing of it is scheduled: ` +
          "give it durable: true",
      );
    }
    const closed = this.#builder.closed(contract);
    if (closed !== undefined) throw closed.error;
    return await (await this.log()).unschedule(contract, id);
  }

  /**
   * Returns the log, which is opened when it is first needed. Rejects with a `CatgaError`; the next call then tries
   * again.
   */
  log(): Promise<DurableLog> {
    return this.#log ??= this.#openLog().catch((error) => {
      this.#log = undefined;
      throw error;
    });
  }

  #openLog(): Promise<DurableLog> {
    // the log is opened outside of the sender's async context, because it serves all senders
    return outside(async () => {
      const log = this.#opened = await this.#parts.log(this);
      this.#pollAlarms();
      return log;
    });
  }

  /**
   * Computes the alarms every 5 s, so that a growing number of unread messages is noticed even if no program reads the
   * alarms.
   */
  #pollAlarms(): void {
    this.#alarmTimer = this.clock.after(ALARM_POLL, () => {
      if (this.#builder.stopped) return;
      void this.alarms;
      this.#pollAlarms();
    }, { background: true });
  }

  /** Returns the part that executes runs of workflows, loaded when it is first needed. */
  readonly nodeRuns: () => Promise<NodeRuns> = openOnce(async () => {
    const runs = await this.#parts.runs(this);
    if (this.isDraining) runs.leave();
    return this.#ownRuns = runs;
  });

  /**
   * Continues the open runs of the workflows to which these contracts belong. Called by the log when it has lost
   * messages of the contracts.
   */
  lost(contracts: readonly string[]): void {
    for (const workflow of new Set(contracts.flatMap((name) => drivenWorkflow(name) ?? []))) {
      this.nodeRuns().then((runs) => runs.lost(workflow), (error) => this.fault(`going on with ${workflow}`, error));
    }
  }

  start(
    workflow: AnyWorkflow,
    input: unknown,
    options?: StartOptions,
    parent?: Context,
  ): Promise<Result<string, never>> {
    return this.#withRuns((runs) => runs.start(workflow, input, options, parent));
  }

  result(workflow: AnyWorkflow, run: string, options?: ResultOptions): Promise<Result<unknown>> {
    return this.#withRuns((runs) => runs.result(workflow, run, options));
  }

  tell(signal: AnySignal, run: string, payload: unknown, options?: TellOptions): Promise<Result<void, never>> {
    return this.#withRuns((runs) => runs.tell(signal, run, payload, options));
  }

  ask(question: AnyQuestion, run: string, payload: unknown, options?: AskOptions): Promise<Result<unknown>> {
    return this.#withRuns((runs) => runs.ask(question, run, payload, options));
  }

  complete(token: string, value?: unknown): Promise<Result<void, never>> {
    return this.#withRuns((runs) => runs.complete(token, value));
  }

  cancel(workflow: AnyWorkflow, run: string, reason: string): Promise<Result<void, never>> {
    return this.#withRuns((runs) => runs.cancel(workflow, run, reason));
  }

  /** Returns the runs of workflows of this namespace. */
  async *runs(options: RunsOptions = {}): AsyncIterableIterator<RunInfo> {
    this.#checkOpen();
    yield* (await this.nodeRuns()).infos(options);
  }

  view(workflow: AnyWorkflow, run: string): Promise<Result<unknown, never>> {
    return this.#withRuns((runs) => runs.view(workflow, run));
  }

  watch(workflow: AnyWorkflow, run: string, options?: WatchOptions): AsyncIterableIterator<unknown> {
    this.#checkOpen();
    return lazyReading(async () => (await this.nodeRuns()).watch(workflow, run, options), this.draining);
  }

  #withRuns<T>(call: (runs: NodeRuns) => Promise<Result<T, never>>): Promise<Result<T, never>>;
  #withRuns(call: (runs: NodeRuns) => Promise<Result<unknown>>): Promise<Result<unknown>>;
  async #withRuns(call: (runs: NodeRuns) => Promise<Result<unknown>>): Promise<Result<unknown>> {
    if (this.#builder.stopped) return failure("CLOSED", `node ${this.node} has stopped`);
    let runs: NodeRuns;
    try {
      runs = this.#ownRuns ?? await this.nodeRuns();
    } catch (error) {
      if (isCatgaError(error)) return { ok: false, error };
      throw error;
    }
    return await call(runs);
  }

  /** Closes the log, the entities and the part that executes runs of workflows, if they were opened. */
  async closeLog(): Promise<void> {
    this.#ownRuns?.close();
    await this.#ownEntities?.close();
    const opened = await this.#log?.catch(() => undefined); // the caller that opened the log has got the rejection
    await opened?.close().catch((error) => this.fault("closing the log", error));
  }

  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage, to: Settling): void {
    const entities = this.#ownEntities;
    if (entities !== undefined) return entities.decide(entity, payload, ctx, to);
    this.entities().then((entities) => entities.decide(entity, payload, ctx, to), (error) => to.reject(error));
  }

  async load<State>(entity: AnyEntity<State>, id: string, options: LoadOptions = {}): Promise<LoadedEntity<State>> {
    const definition = definitionOf("load", entity);
    checkKnown(`load ${definition.name}`, options, LOAD_OPTIONS);
    if (options.latest !== undefined) checkBoolean(`load ${definition.name}: latest`, options.latest);
    return await (await this.#openedEntities()).load(definition, id, options);
  }

  /** Removes an entity for ever, or a run. Rejects with a `TypeError` for misuse, and with a `CatgaError`. */
  async forget<State>(of: AnyEntity<State> | AnyWorkflow, id: string): Promise<void> {
    const workflow = of as Partial<AnyWorkflow> | undefined; // a program without types may give anything
    if (workflow?.kind === "workflow") {
      this.#checkOpen();
      return await (await this.nodeRuns()).forget(workflow as AnyWorkflow, id);
    }
    const definition = definitionOf("forget", of as AnyEntity<State>);
    await (await this.#openedEntities()).forget(definition, id);
  }

  #openedEntities(): Promise<Entities> {
    this.#checkOpen();
    return this.entities();
  }

  /** Returns the part that reads and changes entities, made when it is first needed. */
  readonly entities: () => Promise<Entities> = openOnce(async () =>
    this.#ownEntities = await this.#parts.entities(this)
  );

  async #leaveLog(patience: number): Promise<void> {
    this.#ownRuns?.leave();
    await this.#opened?.leave(patience).catch((error) => this.fault("giving up the lead of subscriptions", error));
  }

  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** True if the node's drain (orderly shutdown) has begun. */
  get isDraining(): boolean {
    return this.#drain !== undefined;
  }

  #checkOpen(): void {
    if (this.#builder.stopped) throw new CatgaError("CLOSED", `node ${this.node} has stopped`);
  }

  async subscriptions(): Promise<readonly SubscriptionInfo[]> {
    this.#checkOpen();
    return await (await this.log()).subscriptions();
  }

  async *deadLetters(options: DeadLetterOptions = {}): AsyncIterableIterator<DeadLetter> {
    checkDeadLetterOptions(options);
    this.#checkOpen();
    yield* (await this.log()).deadLetters(options);
  }

  follow(event: AnyContract, options: FollowEventsOptions = {}): EventFollower<unknown> {
    checkContract("follow", event, "event");
    checkFollowOptions(event.name, options);
    if (!event.options.durable) {
      throw new TypeError(`follow ${event.name}: the event is not durable: give it durable: true, and it is stored`);
    }
    this.#checkOpen();
    this.used.addRead(event);
    return begunFollower(this.log().then((log) => log.follow(event, options)));
  }

  async rewind(subscription: string, to: "start" | number | Date): Promise<void> {
    this.#checkOpen();
    await (await this.log()).rewind(subscription, to);
  }

  async pause(subscription: string, options: PauseOptions = {}): Promise<void> {
    checkPauseOptions(options);
    this.#checkOpen();
    await (await this.log()).pause(subscription, options);
  }

  async resume(subscription: string): Promise<void> {
    this.#checkOpen();
    await (await this.log()).resume(subscription);
  }

  limit(subscription: string, limit: string): LimitControl {
    const control = async () => {
      this.#checkOpen();
      return (await this.log()).limit(subscription, limit);
    };
    return Object.freeze({
      pause: async (options?: LimitPauseOptions) => await (await control()).pause(options),
      resume: async (options?: Pick<LimitPauseOptions, "key">) => await (await control()).resume(options),
      set: async (settings: LimitSettings) => await (await control()).set(settings),
      clear: async () => await (await control()).clear(),
    });
  }

  broadcast(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: ParentMessage,
  ): Promise<BroadcastResult<unknown>[]> {
    return this.#sendPath.broadcast(contract, payload, options, parent);
  }

  drain(options: DrainOptions = {}): Promise<void> {
    checkKnown("drain", options, DRAIN_OPTIONS);
    const { timeout = DRAIN_TIMEOUT } = options;
    checkNumber("drain: timeout", timeout, 0, MAX_TIMEOUT, "ms");
    return this.#drain ??= this.#drainAll(timeout);
  }

  async #drainAll(timeout: number): Promise<void> {
    try {
      await drain(this, timeout, {
        endFastPaths: () => {
          this.#fastPaths = NO_FAST_PATHS;
          this.#sendPath.drain();
        },
        remote: () => this.#remote,
        moveStreams: () => this.#draining.abort(new CatgaError("DRAINING", `node ${this.node} is stopping`)),
        leaveLog: (patience) => this.#leaveLog(patience),
        closeLog: () => this.closeLog(),
        stopSends: () => {
          this.#builder.stop();
          this.#alarmTimer?.cancel();
        },
        heldUp: (ms) => this.#reportHeldUp(ms),
        release: this.#release,
      });
      this.wheel.stopIfIdle();
      this.#ended.resolve();
    } catch (error) {
      this.#ended.reject(error);
      throw error;
    }
  }

  /** Reports which handlers, runs and sends the drain still waits for after `ms` ms. */
  #reportHeldUp(ms: number): void {
    const running = this.runner.counts.all.map((counts) => counts.toJSON()).filter(({ inHand = 0 }) => inHand > 0);
    const runs = Map.groupBy(this.#ownRuns?.driven ?? [], (workflow) => `workflow ${workflow}`);
    const named = [
      ...running.map(({ kind, name, inHand = 0 }) => [`${kind} ${name}`, inHand] as const),
      ...[...runs].map(([name, { length }]) => [name, length] as const),
    ];
    const others = this.underWay.count - named.reduce((sum, [, count]) => sum + count, 0);
    const by = named.map(([name, count]) => `${name} (${count})`);
    if (others > 0) by.push(`sends (${others})`);
    this.observer({ type: "held-up", ms, by });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  /** Stops the node at once, because of an error after which it cannot continue: `closed` rejects with this error. */
  fail(error: CatgaError): void {
    if (this.#builder.stopped) return;
    this.#ended.reject(error);
    this.fault("running this node", error);
    this.drain({ timeout: 0 }).catch((error) => this.fault("stopping", error));
  }
}

const NO_FAST_PATHS: ReadonlyMap<AnyContract, LocalFastPath> = new Map();
const DRAIN_OPTIONS: ReadonlySet<string> = new Set<keyof DrainOptions>(["timeout"]);
const LOAD_OPTIONS: ReadonlySet<string> = new Set<keyof LoadOptions>(["latest"]);
const WATCH_OPTIONS: ReadonlySet<string> = new Set(["signal"]);

function definitionOf<State>(method: string, entity: AnyEntity<State>): EntityDefinition<State> {
  const definition = entity?.["~entity"];
  if (typeof definition?.initial === "function") return definition;
  throw new TypeError(`${method} takes what entity(…) gives; got ${describe(entity as never)}`);
}

/** Time between two computations of the alarms, in ms: unread messages are compared every 10 s. */
const ALARM_POLL = 5_000;

/** Returns the status (`Health.status`) of a node that is not draining. */
function statusOf(
  { connection, member, forbidden }: typeof IN_MEMORY,
  caughtUp: boolean,
  unready: string | undefined,
): Health["status"] {
  if (connection === "disconnected" || connection === "closed") return "disconnected";
  if (forbidden) return "forbidden";
  if (!caughtUp) return "starting";
  if (!member) return "unlisted";
  return unready === undefined ? "ready" : "unready";
}

/** Maximum length of the reason that a program gives to `ready`, in characters. */
const MAX_WHY = 200;

/** The part of `Health` about the cluster's connection, for a node without a cluster. */
const IN_MEMORY: Pick<Health, "connection" | "member" | "queued"> & { readonly forbidden: boolean } = {
  connection: "none",
  member: true,
  forbidden: false,
  queued: 0,
};

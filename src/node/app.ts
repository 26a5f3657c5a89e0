/** A running node from within: sends to its own handlers by itself, and to others through the cluster. */
import { type Clock, within } from "../ports/clock.ts";
import type { NodeHost } from "../dispatch/node_host.ts";
import type { ParentMessage } from "../dispatch/context_host.ts";
import type { AnyContract, Kind } from "../contract/contract.ts";
import { isHandler } from "../contract/handler.ts";
import { DeadlineWheel } from "../dispatch/deadline_wheel.ts";
import { LocalFastPath } from "./local_fast_path.ts";
import { CatgaError } from "../error.ts";
import type { Health } from "../contract/health.ts";
import type { Mediator } from "../dispatch/mediator.ts";
import type { NodeEvent, NodeInfo } from "../contract/node_info.ts";
import type { Observer } from "../contract/observer.ts";
import { checkKnown, checkNumber, checkSignal, MAX_TIMEOUT, show } from "../contract/checks.ts";
import type { SendOptions } from "../contract/send_options.ts";
import { noHandler } from "../dispatch/failures.ts";
import { RequestBuilder, type SendDefaults } from "./request_builder.ts";
import { requestOf } from "../dispatch/broadcast_request.ts";
import type { Remote, RemoteEvent, RemoteRequest } from "../dispatch/remote.ts";
import type { Failure, Result } from "../contract/result.ts";
import { Runner } from "../dispatch/runner.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { DrainOptions } from "../contract/running_node.ts";
import { sendAll } from "./send_all.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/sender.ts";
import type { Cache, LeadOptions, Lock, LockOptions, Term } from "../contract/shared_state.ts";
import type { SharedState } from "../dispatch/shared_state.ts";
import type { Admission } from "../dispatch/admission.ts";
import { asResult } from "../dispatch/outcome.ts";

/** What {@link App} is made of. */
export interface AppParts extends SendDefaults {
  /** The node as it stands without a cluster. */
  readonly self: NodeInfo;
  readonly clock: Clock;
  readonly mediator: Mediator;
  readonly observer: Observer;
  /** What the nodes share; asked for once, by the app that is given. */
  state(app: App): SharedState;
}

/** The app. {@link Catga} is its face; the types of contracts are checked there. */
export class App implements NodeHost {
  readonly node: string;
  /** `<id>.<nonce>`: this process among all others. */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  readonly state: SharedState;
  pending = 0;
  /** How many of these are behaviors around sends: what they send is counted itself. */
  around = 0;
  /** Runs this node's handlers. */
  readonly runner: Runner;
  readonly closed: Promise<void>;
  readonly #parts: AppParts;
  readonly #mediator: Mediator;
  readonly #stop = Promise.withResolvers<void>();
  /** The requests that this node may run without asking anybody: it alone handles them, and they have no schema. */
  #direct: Map<string, LocalFastPath> = new Map();
  #remote: Remote | undefined;
  #calls = 0;
  #drained: Promise<void> | undefined;
  readonly #outgoing: RequestBuilder;
  #stopped = false;
  #idle: (() => void) | undefined;
  readonly #release: () => Promise<void>;

  /** `release` closes what was opened for the app, when it has drained. */
  constructor(parts: AppParts, release: () => Promise<void>) {
    this.#parts = parts;
    this.node = parts.self.id;
    this.endpoint = parts.self.endpoint;
    this.clock = parts.clock;
    this.wheel = new DeadlineWheel(parts.clock);
    const { mediator, observer, timeout } = parts;
    this.#mediator = mediator;
    this.#outgoing = new RequestBuilder(this, parts);
    this.state = parts.state(this);
    this.runner = new Runner({ host: this, mediator, observer, timeout });
    this.#release = release;
    this.closed = this.#stop.promise;
    this.closed.catch(() => {}); // it was logged by whoever rejected it; an app that nobody waits for must not crash
    this.refresh();
  }

  /** From now on there are others. */
  join(remote: Remote): void {
    this.#remote = remote;
    this.refresh();
  }

  /** The membership has changed: makes the table of direct requests anew. */
  refresh(): void {
    const direct = new Map<string, LocalFastPath>();
    if (this.#drained === undefined) {
      for (const name of this.#mediator.names) {
        const dispatch = this.#mediator.find(name)!;
        const plain = this.#outgoing.plain(dispatch.contract);
        if (!plain || this.#remote?.alone(name) === false) continue;
        direct.set(name, new LocalFastPath(this, dispatch, this.#outgoing.timeoutOf(dispatch.contract)));
      }
    }
    this.#direct = direct;
  }

  get self(): NodeInfo {
    return this.#remote?.self ?? this.#parts.self;
  }

  nodes(): readonly NodeInfo[] {
    return this.#remote?.nodes() ?? (this.#stopped ? [] : [this.#parts.self]);
  }

  watchNodes(options: { signal?: AbortSignal } = {}): AsyncIterableIterator<NodeEvent> {
    checkKnown("watchNodes", options, WATCH_OPTIONS);
    checkSignal("watchNodes", options.signal);
    return this.#remote?.watchNodes(options.signal) ?? this.#nothing(options.signal);
  }

  health(): Health {
    const { connection, member, queued } = this.#remote?.health ?? ALONE;
    const draining = this.#drained !== undefined;
    const status = this.#stopped ? "stopped" : draining ? "draining" : statusOf(connection, member);
    return {
      status,
      ready: status === "ready",
      live: status !== "stopped",
      node: this.node,
      connection,
      member: member && !draining,
      nodes: this.nodes().length,
      inFlight: this.inFlight,
      queued,
    };
  }

  /** Handlers that run, and sends that wait for answers. */
  get inFlight(): number {
    return this.pending - this.around;
  }

  /** How long a message may take that is sent now, in ms. */
  timeLeft(contract: AnyContract, options?: SendOptions, parent?: ParentMessage): number {
    return this.#outgoing.timeLeft(contract, options, parent);
  }

  nextCall(): string {
    return `${this.endpoint}.${++this.#calls}`;
  }

  fault(during: string, error: unknown): void {
    this.#parts.observer({ type: "fault", during, error });
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

  /** Whether nobody is at an endpoint, as far as the cluster can tell. */
  gone(endpoint: string): Promise<boolean> {
    return this.#remote?.gone(endpoint) ?? Promise.resolve(false);
  }

  idle(): void {
    this.#idle?.();
  }

  /** Not async, and short for what needs nothing: an async wrapper alone costs as much as all of it (measured). */
  send(
    contract: AnyContract,
    payload: unknown,
    // declared one by one, those that a call leaves out cost it 6 ns (Deno 2.9)
    ...more: [options?: SendOptions, parent?: ParentMessage]
  ): Promise<Result<unknown>> {
    if (more.length === 0 || (more[0] === undefined && more[1] === undefined)) {
      const direct = this.#direct.get(contract?.name);
      if (direct !== undefined) return direct.send(payload);
    }
    return this.#send(contract, payload, more[0], more[1]);
  }

  /** Apart from `send`: a function whose closures take `this` along makes 40 bytes for them at every call (V8). */
  #send(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: ParentMessage | undefined,
  ): Promise<Result<unknown>> {
    const kind = contract?.kind;
    if ((kind !== "command" && kind !== "query") || typeof contract.name !== "string") {
      checkContract("send", contract, "command", "query");
    }
    const request = this.#outgoing.prepare("send", contract, payload, options, parent);
    return this.#find(request);
  }

  /**
   * Sends for a client that is no node: at the handlers of this one it waits for its turn as what comes from others does.
   * Throws, or rejects with, what the contract's `key` or strategy throws.
   */
  relay(contract: AnyContract, payload: unknown, options: SendOptions, admit: Admission): Promise<Result<unknown>> {
    const request = this.#outgoing.prepare("send", contract, payload, options, undefined);
    return this.#find("contract" in request ? { ...request, admit } : request);
  }

  /** Whether requests of a contract go by a routing key. */
  keyed(contract: AnyContract): boolean {
    return this.#outgoing.keyed(contract);
  }

  #find(request: RemoteRequest | Failure): Promise<Result<unknown>> {
    if (!("contract" in request)) return Promise.resolve(request);
    return request.contract.options.input === undefined ? this.#go(request) : this.#check(request);
  }

  /** Apart from `#find`, for its closures. */
  #check(request: RemoteRequest): Promise<Result<unknown>> {
    return this.#outgoing.checked<Result<unknown>>(request, (ready) => this.#go(ready), (refused) => refused);
  }

  #go(request: RemoteRequest): Promise<Result<unknown>> {
    return this.#elsewhere(request)?.request(request) ?? this.#here(request);
  }

  async sendAll(
    contract: AnyContract,
    payloads: Iterable<unknown>,
    options: SendAllOptions = {},
    parent?: ParentMessage,
  ): Promise<Result<unknown>[]> {
    checkContract("sendAll", contract, "command", "query");
    return await sendAll(contract, payloads, options, {
      clock: this.clock,
      send: (payload, each) => this.send(contract, payload, each, parent),
      over: () => this.#stopped || options.signal?.aborted === true || parent?.aborted !== undefined,
    });
  }

  publish(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: ParentMessage,
  ): Promise<Result<void>> {
    if (contract?.kind !== "event" || typeof contract.name !== "string") checkContract("publish", contract, "event");
    if (options === undefined && parent === undefined && contract.options.input === undefined) {
      // nothing is to be settled
      return Promise.resolve(this.#outgoing.closed(contract) ?? this.#tell({ contract, payload, meta: undefined }));
    }
    const request = this.#outgoing.prepare("publish", contract, payload, options, parent);
    if (!("contract" in request)) return Promise.resolve(request);
    if (contract.options.input === undefined) return Promise.resolve(this.#tell(request));
    return this.#checkEvent(request);
  }

  /** Apart from `publish`, for its closures. */
  #checkEvent(request: RemoteRequest): Promise<Result<void>> {
    return this.#outgoing.checked<Result<void>>(request, (ready) => this.#tell(ready), (refused) => refused);
  }

  #tell(event: RemoteEvent): Result<void> {
    if (this.#remote !== undefined) return this.#remote.publish(event);
    this.runner.publish(event.contract.name, event.payload, this.runner.envelope(event.meta));
    return { ok: true, value: undefined };
  }

  broadcast(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: ParentMessage,
  ): Promise<BroadcastResult<unknown>[]> {
    checkContract("broadcast", contract, "command", "query", "event");
    const request = this.#outgoing.prepare("broadcast", contract, payload, options, parent);
    const everyone = (result: Failure) => [{ node: this.node, result }];
    if (!("contract" in request)) return Promise.resolve(everyone(request));
    return this.#outgoing.checked<BroadcastResult<unknown>[]>(request, (ready) => {
      if (this.#remote !== undefined) return this.#remote.broadcast(ready);
      if (this.#mediator.find(contract.name) === undefined || (ready.node ?? this.node) !== this.node) return [];
      const own = requestOf(ready, this.node);
      return this.runner.local(own, 1).then((outcome) => [{ node: this.node, result: asResult(outcome) }]);
    }, everyone);
  }

  drain(options: DrainOptions = {}): Promise<void> {
    checkKnown("drain", options, DRAIN_OPTIONS);
    const { timeout = 30_000 } = options;
    checkNumber("drain: timeout", timeout, 0, MAX_TIMEOUT, "ms");
    return this.#drained ??= this.#drain(timeout).catch((error) => {
      this.#stop.reject(error);
      throw error;
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain();
  }

  /** Stops at once, because it has to. */
  fail(error: CatgaError): void {
    if (this.#stopped) return;
    this.#stop.reject(error);
    this.#parts.observer({ type: "fault", during: "running this node", error });
    this.drain({ timeout: 0 }).catch((error) => this.#parts.observer({ type: "fault", during: "stopping", error }));
  }

  async #drain(timeout: number): Promise<void> {
    this.#direct = new Map(); // sends that come now take the long way, which knows of draining
    const until = this.clock.monotonic() + timeout;
    // a store that does not answer must not hold it up: what is in it expires by itself
    await within(this.clock, timeout, Promise.all([this.#remote?.leave(), this.state.abdicate()]));
    // one that has ended may be followed at once by the next: whoever waits for it goes on before this does
    while (this.pending > 0 && this.clock.monotonic() < until) await this.#quiet(until);
    const reason = new CatgaError("CLOSED", `node ${this.node} is stopping`);
    if (this.pending > 0) {
      this.wheel.abort(reason);
      await this.#quiet(this.clock.monotonic() + GRACE);
    }
    this.#stopped = true;
    this.#outgoing.stop();
    this.wheel.abort(reason);
    await within(this.clock, GRACE, this.state.close());
    await this.#remote?.close();
    await this.#release();
    this.#stop.resolve();
  }

  /** Resolves when nothing runs, or at that moment of the monotonic clock. */
  #quiet(until: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.pending === 0) return resolve();
      const done = () => {
        this.#idle = undefined;
        timer.cancel();
        resolve();
      };
      const timer = this.clock.after(Math.max(0, until - this.clock.monotonic()), done);
      this.#idle = done;
    });
  }

  /** The cluster, when it is to find the node. */
  #elsewhere({ contract, node }: RemoteRequest): Remote | undefined {
    const remote = this.#remote;
    if (remote === undefined || this.#drained === undefined) return remote;
    // a node that is leaving is nobody's candidate, but what still runs here may need its handlers to come to its end
    const own = node === this.node || (node === undefined && remote.alone(contract.name));
    return own && this.#mediator.find(contract.name) !== undefined ? undefined : remote;
  }

  /** A request that this node handles or nobody. */
  #here(request: RemoteRequest): Promise<Result<unknown>> {
    if (request.node !== undefined && request.node !== this.node) {
      return Promise.resolve(noHandler(request.contract, request.node));
    }
    return this.runner.local(request, 1).then(asResult);
  }

  // deno-lint-ignore require-yield
  async *#nothing(signal: AbortSignal | undefined): AsyncIterableIterator<NodeEvent> {
    const aborted = new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      else signal?.addEventListener("abort", () => resolve(), { once: true });
    });
    await Promise.race([aborted, this.closed.catch(() => {})]);
  }
}

const DRAIN_OPTIONS: ReadonlySet<string> = new Set<keyof DrainOptions>(["timeout"]);
const WATCH_OPTIONS: ReadonlySet<string> = new Set(["signal"]);

/** How a node is that does not end. */
function statusOf(connection: Health["connection"], member: boolean): Health["status"] {
  if (connection === "disconnected" || connection === "closed") return "disconnected";
  return member ? "ready" : "unlisted";
}

/** An app in memory. */
const ALONE: Pick<Health, "connection" | "member" | "queued"> = { connection: "none", member: true, queued: 0 };

/** How long handlers have to end after their signals aborted, in ms. */
const GRACE = 500;

/** Throws for something that is no contract of these kinds. */
export function checkContract(method: string, contract: AnyContract, ...kinds: Kind[]): void {
  if (kinds.includes(contract?.kind) && typeof contract.name === "string") return;
  const wanted = `what ${kinds.map((kind) => `${kind}(…)`).join(" or ")} gives`;
  throw new TypeError(`${method}: the first argument must be ${wanted}; got ${taken(contract)}`);
}

/** What stands in the place of a contract, and, where that can be told, what was meant. */
function taken(given: AnyContract): string {
  if (isHandler(given)) return `a handler: give its contract, ${given.contract.name}`;
  if (given?.kind === undefined) return show(given);
  return `${given.kind} ${given.name}: ${given.kind === "event" ? "publish" : "send"} it`;
}

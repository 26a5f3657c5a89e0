/** A running node: what `catga()` gives. Sends to its own handlers by itself, and to others through the cluster. */
import type { Clock } from "./clock.ts";
import { type ContextHost, type Envelope, MessageContext, NO_HEADERS } from "./context.ts";
import type { AnyContract, Kind } from "./contract.ts";
import { DeadlineWheel } from "./deadline_wheel.ts";
import { CatgaError, type ErrorCode } from "./error.ts";
import { type Dispatch, type Mediator, parseAnswer, parsePayload } from "./mediator.ts";
import type { NodeEvent, NodeInfo, Route } from "./node_info.ts";
import type { Observer } from "./observer.ts";
import { checkNumber, checkSendOptions, MAX_TIMEOUT, type SendOptions, show } from "./options.ts";
import type { Meta, Remote, RemoteRequest } from "./remote.ts";
import type { Failure, Result } from "./result.ts";
import type { MaybePromise } from "./schema.ts";
import type { BroadcastResult, Sender } from "./sender.ts";

/** Options of {@link Catga.drain}. */
export interface DrainOptions {
  /** How long running handlers may take, in ms: 0 to 2^31 - 1; then their signals abort, and they have 500 ms. 30,000. */
  timeout?: number;
}

/** A running node: what `catga()` gives. `await using` drains it. */
export interface Catga extends Sender, AsyncDisposable {
  /** This node, as the others see it; a new value at each reading. */
  readonly self: NodeInfo;
  /**
   * Resolves when the app has stopped; rejects with the error when it had to stop by itself. Nobody needs to listen: the
   * error is logged as well.
   */
  readonly closed: Promise<void>;
  /** The live nodes of the cluster as this one knows them, itself included, sorted by id. None after a drain. */
  nodes(): readonly NodeInfo[];
  /**
   * Tells of nodes that join, change and leave, from now on; ends when the signal aborts or the app stops.
   *
   * @example
   * ```ts
   * import { catga, MemoryNetwork } from "@catga/catga";
   *
   * const network = new MemoryNetwork();
   * await using first = await catga({ network });
   * const changes = first.watchNodes();
   * await using second = await catga({ network, id: "second" });
   * const { value } = await changes.next();
   * console.log(value.type, value.node.id); // join second
   * ```
   */
  watchNodes(options?: { signal?: AbortSignal }): AsyncIterableIterator<NodeEvent>;
  /**
   * Leaves the cluster, refuses requests from others (`DRAINING`, they go to another node), finishes what runs, and closes
   * what it opened; afterwards sends give `CLOSED`. Idempotent: later calls wait for the first, and their options do not
   * count. Works while disconnected. A `timeout` out of range is a `RangeError`.
   */
  drain(options?: DrainOptions): Promise<void>;
}

/** What {@link App} is made of. */
export interface AppParts {
  /** The node as it stands without a cluster. */
  readonly self: NodeInfo;
  readonly clock: Clock;
  readonly mediator: Mediator;
  readonly observer: Observer;
  readonly timeout: number;
  readonly retries: number;
  readonly route: Route;
}

/** The app. {@link Catga} is its face; the types of contracts are checked there. */
export class App implements ContextHost {
  readonly node: string;
  /** `<id>.<nonce>`: this process among all others. */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  pending = 0;
  readonly closed: Promise<void>;
  readonly #parts: AppParts;
  readonly #mediator: Mediator;
  readonly #stop = Promise.withResolvers<void>();
  /** The requests that this node may run without asking anybody: it alone handles them, and they have no schema. */
  #direct: Map<string, Dispatch> = new Map();
  #remote: Remote | undefined;
  #calls = 0;
  #drained: Promise<void> | undefined;
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
    this.#mediator = parts.mediator;
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
    const direct = new Map<string, Dispatch>();
    if (this.#drained === undefined) {
      for (const name of this.#mediator.names) {
        const dispatch = this.#mediator.find(name)!;
        const { kind, options } = dispatch.contract;
        const plain = kind !== "event" && options.input === undefined && options.output === undefined;
        if (plain && (this.#remote?.alone(name) ?? true)) direct.set(name, dispatch);
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
    return this.#remote?.watchNodes(options.signal) ?? this.#nothing(options.signal);
  }

  nextCall(): string {
    return `${this.endpoint}.${++this.#calls}`;
  }

  idle(): void {
    this.#idle?.();
  }

  /** Not async, and short for what needs nothing: an async wrapper alone costs as much as all of it (FACTS 10). */
  send(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: MessageContext,
  ): Promise<Result<unknown>> {
    if (options === undefined && parent === undefined) {
      const dispatch = this.#direct.get(contract?.name);
      if (dispatch !== undefined) {
        const ctx = new MessageContext(this, dispatch.contract, this.#timeoutOf(dispatch.contract), undefined);
        const result = dispatch.runs[0](payload, ctx);
        return result instanceof Promise ? ctx.outcome(result) : Promise.resolve(result);
      }
    }
    checkContract("send", contract, "command", "query");
    const request = this.#prepare("send", contract, payload, options, parent);
    if (!("contract" in request)) return Promise.resolve(request);
    return this.#checked<Result<unknown>>(
      request,
      (ready) => this.#elsewhere(ready)?.request(ready) ?? this.#here(ready),
      (refused) => refused,
    );
  }

  publish(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: MessageContext,
  ): Promise<Result<void>> {
    checkContract("publish", contract, "event");
    const request = this.#prepare("publish", contract, payload, options, parent);
    if (!("contract" in request)) return Promise.resolve(request);
    const publish = (ready: RemoteRequest): Result<void> => {
      if (this.#remote !== undefined) return this.#remote.publish(ready);
      const envelope = this.#envelope(ready.meta);
      this.deliver(contract.name, payload, () => envelope);
      return { ok: true, value: undefined };
    };
    return this.#checked<Result<void>>(request, publish, (refused) => refused);
  }

  broadcast(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: MessageContext,
  ): Promise<BroadcastResult<unknown>[]> {
    checkContract("broadcast", contract, "command", "query", "event");
    const request = this.#prepare("broadcast", contract, payload, options, parent);
    const everyone = (result: Failure) => [{ node: this.node, result }];
    if (!("contract" in request)) return Promise.resolve(everyone(request));
    return this.#checked<BroadcastResult<unknown>[]>(request, (ready) => {
      if (this.#remote !== undefined) return this.#remote.broadcast(ready);
      if (this.#mediator.find(contract.name) === undefined || (ready.node ?? this.node) !== this.node) return [];
      return this.local(ready, 1).then((result) => [{ node: this.node, result }]);
    }, everyone);
  }

  /**
   * Runs a request in this process for a sender in this process: with deadline and cancellation, the answer parsed. Also
   * the way in which the router reaches this node's own handlers.
   */
  local(request: RemoteRequest, attempt: number): Promise<Result<unknown>> {
    const dispatch = this.#mediator.find(request.contract.name);
    if (dispatch === undefined) return Promise.resolve(noHandler(request.contract, request.node));
    const { signal, parent } = request;
    const ctx = new MessageContext(this, dispatch.contract, request.timeout, this.#envelope(request.meta, attempt));
    const abort = () => ctx.abort(cancelled(request.contract));
    parent?.adopt(ctx);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    return ctx.outcome(Promise.resolve(runAll(dispatch, request.parsed, ctx))).then((result) => {
      signal?.removeEventListener("abort", abort);
      parent?.release(ctx);
      return parseAnswer(request.contract, result);
    });
  }

  /**
   * Runs a request that came over the wire: parses the payload, checks the answer (and answers with the original: the
   * sender parses it). `undefined` when there is no handler. Never throws, never rejects.
   */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined) return undefined;
    const { contract, runs } = dispatch;
    const ctx = new MessageContext(this, contract, timeout, envelope);
    const { input, output } = contract.options;
    const result = input === undefined && output === undefined && contract.kind !== "event"
      ? runs[0](payload, ctx)
      : runParsed(dispatch, payload, ctx);
    return { ctx, result };
  }

  /** Runs an event's handlers, in a later turn; `envelope` makes one for each of them. */
  deliver(name: string, payload: unknown, envelope: () => Envelope): void {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined || dispatch.contract.kind !== "event") return;
    const { contract, runs } = dispatch;
    for (const run of runs) {
      const ctx = new MessageContext(this, contract, this.#parts.timeout, envelope());
      const handled = new Promise<void>((resolve) => this.clock.soon(resolve)).then(async () => {
        if (ctx.aborted !== undefined) return { ok: false, error: ctx.aborted } as const;
        const parsed = await parsePayload(contract, payload);
        return parsed.ok ? await run(parsed.value, ctx) : parsed;
      });
      ctx.run(handled, (result) => {
        if (!result.ok && result.error.code !== "HANDLER_FAILED") { // that one was seen where it was thrown
          this.#parts.observer({ type: "fault", during: `event ${name} (${ctx.id})`, error: result.error });
        }
      });
    }
  }

  drain(options: DrainOptions = {}): Promise<void> {
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
    // a store that does not answer must not hold it up: the record expires by itself
    if (this.#remote !== undefined) await this.#by(until, this.#remote.leave());
    // one that has ended may be followed at once by the next: whoever waits for it goes on before this does
    while (this.pending > 0 && this.clock.monotonic() < until) await this.#quiet(until);
    const reason = new CatgaError("CLOSED", `node ${this.node} is stopping`);
    if (this.pending > 0) {
      this.wheel.abort(reason);
      await this.#quiet(this.clock.monotonic() + GRACE);
    }
    this.#stopped = true;
    this.wheel.abort(reason);
    await this.#remote?.close();
    await this.#release();
    this.#stop.resolve();
  }

  /** Settles as a promise does, or at that moment of the monotonic clock. */
  #by(until: number, promise: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.after(Math.max(0, until - this.clock.monotonic()), resolve);
      promise.then(resolve, reject).finally(() => timer.cancel());
    });
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

  /** Everything that is settled before a node is sought: options, deadline, meta. */
  #prepare(
    method: string,
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: MessageContext | undefined,
  ): RemoteRequest | Failure {
    const at = `${method} ${contract.name}`;
    if (options !== undefined) checkSendOptions(at, options);
    let timeout = options?.timeout ?? this.#timeoutOf(contract);
    if (parent !== undefined) timeout = Math.min(timeout, parent.remaining(this.clock.monotonic()));
    const refused = this.#refused(contract, timeout, options?.signal, parent);
    if (refused !== undefined) return refused;
    return {
      contract,
      payload,
      parsed: payload,
      timeout,
      retries: options?.retries ?? contract.options.retries ?? this.#parts.retries,
      route: options?.route ?? contract.options.route ?? this.#parts.route,
      // of a payload that has not been checked its key cannot be asked
      key: options?.key ?? (contract.options.input === undefined ? keyOf(contract, payload) : undefined),
      node: options?.node,
      signal: options?.signal,
      meta: metaOf(options, parent),
      parent,
    };
  }

  /** Why a message is not to be sent (any more): it certainly does not run. */
  #refused(
    contract: AnyContract,
    timeout: number,
    signal: AbortSignal | undefined,
    parent: MessageContext | undefined,
  ): Failure | undefined {
    const what = `${contract.kind} ${contract.name}`;
    if (this.#stopped) return failure("CLOSED", `${what} was not sent: node ${this.node} has stopped`);
    if (signal?.aborted) return { ok: false, error: cancelled(contract) };
    if (timeout <= 0) {
      return {
        ok: false,
        error: new CatgaError("UNAVAILABLE", `${what} was not sent: its deadline had passed`, { retryable: true }),
      };
    }
    // what a handler that was given up on has done may still be told
    if (contract.kind === "event" || parent?.aborted === undefined) return undefined;
    return { ok: false, error: parent.aborted };
  }

  /** Goes on with the parsed payload, when the schema takes it. */
  #checked<T>(
    request: RemoteRequest,
    go: (ready: RemoteRequest) => MaybePromise<T>,
    refuse: (refused: Failure) => T,
  ): Promise<T> {
    const { contract, payload, signal, parent } = request;
    if (contract.options.input === undefined) return Promise.resolve(go(request));
    const next = (checked: Result<unknown>, timeout: number): MaybePromise<T> => {
      if (!checked.ok) return refuse(checked);
      const key = request.key ?? keyOf(contract, payload);
      return go({ ...request, parsed: checked.value, key, timeout });
    };
    const checked = parsePayload(contract, payload);
    if (!(checked instanceof Promise)) return Promise.resolve(next(checked, request.timeout));
    const start = this.clock.monotonic();
    return checked.then((result) => {
      const timeout = request.timeout - (this.clock.monotonic() - start);
      const refused = this.#refused(contract, timeout, signal, parent);
      return refused === undefined ? next(result, timeout) : refuse(refused);
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
    return this.local(request, 1);
  }

  #envelope(meta: Meta | undefined, attempt = 1): Envelope {
    const call = this.nextCall();
    return {
      call,
      id: meta?.id ?? call,
      attempt,
      correlation: meta?.correlation,
      causation: meta?.causation,
      ancestry: meta?.ancestry ?? [],
      headers: meta?.headers ?? NO_HEADERS,
    };
  }

  #timeoutOf(contract: AnyContract): number {
    return contract.options.timeout ?? this.#parts.timeout;
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

/** A request from the wire that was taken. */
export interface Receipt {
  readonly ctx: MessageContext;
  readonly result: MaybePromise<Result<unknown>>;
}

/** The failure of a request that no live node handles, or not the node that was asked for. */
export function noHandler(contract: AnyContract, node?: string): Failure {
  return failure(
    "NO_HANDLER",
    node === undefined
      ? `no live node handles ${contract.kind} ${contract.name}; start one with a handler for it`
      : `node ${node} is not live, or does not handle ${contract.kind} ${contract.name}`,
  );
}

/** The error of a send whose caller gave up. */
export function cancelled(contract: AnyContract): CatgaError {
  return new CatgaError("CANCELLED", `the sender of ${contract.kind} ${contract.name} gave up`);
}

/** How long handlers have to end after their signals aborted, in ms. */
const GRACE = 500;

/** The headers that a trace is carried by: W3C Trace Context and Baggage. */
const TRACE_HEADERS = ["traceparent", "tracestate", "baggage"];

function failure(code: ErrorCode, message: string): Failure {
  return { ok: false, error: new CatgaError(code, message) };
}

/** Every handler of a contract; for a command or a query there is one. An event's result is its first failure. */
function runAll({ contract, runs }: Dispatch, parsed: unknown, ctx: MessageContext): MaybePromise<Result<unknown>> {
  if (contract.kind !== "event") return runs[0](parsed, ctx);
  return Promise.all(runs.map((run) => run(parsed, ctx))).then((results) =>
    results.find(({ ok }) => !ok) ?? { ok: true, value: undefined }
  );
}

async function runParsed(dispatch: Dispatch, payload: unknown, ctx: MessageContext): Promise<Result<unknown>> {
  const parsed = await parsePayload(dispatch.contract, payload);
  if (!parsed.ok) return parsed;
  const result = await runAll(dispatch, parsed.value, ctx);
  const checked = await parseAnswer(dispatch.contract, result);
  return checked.ok ? result : checked;
}

function metaOf(options: SendOptions | undefined, parent: MessageContext | undefined): Meta | undefined {
  const { id, headers } = options ?? {};
  if (parent === undefined) {
    return id === undefined && headers === undefined ? undefined : { id, headers: withTrace(undefined, headers) };
  }
  return {
    id,
    correlation: parent.correlationId,
    causation: parent.id,
    ancestry: [...parent.envelope.ancestry, parent.envelope.call],
    headers: withTrace(parent.headers, headers),
  };
}

function withTrace(
  inherited: Readonly<Record<string, string>> | undefined,
  own: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> | undefined {
  let headers: Record<string, string> | undefined;
  for (const name of inherited === undefined ? [] : TRACE_HEADERS) {
    const value = inherited![name];
    if (value !== undefined) (headers ??= Object.create(null) as Record<string, string>)[name] = value;
  }
  if (own !== undefined) Object.assign(headers ??= Object.create(null) as Record<string, string>, own);
  return headers && Object.freeze(headers);
}

function keyOf(contract: AnyContract, payload: unknown): string | undefined {
  // the payload has the contract's type: its schema or its type arguments say so
  const key = (contract.options.key as ((payload: unknown) => string) | undefined)?.(payload);
  if (key === undefined || typeof key === "string") return key;
  throw new TypeError(`${contract.name}: the contract's key function must give a string; got ${show(key)}`);
}

function checkContract(method: string, contract: AnyContract, ...kinds: Kind[]): void {
  if (kinds.includes(contract?.kind) && typeof contract.name === "string") return;
  const wanted = `what ${kinds.join("(…), ")}(…) gives`;
  const got = contract?.kind === undefined ? show(contract) : `${contract.kind} ${contract.name}`;
  throw new TypeError(`${method}: the first argument must be ${wanted}; got ${got}`);
}

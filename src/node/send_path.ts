/**
 * The way of a message from its sender to its handler, top to bottom: it is prepared, its payload is checked by the
 * contract's schema, and then it runs in this process, or goes to the cluster if other nodes handle it, too: there
 * `cluster/routing/router.ts` chooses the node, which may be this one. `local_fast_path.ts` is the shorter way of sends
 * that need no preparation. docs/internals/sends.md follows a send further: to its handler, and to another node and
 * back.
 *
 * Methods with closures over `this` are separate from the methods that are called for each send: V8 allocates 40 bytes
 * for such closures at each call of the method around them, even if it makes none.
 */
import { checkContract } from "../contract/declaration/definition.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Failure, Result } from "../contract/calls/result.ts";
import type { EnqueueOptions, KeepOptions } from "../contract/calls/durable_messages.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { SendOptions } from "../contract/calls/send_options.ts";
import type { BroadcastResult } from "../contract/calls/sender.ts";
import {
  type DurableLog,
  type DurableMessage,
  type Remote,
  type RemoteEvent,
  type RemoteRequest,
  requestOf,
  type TrackedCaller,
} from "../dispatch/remote.ts";
import type { ParentMessage } from "../dispatch/context_host.ts";
import { isCatgaError } from "../error.ts";
import { asResult, noHandler, noHandlerHere, plainResult, Refusal } from "../dispatch/outcome.ts";
import type { Mediator } from "../dispatch/mediator.ts";
import { keyOf } from "../dispatch/routing_key.ts";
import type { Runner } from "../dispatch/runner.ts";
import type { TryAgain } from "./local_fast_path.ts";
import type { RequestBuilder, StoredRequest } from "./request_builder.ts";

/** Parts from which a {@link SendPath}, which sends the messages of a node, is made. */
interface SendPathOptions {
  /** The id of this node. */
  readonly node: string;
  /** True if no other node can have a handler that this one does not have. */
  readonly isWithoutNetwork: boolean;
  readonly builder: RequestBuilder;
  readonly mediator: Mediator;
  readonly runner: Runner;
  /** Returns the log, which is opened when it is first needed. Rejects with a `CatgaError`. */
  readonly log: () => Promise<DurableLog>;
}

/** Sends the messages of one node. */
export class SendPath {
  readonly #node: string;
  readonly #isWithoutNetwork: boolean;
  readonly #builder: RequestBuilder;
  readonly #mediator: Mediator;
  readonly #runner: Runner;
  readonly #log: () => Promise<DurableLog>;
  #opened: DurableLog | undefined;
  #remote: Remote | undefined;
  /** Names of the contracts that this node handles and no other node does. */
  #alone: ReadonlySet<string> = new Set();
  #draining = false;

  constructor({ node, isWithoutNetwork, builder, mediator, runner, log }: SendPathOptions) {
    this.#node = node;
    this.#isWithoutNetwork = isWithoutNetwork;
    this.#builder = builder;
    this.#mediator = mediator;
    this.#runner = runner;
    this.#log = log;
  }

  /**
   * Sets which messages are handled in this process and which go to the cluster. Called at the start, on joining a
   * cluster, and when the membership changes. `remote`: `undefined` without a cluster; `alone`: names of contracts that
   * no other node handles.
   */
  refresh(remote: Remote | undefined, alone: ReadonlySet<string>): void {
    this.#remote = remote;
    this.#alone = alone;
  }

  /** Keeps the router from choosing this node for requests. Called when the drain begins. */
  drain(): void {
    this.#draining = true;
  }

  /**
   * Sends a command or a query. First step: prepares the options, deadline and metadata. Throws a `TypeError` or
   * `RangeError` for misuse.
   */
  send(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: ParentMessage | undefined,
  ): Promise<Result<unknown>> {
    const kind = contract?.kind;
    if ((kind !== "command" && kind !== "query") || typeof contract.name !== "string" || !contract.options) {
      checkContract("send", contract, "command", "query");
    }
    return this.#parse(this.#builder.prepare("send", contract, payload, options, parent));
  }

  /**
   * Sends a request for a plain NATS client, or the request of a stream. A plain client's request passes `admit`, like
   * requests of other nodes, if it runs in this process. A stream's items go to `items`; the promise resolves with how
   * the stream ended.
   */
  relay(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    { parent, ...more }: Pick<RemoteRequest, "admit" | "items" | "refusedBy"> & {
      readonly parent?: ParentMessage | undefined;
    },
  ): Promise<Result<unknown>> {
    const method = more.items === undefined ? "send" : "stream";
    const request = this.#builder.prepare(method, contract, payload, options, parent);
    return this.#parse("contract" in request ? { ...request, ...more } : request);
  }

  /** Sends an internal message of Catga. Its options are complete: they are neither checked nor prepared. */
  internal(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
  ): Promise<Result<unknown>> {
    const closed = this.#builder.closed(contract);
    return closed === undefined
      ? this.#route(this.#internalRequest(contract, payload, options))
      : Promise.resolve(closed);
  }

  /**
   * Sends an internal message of Catga, like `internal`, but calls `caller` with the result instead of returning a
   * promise, because some messages are sent a hundred thousand times a second.
   */
  handOut(contract: AnyContract, payload: unknown, options: SendOptions, caller: TrackedCaller): void {
    const closed = this.#builder.closed(contract);
    if (closed !== undefined) return caller.resolve(closed);
    const request = this.#internalRequest(contract, payload, options, caller);
    const remote = this.#remote;
    if (remote !== undefined && !this.#isForHere(request)) return remote.router.begin(request, caller);
    this.#run(request).then((result) => caller.resolve(result), (error) => caller.reject(error));
  }

  #internalRequest(
    contract: AnyContract,
    payload: unknown,
    { timeout, retries, route = "hash", key, node, signal }: SendOptions,
    sent?: TrackedCaller,
  ): RemoteRequest {
    return {
      contract,
      payload,
      parsed: payload,
      timeout: timeout ?? this.#builder.timeoutOf(contract),
      retries: retries ?? 0,
      // `hash` cannot choose without a key, so any node will do
      route: route === "hash" && key === undefined ? "least-loaded" : route,
      key,
      node,
      signal,
      meta: undefined,
      parent: undefined,
      sent,
    };
  }

  /** Second step of a send: runs the contract's input schema, if it has one. */
  #parse(request: RemoteRequest | Failure): Promise<Result<unknown>> {
    if (!("contract" in request)) return Promise.resolve(request);
    return request.contract.options.input === undefined ? this.#route(request) : this.#parseBySchema(request);
  }

  #parseBySchema(request: RemoteRequest): Promise<Result<unknown>> {
    return this.#builder.parse(request, (parsed) => this.#route(parsed));
  }

  /**
   * Third step of a send: the request goes to this node's own handler, if no other node has one or there is no cluster;
   * else to the router (`cluster/routing/router.ts`), which may choose this node, too.
   */
  #route(request: RemoteRequest): Promise<Result<unknown>> {
    const remote = this.#remote;
    return remote === undefined || this.#isForHere(request) ? this.#run(request) : remote.router.request(request);
  }

  /**
   * Returns true if this node handles the request without the router. False for a routing strategy of the program's,
   * which is to be called even when there is only one node, unless this node drains: then the router does not choose
   * this node, and handlers that still run must be able to send to a handler that only this node has.
   */
  #isForHere({ contract, route, node }: RemoteRequest): boolean {
    const here = node === undefined
      ? this.#alone.has(contract.name)
      : node === this.#node && this.#mediator.find(contract.name) !== undefined;
    return here && (typeof route === "string" || this.#draining);
  }

  /** Runs the request in this process; fails with `NO_HANDLER` if this node has no handler. */
  #run(request: RemoteRequest): Promise<Result<unknown>> {
    if (request.node !== undefined && request.node !== this.#node) {
      return Promise.resolve(noHandler(request.contract, request.node));
    }
    return this.#runner.local(request, 1).then((outcome) =>
      outcome instanceof Refusal ? this.#refused(request, outcome) : this.#counted(request, outcome)
    );
  }

  /** Repeats, with the normal preparation, a send without options that its handler in this process has refused. */
  readonly again: TryAgain = (contract, payload, refusal) => {
    const request = this.#builder.prepare("send", contract, payload, undefined, undefined);
    return "contract" in request ? this.#refused(request, refusal) : request;
  };

  /**
   * Handles the refusal of a request by the handler in this process. The router repeats the request, on this node or on
   * another one that handles the contract. Without a cluster, and while this node drains, returns the failure that
   * stands for the refusal.
   */
  #refused(request: RemoteRequest, refusal: Refusal): MaybePromise<Result<unknown>> {
    const remote = this.#remote;
    return remote === undefined || this.#draining
      ? this.#counted(request, refusal.failure)
      : remote.router.request(request, refusal);
  }

  #counted({ contract }: RemoteRequest, result: Result<unknown>): Result<unknown> {
    this.#runner.counts.sent(contract, result);
    return plainResult(result);
  }

  /**
   * Publishes an event: prepares and checks it like a send, and then stores it in the log if its contract is durable;
   * else passes it to the cluster or, without a cluster, to this node's handlers.
   */
  publish(
    contract: AnyContract,
    payload: unknown,
    options: KeepOptions | undefined,
    parent: ParentMessage | undefined,
  ): Promise<Result<void>> {
    if (contract?.kind !== "event" || typeof contract.name !== "string" || !contract.options) {
      checkContract("publish", contract, "event");
    }
    if (contract.options.entity !== undefined) {
      throw new TypeError(
        `publish ${contract.name}: only commands of ${contract.options.entity} emit this event: send one of them`,
      );
    }
    if (contract.options.durable) return this.#store("publish", contract, payload, options, parent);
    const { input, redact } = contract.options;
    if (options === undefined && parent === undefined && input === undefined && redact === undefined) {
      return Promise.resolve(this.#builder.closed(contract) ?? this.#emit({ contract, payload, meta: undefined }));
    }
    const event = this.#builder.prepare("publish", contract, payload, options, parent);
    if (!("contract" in event)) return Promise.resolve(event);
    if (contract.options.input === undefined) return Promise.resolve(this.#emit(event));
    return this.#emitParsed(event);
  }

  /** Stores a command, which runs later. */
  async enqueue(
    contract: AnyContract,
    payload: unknown,
    options: EnqueueOptions | undefined,
    parent: ParentMessage | undefined,
  ): Promise<Result<void>> {
    checkContract("enqueue", contract, "command");
    if (!contract.options.durable) {
      throw new TypeError(`enqueue ${contract.name}: the command is not durable: give it durable: true`);
    }
    return await this.#store("enqueue", contract, payload, options, parent);
  }

  /** Prepares and checks a message for the log like a send, then stores it. */
  #store(
    method: "publish" | "enqueue",
    contract: AnyContract,
    payload: unknown,
    options: EnqueueOptions | undefined,
    parent: ParentMessage | undefined,
  ): Promise<Result<void>> {
    const request = this.#builder.prepareDurable(method, contract, payload, options, parent);
    if (!("contract" in request)) return Promise.resolve(request);
    if (
      method === "enqueue" && this.#isWithoutNetwork && !this.#mediator.find(contract.name)?.contract.options.durable
    ) {
      return Promise.resolve(noHandlerHere(contract)); // nothing would ever run it
    }
    return contract.options.input === undefined ? this.#toLog(request) : this.#storeParsed(request);
  }

  #storeParsed(request: StoredRequest): Promise<Result<void>> {
    return this.#builder.parse(request, (parsed) => this.#toLog(parsed));
  }

  /**
   * Stores a message in the log. Its key is made of the payload as the sender gave it, after the schema has accepted
   * the payload.
   */
  #toLog(request: StoredRequest): Promise<Result<void>> {
    const key = keyOf(request.contract, request.payload);
    if (typeof key === "object") return Promise.resolve(key);
    this.#mediator.counts.published(request.contract, 1);
    const message: DurableMessage = key === undefined ? request : { ...request, key };
    return this.#opened === undefined ? this.#openLog(message) : this.#opened.publish(message);
  }

  async #openLog(message: DurableMessage): Promise<Result<void>> {
    try {
      // messages that wait here for the log to open are published in the order of their calls
      return await this.#log().then((log) => {
        this.#opened = log;
        return log.publish(message);
      });
    } catch (error) {
      if (isCatgaError(error)) return { ok: false, error };
      throw error;
    }
  }

  #emitParsed(event: RemoteRequest): Promise<Result<void>> {
    return this.#builder.parse(event, (parsed) => this.#emit(parsed));
  }

  #emit(event: RemoteEvent): Result<void> {
    if (this.#remote !== undefined) return this.#remote.publish(event);
    this.#runner.publish(event.contract.name, event.payload, this.#runner.envelope(event.meta));
    return { ok: true, value: undefined };
  }

  /** Sends a message to every node that handles it; without a cluster, to this node only. */
  broadcast(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: ParentMessage | undefined,
  ): Promise<BroadcastResult<unknown>[]> {
    checkContract("broadcast", contract, "command", "query", "event");
    if (contract.kind === "event" && contract.options.durable) {
      throw new TypeError(
        `broadcast ${contract.name}: the event is durable, and reaches every subscription by the log: publish it`,
      );
    }
    if (this.#builder.ofEntity(contract)) {
      throw new TypeError(
        `broadcast ${contract.name}: it is a command of an entity, which is decided once, by one node: send it`,
      );
    }
    const request = this.#builder.prepare("broadcast", contract, payload, options, parent);
    const refuse = (result: Failure) => [{ node: this.#node, result }];
    if (!("contract" in request)) return Promise.resolve(refuse(request));
    const sent = this.#builder.parse<BroadcastResult<unknown>[]>(request, (parsed) => {
      if (this.#remote !== undefined) return this.#remote.router.broadcast(parsed);
      if (this.#mediator.find(contract.name) === undefined || (parsed.node ?? this.#node) !== this.#node) return [];
      const own = requestOf(parsed, this.#node);
      return this.#runner.local(own, 1).then((outcome) => [{ node: this.#node, result: asResult(outcome) }]);
    });
    return sent.then((results) => "error" in results ? refuse(results) : results);
  }
}

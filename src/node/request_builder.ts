/**
 * Prepares a node's sends before a node is chosen for them: options, deadline, routing key, metadata, and the payload
 * as parsed by the contract's schema. A message that only this node handles takes a shorter way (`local_fast_path.ts`).
 */
import { NO_HEADERS, withCarried } from "../dispatch/carried_headers.ts";
import type { ContextHost, ParentMessage } from "../dispatch/context_host.ts";
import { checkSendOptions, INHERITED_HEADERS, type SendOptions } from "../contract/calls/send_options.ts";
import { type AnyContract, isInternalName } from "../contract/declaration/contract.ts";
import { parsePayload } from "../dispatch/message_schema.ts";
import type { Route } from "../contract/nodes/node_info.ts";
import { checkKeepOptions, type EnqueueOptions } from "../contract/calls/durable_messages.ts";
import { REDACT_HEADER } from "../contract/declaration/redaction.ts";
import { MAX_TIMEOUT, show } from "../data/checks.ts";
import type { Meta, RemoteRequest, Schedule } from "../dispatch/remote.ts";
import type { Failure, Result } from "../contract/calls/result.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { unavailable } from "../error.ts";
import { cancelled, failure, notSent, unsent } from "../dispatch/outcome.ts";
import { untilDeadline } from "../dispatch/deadlined_wait.ts";
import { idOf, keyOf } from "../dispatch/routing_key.ts";

/** Options that apply to a send if neither the send nor its contract has them. */
export interface SendDefaults {
  /** Timeout of a send, in ms. */
  readonly timeout: number;
  readonly retries: number;
  readonly route: Route;
  /**
   * The names of the headers that messages sent by handlers inherit, besides the headers of the trace. Default: none.
   */
  readonly carry?: readonly string[];
}

/** A message to be stored in the log, with its schedule. */
export type StoredRequest = RemoteRequest & { readonly schedule: Schedule | undefined };

/**
 * Maximum depth of sends of which each waits for the next: an endless recursion fails long before it fills the stack.
 */
const MAX_NESTED_SENDS = 100;

/** Prepares the sends of one node. */
export class RequestBuilder {
  readonly #host: ContextHost;
  readonly #defaults: SendDefaults;
  /** The names of the headers that messages sent by handlers inherit. */
  readonly carried: readonly string[];
  readonly #ofEntity: (name: string) => boolean;
  /** By contract name, as long as the membership does not change: true if the contract is a command of an entity. */
  readonly #ofEntities: Map<string, boolean> = new Map();
  #stopped = false;

  /**
   * `ofEntity`: returns true if all nodes that handle a contract of this name declare it as a command of an entity; if
   * no node handles it, true if the last ones did.
   */
  constructor(host: ContextHost, defaults: SendDefaults, ofEntity: (name: string) => boolean = () => false) {
    this.#host = host;
    this.#ofEntity = ofEntity;
    this.#defaults = defaults;
    this.carried = [...INHERITED_HEADERS, ...defaults.carry ?? []];
  }

  /** True after {@link RequestBuilder.stop} was called: every send fails with `CLOSED`. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** Makes all further sends fail with `CLOSED`. */
  stop(): void {
    this.#stopped = true;
  }

  /** Timeout of a send of this contract, in ms. */
  timeoutOf(contract: AnyContract): number {
    return contract.options.timeout ?? (contract.kind === "stream" ? MAX_TIMEOUT : this.#defaults.timeout);
  }

  /**
   * Returns true if a send of this contract without options needs no preparation: the contract has no schema, is
   * neither ordered nor idempotent, and has a `key` function if its messages are routed by key; and its route is no
   * strategy of the program's, which would be called even when there is only one node.
   */
  needsNoPreparation(contract: AnyContract): boolean {
    const { kind, options: { input, output, key, ordered, idempotent } } = contract;
    if (kind === "event" || kind === "stream" || input !== undefined || output !== undefined || ordered || idempotent) {
      return false;
    }
    const route = this.#routeOf(contract);
    return typeof route === "string" && (route !== "hash" || key !== undefined);
  }

  /**
   * Makes the request of a send, with its options, deadline and metadata; or returns a failure if the message must not
   * be sent. {@link RequestBuilder.parse} adds the routing key of a contract with a schema. Throws a `TypeError` or
   * `RangeError` for misuse.
   */
  prepare(
    method: string,
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: ParentMessage | undefined,
  ): RemoteRequest | Failure {
    if (options !== undefined) checkSendOptions(method, contract.name, options);
    return this.#prepareChecked(method, contract, payload, options, parent);
  }

  #prepareChecked(
    method: string,
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: ParentMessage | undefined,
  ): RemoteRequest | Failure {
    const stored = method === "publish" || method === "enqueue";
    if (isInternalName(contract.name)) {
      throw new TypeError(`${method} ${contract.name}: names that begin with "@" are those of Catga's own messages`);
    }
    const ofEntity = method === "send" && this.ofEntity(contract);
    const route = options?.route ?? (ofEntity ? contract.options.route ?? "hash" : this.#routeOf(contract));
    if (contract.options.ordered && route !== "hash") {
      throw new TypeError(`${method} ${contract.name}: an ordered contract has the route "hash"; got ${show(route)}`);
    }
    if (
      (method === "send" || method === "stream" ? route === "hash" : contract.options.ordered) &&
      options?.key === undefined &&
      contract.options.key === undefined
    ) {
      const what = `${method} ${contract.name}: ${contract.options.ordered ? "an ordered contract" : 'route "hash"'}`;
      throw new TypeError(`${what} needs a key: give the contract a key function, or the send a key`);
    }
    const timeout = this.timeLeft(contract, options, parent);
    const refused = this.#refused(contract, timeout, options?.signal, parent);
    if (refused !== undefined) return refused;
    if (!stored && parent !== undefined && parent.envelope.ancestry.length >= MAX_NESTED_SENDS) {
      const text = `${MAX_NESTED_SENDS} nested sends wait for it, which is the maximum: is it an endless recursion?`;
      return failure("INVALID_MESSAGE", `${unsent(contract)}: ${text}`);
    }
    const id = ofEntity ? options?.id : this.#idOf(contract, payload, options, stored);
    if (typeof id === "object") return id;
    // for a contract with a schema the key is made later: a key function gets a payload that has passed the schema
    const key = options?.key ??
      (contract.options.input === undefined && !stored ? keyOf(contract, payload) : undefined);
    if (typeof key === "object") return key;
    return {
      contract,
      payload,
      parsed: payload,
      timeout,
      retries: options?.retries ?? contract.options.retries ?? this.#defaults.retries,
      route,
      key,
      node: options?.node,
      signal: options?.signal,
      meta: this.#metaOf(id, options, {
        parent,
        awaited: !stored,
        applied: ofEntity ? timeout : undefined,
        isAgain: options?.firstSent !== undefined && (ofEntity || Boolean(contract.options.idempotent)),
        redact: stored ? contract.options.redact : undefined,
      }),
      parent,
      ...(ofEntity ? { ofEntity } : {}),
    };
  }

  /** Returns true if the contract is a command of an entity, as far as this node knows the nodes that handle it. */
  ofEntity({ kind, name, options: { key } }: AnyContract): boolean {
    if (kind !== "command" || key === undefined) return false;
    let known = this.#ofEntities.get(name);
    if (known === undefined) this.#ofEntities.set(name, known = this.#ofEntity(name));
    return known;
  }

  /** Forgets which contracts are commands of entities; called when the membership has changed. */
  refresh(): void {
    this.#ofEntities.clear();
  }

  /**
   * Makes the request of a message that is stored, with its schedule; or returns a failure if the message must not be
   * sent. The key is made later, when the payload has passed the schema.
   */
  prepareDurable(
    method: "publish" | "enqueue",
    contract: AnyContract,
    payload: unknown,
    options: EnqueueOptions | undefined,
    parent: ParentMessage | undefined,
  ): StoredRequest | Failure {
    if (options !== undefined) checkKeepOptions(method, contract.name, options);
    const request = this.#prepareChecked(method, contract, payload, options, parent);
    return "contract" in request ? { ...request, schedule: options && scheduleOf(options) } : request;
  }

  /**
   * Timeout of a message that is sent now, in ms: at most the time left of the message whose handler sends it.
   * @decides the deadline, key and headers of a send
   */
  timeLeft(contract: AnyContract, options: SendOptions | undefined, parent: ParentMessage | undefined): number {
    const timeout = options?.timeout ?? this.timeoutOf(contract);
    return parent === undefined ? timeout : Math.min(timeout, parent.remaining(this.#host.clock.monotonic()));
  }

  /**
   * Returns the id given in the options, else, for an idempotent command, an id that every attempt then has: made by
   * the contract, or generated. `undefined`: no id is made here: the message needs none, or is stored (the log then
   * makes one), or {@link RequestBuilder.parse} makes it of the parsed payload. A failure: the contract's function
   * threw, or returned no valid id.
   */
  #idOf(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    stored: boolean,
  ): string | Failure | undefined {
    const { input, idempotent, id } = contract.options;
    if (options?.id !== undefined || !idempotent) return options?.id;
    if (id === undefined) return stored ? undefined : this.#host.nextCall();
    return input === undefined ? idOf(contract, payload) : undefined;
  }

  /** Returns true if sends of this contract that name no `route` are routed by key. */
  keyed(contract: AnyContract): boolean {
    return this.#routeOf(contract) === "hash";
  }

  #routeOf({ options: { route, ordered } }: AnyContract): Route {
    return route ?? (ordered ? "hash" : this.#defaults.route);
  }

  /** Returns the failure of a message that must not be sent; `undefined` if it may be sent. */
  #refused(
    contract: AnyContract,
    timeout: number,
    signal: AbortSignal | undefined,
    parent: ParentMessage | undefined,
  ): Failure | undefined {
    const closed = this.closed(contract);
    if (closed !== undefined) return closed;
    if (signal?.aborted) return { ok: false, error: cancelled(contract) };
    if (timeout <= 0) {
      // the timer of deadlines may be 10 ms late: the message whose handler sends ends now, so that this failure is not
      // its own if the handler passes it on
      if (parent !== undefined && parent.remaining(this.#host.clock.monotonic()) <= 0) parent.execution.pastDeadline();
      return { ok: false, error: unavailable(`${unsent(contract)}: its deadline had passed`) };
    }
    // an event is not refused: a handler whose message was aborted may still publish events about its work
    if (contract.kind === "event" || parent?.aborted === undefined) return undefined;
    return { ok: false, error: parent.aborted };
  }

  /** Returns the failure of a message that is sent after the node has stopped; `undefined` as long as the node runs. */
  closed(contract: AnyContract): Failure | undefined {
    return this.#stopped ? failure("CLOSED", `${unsent(contract)}: node ${this.#host.node} has stopped`) : undefined;
  }

  /**
   * Runs the contract's input schema, and calls `go` with the request, its parsed payload and its key; for a stored
   * message, `go` makes the key. Resolves with the result of `go`, or with a failure if the message must not be sent.
   */
  parse<T, R extends RemoteRequest | StoredRequest = RemoteRequest>(
    request: R,
    go: (ready: R) => MaybePromise<T>,
  ): Promise<T | Failure> {
    const { contract, payload, signal, parent } = request;
    if (contract.options.input === undefined) return Promise.resolve(go(request));
    const next = (parsed: Result<unknown>, timeout: number): MaybePromise<T | Failure> => {
      if (!parsed.ok) return parsed;
      const id = request.meta?.id ?? idOf(contract, payload);
      if (typeof id === "object") return id;
      const key = request.key ?? ("schedule" in request ? undefined : keyOf(contract, payload));
      if (typeof key === "object") return key;
      const meta = id === request.meta?.id ? request.meta : { ...request.meta, id };
      return go({ ...request, parsed: parsed.value, key, timeout, meta });
    };
    const parsed = parsePayload(contract, payload);
    if (!(parsed instanceof Promise)) return Promise.resolve(next(parsed, request.timeout));
    const { clock } = this.#host;
    const start = clock.monotonic();
    const settled = untilDeadline(this.#host, request, parsed, (reason) => notSent(contract, reason));
    return settled.then((result) => {
      const timeout = request.timeout - (clock.monotonic() - start);
      const refused = this.#refused(contract, timeout, signal, parent);
      return refused ?? next(result, timeout);
    });
  }

  /**
   * Makes the metadata of a message. `applied`: the timeout of a command of an entity; `isAgain`: an earlier send of
   * the command may have run; `redact`: paths of members that tools hide.
   */
  #metaOf(
    id: string | undefined,
    options: SendOptions | undefined,
    { parent, awaited, applied, isAgain, redact }: {
      parent: ParentMessage | undefined;
      awaited: boolean;
      applied: number | undefined;
      isAgain: boolean;
      redact: readonly string[] | undefined;
    },
  ): Meta | undefined {
    const headers = redact === undefined
      ? options?.headers
      : { ...options?.headers, [REDACT_HEADER]: JSON.stringify(redact) };
    // the key is sent with the message, because the contract may be ordered on the node of its handler
    const key = options?.key;
    const sends = applied === undefined || options?.id === undefined ? undefined : {
      send: this.#host.nextCall(),
      span: options.firstSent && applied + Math.max(0, this.#host.clock.now() - options.firstSent.getTime()),
    };
    const ran = isAgain || undefined;
    if (parent === undefined) {
      if (id === undefined && headers === undefined && key === undefined) return undefined;
      return { id, key, headers: withCarried(this.carried, NO_HEADERS, headers), ran, ...sends };
    }
    return {
      id,
      key,
      ran,
      ...sends,
      correlation: parent.correlationId,
      causation: parent.id,
      // an event has no `ancestry`: no sender waits for its handlers, so they cannot be part of a deadlock
      ...(awaited ? { ancestry: [...parent.envelope.ancestry, parent.envelope.call] } : {}),
      headers: withCarried(this.carried, parent.headers, headers),
    };
  }
}

function scheduleOf({ delay, at, cron, zone }: EnqueueOptions): Schedule | undefined {
  if (typeof delay === "object") return { delay: delay[0], longest: delay[1] };
  if (delay !== undefined) return { delay };
  if (at !== undefined) return { at };
  return cron === undefined ? undefined : { cron, zone };
}

/** Messages on their way out: everything that is settled before a node is sought. */
import type { ContextHost, ParentMessage } from "../dispatch/context_host.ts";
import type { AnyContract } from "../contract/contract.ts";
import { CatgaError } from "../error.ts";
import { parsePayload } from "../dispatch/message_schema.ts";
import type { Route } from "../contract/node_info.ts";
import { checkSendOptions, type SendOptions } from "../contract/send_options.ts";
import { show } from "../contract/checks.ts";
import type { Meta, RemoteRequest } from "../dispatch/remote.ts";
import type { Failure, Result } from "../contract/result.ts";
import type { MaybePromise } from "../contract/schema.ts";
import { cancelled, untilDeadline } from "../dispatch/wait.ts";
import { failure, notSent, unsent } from "../dispatch/failures.ts";
import { keyOf } from "../dispatch/routing_key.ts";

/** What an app's sends have when neither they nor their contracts say otherwise. */
export interface SendDefaults {
  /** In ms. */
  readonly timeout: number;
  readonly retries: number;
  readonly route: Route;
}

/** Prepares the messages of one node. */
export class RequestBuilder {
  readonly #host: ContextHost;
  readonly #defaults: SendDefaults;
  #stopped = false;

  constructor(host: ContextHost, defaults: SendDefaults) {
    this.#host = host;
    this.#defaults = defaults;
  }

  /** Whether nothing leaves any more. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** From now on nothing leaves: `CLOSED`. */
  stop(): void {
    this.#stopped = true;
  }

  /** How long a send of this contract may take, in ms. */
  timeoutOf(contract: AnyContract): number {
    return contract.options.timeout ?? this.#defaults.timeout;
  }

  /**
   * Whether there is nothing to settle for a send of this contract without options: no schema, no key that is missing, and
   * no strategy of the user's, which is asked even when there is but one node.
   */
  plain(contract: AnyContract): boolean {
    const { kind, options: { input, output, key, ordered, idempotent } } = contract;
    if (kind === "event" || input !== undefined || output !== undefined || ordered || idempotent) return false;
    const route = this.#routeOf(contract);
    return typeof route === "string" && (route !== "hash" || key !== undefined);
  }

  /** Everything that is settled before a node is sought: options, deadline, meta. */
  prepare(
    method: string,
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    parent: ParentMessage | undefined,
  ): RemoteRequest | Failure {
    if (options !== undefined) checkSendOptions(method, contract.name, options);
    const route = options?.route ?? this.#routeOf(contract);
    if (contract.options.ordered && route !== "hash") {
      throw new TypeError(`${method} ${contract.name}: an ordered contract has the route "hash"; got ${show(route)}`);
    }
    if (method === "send" && route === "hash" && options?.key === undefined && contract.options.key === undefined) {
      throw new TypeError(
        `send ${contract.name}: route "hash" needs a key: give the contract a key function, or the send a key`,
      );
    }
    const timeout = this.timeLeft(contract, options, parent);
    const refused = this.#refused(contract, timeout, options?.signal, parent);
    if (refused !== undefined) return refused;
    return {
      contract,
      payload,
      parsed: payload,
      timeout,
      retries: options?.retries ?? contract.options.retries ?? this.#defaults.retries,
      route,
      // of a payload that has not been checked its key cannot be asked
      key: options?.key ?? (contract.options.input === undefined ? keyOf(contract, payload) : undefined),
      node: options?.node,
      signal: options?.signal,
      meta: metaOf(contract, this.#idOf(contract, options), options, { parent, awaited: method !== "publish" }),
      parent,
    };
  }

  /** How long a message may take that is sent now, in ms: no longer than the one whose handler sends it. */
  timeLeft(contract: AnyContract, options: SendOptions | undefined, parent: ParentMessage | undefined): number {
    const timeout = options?.timeout ?? this.timeoutOf(contract);
    return parent === undefined ? timeout : Math.min(timeout, parent.remaining(this.#host.clock.monotonic()));
  }

  /** The message id, when one is given or has to travel: that of an idempotent command is the same in every attempt. */
  #idOf({ options: { idempotent } }: AnyContract, options: SendOptions | undefined): string | undefined {
    return options?.id ?? (idempotent ? this.#host.nextCall() : undefined);
  }

  /** Whether sends of this contract go by a routing key, unless they say otherwise. */
  keyed(contract: AnyContract): boolean {
    return this.#routeOf(contract) === "hash";
  }

  #routeOf({ options: { route, ordered } }: AnyContract): Route {
    return route ?? (ordered ? "hash" : this.#defaults.route);
  }

  /** Why a message is not to be sent (any more): it certainly does not run. */
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
      const message = `${unsent(contract)}: its deadline had passed`;
      return { ok: false, error: new CatgaError("UNAVAILABLE", message, { retryable: true }) };
    }
    // what a handler that was given up on has done may still be told
    if (contract.kind === "event" || parent?.aborted === undefined) return undefined;
    return { ok: false, error: parent.aborted };
  }

  /** The failure of all that is sent when the node has stopped. */
  closed(contract: AnyContract): Failure | undefined {
    return this.#stopped ? failure("CLOSED", `${unsent(contract)}: node ${this.#host.node} has stopped`) : undefined;
  }

  /** Goes on with the parsed payload, when the schema takes it. */
  checked<T>(
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
    const { clock } = this.#host;
    const start = clock.monotonic();
    const settled = untilDeadline(this.#host, request, checked, (reason) => notSent(contract, reason));
    return settled.then((result) => {
      const timeout = request.timeout - (clock.monotonic() - start);
      const refused = this.#refused(contract, timeout, signal, parent);
      return refused === undefined ? next(result, timeout) : refuse(refused);
    });
  }
}

/** The headers that a trace is carried by: W3C Trace Context and Baggage. */
const TRACE_HEADERS = ["traceparent", "tracestate", "baggage"];

function metaOf(
  contract: AnyContract,
  id: string | undefined,
  options: SendOptions | undefined,
  { parent, awaited }: { parent: ParentMessage | undefined; awaited: boolean },
): Meta | undefined {
  const headers = options?.headers;
  const key = contract.options.ordered ? options?.key : undefined;
  if (parent === undefined) {
    if (id === undefined && headers === undefined && key === undefined) return undefined;
    return { id, key, headers: withTrace(undefined, headers) };
  }
  return {
    id,
    key,
    correlation: parent.correlationId,
    causation: parent.id,
    // whatever an event waits for, its publisher does not
    ...(awaited ? { ancestry: [...parent.envelope.ancestry, parent.envelope.call] } : {}),
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

/**
 * Requests of NATS clients without Catga: JSON in, JSON out, on `catga.<namespace>.call.<Name>`. The nodes that handle a
 * contract share a queue group. The node that NATS picks sends the request as one of its own, so that keys, order, retries and
 * ids work as between nodes; at its own handlers the request waits for admission, as those of other nodes do.
 */
import type { ContextHost } from "../../dispatch/context_host.ts";
import type { AnyContract } from "../../contract/contract.ts";
import { abandoned } from "../../dispatch/execution.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { writeErrorAsJson } from "../../dispatch/error_encoding.ts";
import { toJson } from "../../data/encoding.ts";
import { parseAnswer } from "../../dispatch/message_schema.ts";
import type { Observer } from "../../contract/observer.ts";
import { MAX_ID, type SendOptions } from "../../contract/send_options.ts";
import type { Result } from "../../contract/result.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import type { Subscription, Transport, TransportMessage } from "../../ports/transport.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { untilDeadline } from "../../dispatch/wait.ts";
import type { MalformedCount } from "../wire/malformed_count.ts";
import type { CallStats } from "./call_stats.ts";
import { FORBIDDEN_REPLY, mayAnswer, respond } from "./reply.ts";
import { errorHeaders } from "./service_error.ts";

/** The queue group of all nodes: the default one of NATS services. */
export const QUEUE = "q";

/** A contract that plain clients may call. */
export interface ServedContract {
  readonly contract: AnyContract;
  readonly subject: string;
  readonly stats: CallStats;
}

/** What plain calls need of their node. */
export interface PlainCallsOptions {
  readonly transport: Transport;
  readonly namespace: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
  readonly served: readonly ServedContract[];
  /** A drain waits until nothing is pending there. */
  readonly host: Pick<ContextHost, "node" | "pending" | "idle" | "wheel">;
  /** The headers that go on with what handlers send; their names are in lower case. */
  readonly carried: readonly string[];
  /** Whether requests of a contract are routed by a key. */
  keyed(contract: AnyContract): boolean;
  /** How long a request of a contract may take, in ms. */
  timeLeft(contract: AnyContract): number;
  /** Sends a request as this node. May throw, or reject with, what the contract's `key` or a strategy throws. */
  send(contract: AnyContract, payload: unknown, options: SendOptions): Promise<Result<unknown>>;
}

/** Takes the plain requests of one node. */
export class PlainCalls {
  readonly #options: PlainCallsOptions;
  #subscriptions: Subscription[] = [];
  #underWay = 0;

  constructor(options: PlainCallsOptions) {
    this.#options = options;
  }

  /** Takes requests from now on. */
  start(): void {
    const { transport, served } = this.#options;
    // one for each contract: with a wildcard, NATS would also pick nodes without its handler
    this.#subscriptions = served.map((each) =>
      transport.subscribe(each.subject, { queue: QUEUE }, (message) => this.#onMessage(each, message))
    );
  }

  /** Takes no more requests. Resolves when all those that have been delivered have begun. */
  async close(): Promise<void> {
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }

  #onMessage({ contract, stats }: ServedContract, message: TransportMessage): void {
    if (message.noResponders) return;
    const { transport: { clock }, malformed, host } = this.#options;
    const { reply } = message;
    if (reply !== undefined && !mayAnswer(reply)) return malformed.add(message.subject, FORBIDDEN_REPLY);
    const began = clock.monotonic();
    host.pending++;
    this.#underWay++;
    this.#handle(contract, message).then((result) => {
      stats.count(clock.monotonic() - began, result.error);
      if (reply !== undefined) this.#answer(reply, result);
      this.#underWay--;
      if (--host.pending === 0) host.idle();
    });
  }

  /** Resolves with the answer as JSON, or with the failure. Never rejects. */
  async #handle(contract: AnyContract, { data, headers }: TransportMessage): Promise<Result<string>> {
    const { host, observer, transport, send, keyed, carried } = this.#options;
    const due = host.wheel.now() + this.#options.timeLeft(contract);
    try {
      if (this.#underWay > MAX_UNDER_WAY) throw new CatgaError("OVERLOADED", TOO_MANY, { retryable: true });
      const payload = readPayload(contract, data);
      const options = readHeaders(contract, headers ?? {}, { keyed: keyed(contract), carried });
      const result = await send(forPlainClient(contract), payload, options);
      // validated, but not transformed: like a node, the client gets what the handler returned
      const checked = await this.#checked(contract, result, due);
      if (!checked.ok || result.value === undefined) return checked.ok ? { ok: true, value: "" } : checked;
      const text = toJson(result.value, "INVALID_RESPONSE", "the answer", contract.name);
      const limit = transport.maxPayload;
      if (!exceeds(text, limit)) return { ok: true, value: text };
      const size = `the answer of ${contract.name} is ${byteLength(text)} bytes; the server takes ${limit} at most`;
      throw new CatgaError("TOO_LARGE", size);
    } catch (error) {
      const known = isCatgaError(error);
      if (!known || error.code === "INVALID_RESPONSE" || error.code === "TOO_LARGE") {
        observer({ type: "fault", during: `the plain request ${contract.name}`, error });
      }
      if (known) return { ok: false, error };
      const where = `${contract.kind} ${contract.name} could not be sent by node ${host.node}`;
      return { ok: false, error: new CatgaError("HANDLER_FAILED", `${where}; the log of that node says why`) };
    }
  }

  /** Validates an answer by the contract's schema, within the deadline: the handler has run already. */
  #checked(contract: AnyContract, result: Result<unknown>, due: number): MaybePromise<Result<unknown>> {
    const checked = parseAnswer(contract, result);
    if (!(checked instanceof Promise)) return checked;
    const { host } = this.#options;
    const timeout = Math.max(0, due - host.wheel.now());
    const sent = { contract, timeout, signal: undefined, parent: undefined };
    return untilDeadline(host, sent, checked, (reason) => abandoned(contract, reason));
  }

  #answer(reply: string, { error, value }: Result<string>): void {
    if (error === undefined) return respond(this.#options, reply, value);
    const body = writeErrorAsJson(error, Math.max(0, this.#options.transport.maxPayload - MAX_HEADERS));
    respond(this.#options, reply, body, errorHeaders(error));
  }
}

/** Parses a body; an empty one is `undefined`. Throws `INVALID_MESSAGE`. */
function readPayload({ name }: AnyContract, data: Uint8Array): unknown {
  if (data.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(data));
  } catch {
    throw new CatgaError("INVALID_MESSAGE", `the body of a request for ${name} must be JSON in UTF-8, or empty`);
  }
}

/** Reads the send options and the message's headers from those of the request. Throws `INVALID_MESSAGE`. */
function readHeaders(
  { name, options: { key: keyOf } }: AnyContract,
  given: Readonly<Record<string, string>>,
  { keyed, carried }: { keyed: boolean; carried: readonly string[] },
): SendOptions {
  const headers: Record<string, string> = Object.create(null);
  let id: string | undefined;
  let key: string | undefined;
  for (const [header, value] of Object.entries(given)) {
    const known = header.toLowerCase();
    if (known === "nats-msg-id") id = value;
    else if (known === "catga-key") key = value;
    // some clients capitalize them
    else if (carried.includes(known)) headers[known] = value;
    else if (!known.startsWith("nats-")) headers[header] = value;
  }
  if (id !== undefined && (id === "" || id.length > MAX_ID)) {
    throw new CatgaError("INVALID_MESSAGE", `${name}: Nats-Msg-Id must be a text of 1 to ${MAX_ID} characters`);
  }
  if (key === undefined && keyOf === undefined && keyed) {
    throw new CatgaError("INVALID_MESSAGE", `${name} is routed by a key: send it in the header Catga-Key`);
  }
  return { headers, ...(id === undefined ? {} : { id }), ...(key === undefined ? {} : { key }) };
}

/** The contract for a request of a plain client: without an output schema, and with a key that rejects bad payloads. */
function forPlainClient(contract: AnyContract): AnyContract {
  const { key, output: _, ...options } = contract.options;
  if (key === undefined) return { ...contract, options };
  const keyOf = (payload: never): string => {
    try {
      return key(payload);
    } catch (cause) {
      const message = `the key of ${contract.name} cannot be made of this payload`;
      throw new CatgaError("INVALID_MESSAGE", message, { cause });
    }
  };
  return { ...contract, options: { ...options, key: keyOf } };
}

const decoder = new TextDecoder("utf-8", { fatal: true });
const MAX_UNDER_WAY = 65_536;
const TOO_MANY = `${MAX_UNDER_WAY} plain requests are under way already`;
const MAX_HEADERS = 4_096; // bytes: more than those of any error

/**
 * Requests of NATS clients without Catga, with JSON as payload and answer, on `catga.<namespace>.call.<Name>`. The
 * nodes that handle a contract share a queue group. The node that NATS picks sends the request as its own request, so
 * that keys, order, retries and ids work as they do between nodes; if this node's own handler gets it, the request
 * waits until fewer than the app's `concurrency` handlers run, like requests of other nodes.
 */
import type { ContextHost } from "../../dispatch/context_host.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { abandoned } from "../../dispatch/outcome.ts";
import { untilDeadline } from "../../dispatch/deadlined_wait.ts";
import { CatgaError, isCatgaError, statusOf } from "../../error.ts";
import { MAX_CODE, writeErrorAsJson } from "../../dispatch/error_encoding.ts";
import { unlessFits } from "../../data/message_room.ts";
import { toJson } from "../../data/encoding.ts";
import { parseAnswer, parsePayload } from "../../dispatch/message_schema.ts";
import { MAX_ID, type SendOptions, type StreamOptions } from "../../contract/calls/send_options.ts";
import type { Result } from "../../contract/calls/result.ts";
import { type MaybePromise, schemaThrew } from "../../contract/schemas/schema.ts";
import type { Subscription, Transport, TransportMessage } from "../../ports/transport.ts";
import type { EndpointOptions } from "../wire/endpoint.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { printable } from "../../data/printable.ts";

/** Name of the queue group in which all nodes subscribe: the default queue group of NATS services. */
export const QUEUE = "q";

/** A contract that plain NATS clients may call. */
export interface ServedContract {
  readonly contract: AnyContract;
  /** The contract without its output schema: the plain client gets the value that the handler returned. */
  readonly plain: AnyContract;
  readonly subject: string;
  readonly stats: CallStats;
}

/** Dependencies of {@link PlainCalls} on its node. */
export interface PlainCallsOptions extends Pick<EndpointOptions, "transport" | "namespace" | "observer" | "malformed"> {
  readonly served: readonly ServedContract[];
  /** The node; it counts these requests in `underWay`, so that a drain waits for them. */
  readonly host: Pick<ContextHost, "node" | "underWay" | "wheel">;
  /** Lower-case names of the headers that handlers pass on with the messages that they send. */
  readonly carried: readonly string[];
  /** Returns true if requests of a contract are routed by a key. */
  keyed(contract: AnyContract): boolean;
  /** Returns the timeout of a request of a contract, in ms. */
  timeLeft(contract: AnyContract): number;
  /**
   * Sends a request as this node. May throw, or reject with, any error that a user's routing strategy throws.
   * `refusedBy`: names of the shapes that have refused the payload.
   */
  send(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    refusedBy?: ReadonlySet<string>,
  ): Promise<Result<unknown>>;
  /**
   * Returns the name of this node's shape of a contract, if nodes with other versions handle the contract, too; else
   * `undefined`.
   */
  shapeBesideOthers(contract: AnyContract): string | undefined;
  /**
   * Reads a stream for a plain client: this node requests the stream from a node that handles it, and returns its
   * items.
   */
  stream(contract: AnyContract, payload: unknown, options: StreamOptions): AsyncIterable<unknown>;
  /**
   * Prefix of the reply subjects of stream items; the stream's number follows. If an item has no subscriber, the server
   * reports this on its reply subject (no responders).
   */
  readonly bounces: string;
}

/** Handles the requests of plain NATS clients that one node gets. */
export class PlainCalls {
  readonly #options: PlainCallsOptions;
  #subscriptions: Subscription[] = [];
  #underWay = 0;
  /** Controllers of the streams that are being sent to plain clients, by number; abort ends a stream. */
  readonly #streams: Map<number, AbortController> = new Map();
  #count = 0;
  /** Number of items that a stream had when it ended, by the result with which the stream ended. */
  readonly #ends: WeakMap<Result<string>, string> = new WeakMap();

  constructor(options: PlainCallsOptions) {
    this.#options = options;
  }

  /** Begins to accept requests of plain clients. */
  start(): void {
    const { transport, served } = this.#options;
    // one subscription for each contract: with a wildcard, NATS would also pick nodes that do not handle the contract
    this.#subscriptions = served.map((each) =>
      transport.subscribe(each.subject, { queue: QUEUE, optional: true }, (message) => this.#onMessage(each, message))
    );
  }

  /** Stops accepting requests of plain clients. Resolves when all delivered requests have begun. */
  async close(): Promise<void> {
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }

  #onMessage(served: ServedContract, message: TransportMessage): void {
    const { contract, stats } = served;
    if (message.noResponders) return;
    const { transport: { clock }, malformed, host } = this.#options;
    const { reply } = message;
    if (reply !== undefined && !mayAnswer(reply)) return malformed.add(message.subject, FORBIDDEN_REPLY);
    if (reply === undefined && isOfStream(message.headers)) return malformed.add(message.subject, OF_STREAM);
    const began = clock.monotonic();
    host.underWay.begin();
    this.#underWay++;
    const handled = contract.kind === "stream" ? this.#feed(served, message) : this.#handle(served, message);
    handled.then((result) => {
      stats.count(clock.monotonic() - began, result.error);
      if (reply !== undefined) this.#answer(reply, result);
      this.#underWay--;
      host.underWay.end();
    });
  }

  /** Handles a request. Resolves with the answer as JSON, or with a failure. Never rejects. */
  async #handle({ contract, plain }: ServedContract, { data, headers }: TransportMessage): Promise<Result<string>> {
    const { host, send, keyed, carried } = this.#options;
    const due = host.wheel.now() + this.#options.timeLeft(contract);
    try {
      if (this.#underWay > MAX_UNDER_WAY) throw new CatgaError("OVERLOADED", TOO_MANY, { retryable: true });
      const payload = readPayload(contract, data);
      const options = readHeaders(contract, headers ?? {}, { keyed: keyed(contract), carried });
      const own = this.#options.shapeBesideOthers(contract);
      if (own !== undefined && await this.#refuses(contract, payload, due)) {
        const result = await send(ofAnyVersion(plain), payload, options, new Set([own]));
        return result.ok ? this.#asText(contract, result.value) : result;
      }
      const result = await send(plain, payload, options);
      // the result is validated but not transformed: the plain client gets the value that the handler returned, as a
      // sender on another node does
      const checked = await this.#checked(contract, result, due);
      // an error of the schema itself is thrown, so that it is reported
      if (!checked.ok && schemaThrew(checked.error)) throw checked.error;
      return checked.ok ? this.#asText(contract, result.value) : checked;
    } catch (error) {
      return { ok: false, error: this.#known(contract, error) };
    }
  }

  /** Encodes an answer as JSON. Throws `INVALID_RESPONSE` if that is impossible, `TOO_LARGE` if it is too large. */
  #asText({ name }: AnyContract, value: unknown): Result<string> {
    if (value === undefined) return { ok: true, value: "" };
    const text = toJson(value, "INVALID_RESPONSE", "the answer", name);
    const error = unlessFits(`the answer of ${name}`, text, this.#options.transport.maxPayload, "return");
    if (error !== undefined) throw error;
    return { ok: true, value: text };
  }

  /**
   * Resolves with true if this node's schema refuses a payload; with false if the schema throws, or does not end in
   * time.
   */
  async #refuses(contract: AnyContract, payload: unknown, due: number): Promise<boolean> {
    const parsed = parsePayload(contract, payload);
    const { error } = parsed instanceof Promise ? await this.#inTime(contract, parsed, due) : parsed;
    return error?.code === "INVALID_MESSAGE" && !schemaThrew(error);
  }

  /**
   * Ends the stream with this number, because its client has unsubscribed. Called when items of the stream have
   * bounced.
   */
  unread(stream: number): void {
    this.#streams.get(stream)?.abort();
  }

  /** Publishes the items of a stream to its client. Resolves with the end of the stream. Never rejects. */
  async #feed({ contract, plain }: ServedContract, message: TransportMessage): Promise<Result<string>> {
    const { data, headers, reply } = message;
    const { host, transport, bounces, stream, keyed, carried } = this.#options;
    const number = ++this.#count;
    const gone = new AbortController();
    this.#streams.set(number, gone);
    let count = 0;
    const ended = (result: Result<string>): Result<string> => {
      this.#streams.delete(number);
      this.#ends.set(result, String(count));
      return result;
    };
    try {
      if (this.#underWay > MAX_UNDER_WAY) throw new CatgaError("OVERLOADED", TOO_MANY, { retryable: true });
      if (reply === undefined) throw new CatgaError("INVALID_MESSAGE", `stream ${contract.name} needs a reply subject`);
      if (reply.startsWith(IMPORTED) && !mayStream(headers)) throw new CatgaError("INVALID_MESSAGE", ONE_ANSWER);
      const payload = readPayload(contract, data);
      const { id: _, ...options } = readHeaders(contract, headers ?? {}, { keyed: keyed(contract), carried });
      const due = host.wheel.now() + this.#options.timeLeft(contract);
      const isForOthers = this.#options.shapeBesideOthers(contract) !== undefined &&
        await this.#refuses(contract, payload, due);
      const asked = isForOthers ? ofAnyVersion(plain) : plain;
      for await (const item of stream(asked, payload, { ...options, signal: gone.signal })) {
        const text = item === undefined ? "" : toJson(item, "INVALID_RESPONSE", "an item", contract.name);
        const error = unlessFits(`an item of ${contract.name}`, text, transport.maxPayload, "send");
        if (error !== undefined) throw error;
        transport.publish(reply, text, { reply: bounces + number });
        // plain clients have no flow control: wait until the server has read the items sent so far
        if (++count % FLUSH_EVERY === 0) await transport.flush();
      }
      return ended({ ok: true, value: "" });
    } catch (thrown) {
      return ended({ ok: false, error: this.#known(contract, thrown) });
    }
  }

  /** Returns the error for the client. An error that is not Catga's own is logged, and replaced by `HANDLER_FAILED`. */
  #known({ kind, name }: AnyContract, error: unknown): CatgaError {
    const { host, observer } = this.#options;
    const known = isCatgaError(error);
    if (!known || error.code === "INVALID_RESPONSE" || error.code === "TOO_LARGE" || schemaThrew(error)) {
      observer({ type: "fault", during: `the plain request ${name}`, error });
    }
    if (known) return error;
    const where = `${kind} ${name} could not be sent by node ${host.node}`;
    return new CatgaError("HANDLER_FAILED", `${where}; the log of that node says why`);
  }

  /** Validates an answer by the contract's output schema, until the deadline. (The handler has run already.) */
  #checked(contract: AnyContract, result: Result<unknown>, due: number): MaybePromise<Result<unknown>> {
    const checked = parseAnswer(contract, result);
    return checked instanceof Promise ? this.#inTime(contract, checked, due) : checked;
  }

  #inTime(contract: AnyContract, parsing: Promise<Result<unknown>>, due: number): MaybePromise<Result<unknown>> {
    const { host } = this.#options;
    const timeout = Math.max(0, due - host.wheel.now());
    const sent = { contract, timeout, signal: undefined, parent: undefined };
    return untilDeadline(host, sent, parsing, (reason) => abandoned(contract, reason));
  }

  #answer(reply: string, result: Result<string>): void {
    const { error, value } = result;
    const count = this.#ends.get(result);
    const end = count === undefined ? undefined : { "Catga-End": count };
    if (error === undefined) return respond(this.#options, reply, value, end);
    const body = writeErrorAsJson(error, Math.max(0, this.#options.transport.maxPayload - MAX_HEADERS));
    respond(this.#options, reply, body, { ...errorHeaders(error), ...end });
  }
}

/**
 * Returns a copy of the contract without the schemas of its input and its items. It is used when the schema of this
 * node has refused a request, which is then sent to a node with another version of the contract: this node must
 * refuse neither the request nor the items of the answer by its own version.
 */
function ofAnyVersion(plain: AnyContract): AnyContract {
  const { input: _, items: __, ...options } = plain.options;
  return { ...plain, options };
}

/** Parses the body of a request as JSON; an empty body is `undefined`. Throws `INVALID_MESSAGE`. */
function readPayload({ name }: AnyContract, data: Uint8Array): unknown {
  if (data.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(data));
  } catch {
    throw new CatgaError("INVALID_MESSAGE", `the body of a request for ${name} must be JSON in UTF-8, or empty`);
  }
}

/** Parses the send options, and the message's headers, from the headers of a request. Throws `INVALID_MESSAGE`. */
function readHeaders(
  { name, options }: AnyContract,
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
    else if (known === RESPONSE) continue;
    // names of headers are compared in lower case, because some clients capitalize them
    else if (carried.includes(known)) headers[known] = value;
    else if (!known.startsWith("nats-")) headers[header] = value;
  }
  if (id !== undefined && (id === "" || id.length > MAX_ID)) {
    throw new CatgaError("INVALID_MESSAGE", `${name}: Nats-Msg-Id must be a text of 1 to ${MAX_ID} characters`);
  }
  if (key === undefined && options.key === undefined && keyed) {
    throw new CatgaError("INVALID_MESSAGE", `${name} is routed by a key: send it in the header Catga-Key`);
  }
  return { headers, ...(id === undefined ? {} : { id }), ...(key === undefined ? {} : { key }) };
}

/**
 * Returns true if JetStream has sent a message: a message that a stream republishes, or the heartbeat of a consumer.
 */
function isOfStream(headers: Readonly<Record<string, string>> | undefined): boolean {
  return headers !== undefined && ("Nats-Stream" in headers || "Nats-Last-Stream" in headers);
}

/** Returns the contract for a request of a plain client: without its output schema. */
export function forPlainClient(contract: AnyContract): AnyContract {
  const { output: _, items: __, ...options } = contract.options;
  return { ...contract, options };
}

/** Returns true if the client says that its import passes on any number of answers. */
function mayStream(headers: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(headers).some(([name, value]) => name.toLowerCase() === RESPONSE && value === "stream");
}

const decoder = new TextDecoder("utf-8", { fatal: true });
/**
 * Beginning of the reply subjects of requests that come over an account's import of a service. The subject does not say
 * how many answers the import passes on; by default it is one, and nats-server drops the others (2.15).
 */
const IMPORTED = "_R_.";
/** Name of the header, in lower case, with which a client says that its import passes on any number of answers. */
const RESPONSE = "catga-response";
const ONE_ANSWER =
  "the request came over an account's import of a service, which passes on one answer, unless its export " +
  "has `response_type: stream`: if it has, send the header Catga-Response: stream";
const MAX_UNDER_WAY = 65_536;
const FLUSH_EVERY = 256; // items of a stream
const OF_STREAM = "a stream or a consumer of JetStream sent it, no client";
const TOO_MANY = `${MAX_UNDER_WAY} plain requests are under way already`;
const MAX_HEADERS = 4_096; // bytes: more than the headers of any error

/**
 * Returns true if an answer may be sent to this reply subject. The client has chosen the subject, and this node has
 * more permissions than the client: so an answer must not become a frame, an event, a record in a bucket, or a call of
 * a NATS API.
 */
export function mayAnswer(reply: string): boolean {
  return /^[^\s.*>]+(?:\.[^\s.*>]+)*$/.test(reply) && !/^(?:\$|catga(?:\.|$))/i.test(reply);
}

/** Reason that is logged for an answer that is not sent. */
export const FORBIDDEN_REPLY = "its reply subject is invalid, or belongs to NATS or Catga: no answer is sent there";

/** Publishes an answer to a plain client. Does not throw: a failure is reported to the observer. */
export function respond(
  { transport, observer }: { transport: Transport; observer: Observer },
  reply: string,
  text: string,
  headers?: Readonly<Record<string, string>>,
): void {
  try {
    transport.publish(reply, text, headers === undefined ? {} : { headers });
  } catch (error) {
    observer({ type: "fault", during: "answering a plain request", error });
  }
}

/** Returns the headers that describe an error. Long texts are cut, because the answer's body has them in full. */
export function errorHeaders(error: CatgaError): Record<string, string> {
  return {
    "Nats-Service-Error": line(error.message, MAX_MESSAGE) || error.name,
    "Nats-Service-Error-Code": String(statusOf(error)),
    "Catga-Error-Code": line(error.code, MAX_CODE),
  };
}

/** Returns a text as one line of at most `length` characters that is safe in a header and on a terminal. */
function line(text: string, length: number): string {
  // deno-lint-ignore no-control-regex
  const line = text.slice(0, length).replace(/[\x00-\x1f\x7f]+/g, " ");
  return printable(line).slice(0, length).trim();
}

const MAX_MESSAGE = 512;

/**
 * Counts the requests of plain NATS clients for one contract, as `$SRV.STATS` reports them.
 * @decides the counters of `$SRV.STATS`, which `nats micro stats` shows: requests, errors, the last error
 */
export class CallStats {
  #requests = 0;
  #errors = 0;
  #ms = 0;
  #lastError = "";

  /**
   * Counts a request that was answered after `ms` milliseconds. `error`: the error of the answer; `undefined`: the
   * request succeeded.
   */
  count(ms: number, error: CatgaError | undefined): void {
    this.#requests++;
    this.#ms += ms;
    if (error === undefined) return;
    this.#errors++;
    // the text of the error is left out, because users other than the caller may read the statistics
    this.#lastError = printable(`${statusOf(error)}:${error.code}`);
  }

  /** The counts under the names of NATS's service protocol. Times are in ns. */
  get counts(): Readonly<Record<string, number | string>> {
    const time = Math.round(this.#ms * 1e6);
    return {
      num_requests: this.#requests,
      num_errors: this.#errors,
      last_error: this.#lastError,
      processing_time: time,
      average_processing_time: this.#requests === 0 ? 0 : Math.round(time / this.#requests),
    };
  }
}

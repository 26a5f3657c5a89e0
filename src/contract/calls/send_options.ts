/**
 * The options of one send, publish or broadcast, and their check (`defaults.ts` has the defaults); and the headers that
 * a handler's sends inherit.
 */
import type { Route } from "../nodes/node_info.ts";
import { type AnyContract, checkRoute, checkTimes } from "../declaration/contract.ts";
import {
  checkKnown,
  checkNumber,
  checkSignal,
  checkString,
  checkStrings,
  checkToken,
  isRecord,
  MAX_TIMEOUT,
  show,
} from "../../data/checks.ts";

/** Options of one `send` of a command or a query. */
export interface SendOptions {
  /**
   * The message id, 1 to 256 characters, which the handler gets as `ctx.id`. All sends of an idempotent command with
   * this id get one result. Default: a generated id.
   */
  id?: string | undefined;
  /**
   * For a command that is sent again with its former `id`: the time at which it was first sent. For a command of an
   * entity Catga searches the entity's events since then for the effects of the first send (default: two minutes ago).
   * An idempotent command does not run on nodes whose version of it is not idempotent (default: it is a first send).
   */
  firstSent?: Date | undefined;
  /**
   * The routing key. For a command of an entity, only the key that the contract's `key` makes is allowed
   * (`INVALID_MESSAGE` otherwise). Default: the key that the contract's `key` makes of the payload.
   */
  key?: string | undefined;
  /** The id of the only node that may handle the message, in every attempt. Default: any node. */
  node?: string | undefined;
  /** The routing strategy, which chooses the node. Default: the contract's `route`, else the `route` of `catga()`. */
  route?: Route | undefined;
  /**
   * Timeout of the send, in ms, retries included: 1 to 2^31 - 1. Default: the contract's `timeout`, else the `timeout`
   * of `catga()`.
   */
  timeout?: number | undefined;
  /**
   * Number of further attempts after the first: 0 to 1,000. Default: the contract's `retries`, else the `retries` of
   * `catga()`.
   */
  retries?: number | undefined;
  /**
   * Aborting this signal ends the send: the send fails with `CANCELLED`, and the handler's `ctx.signal` aborts.
   * Default: none.
   */
  signal?: AbortSignal | undefined;
  /** Headers that are sent with the message; the handler gets them as `ctx.headers`. Default: none. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * The arguments of a sending method after the contract: payload and options; a payload that may be `undefined` (or
 * `void`) may be left out.
 */
export type SendArgs<In, Options = SendOptions> = undefined extends In ? [payload?: NoInfer<In>, options?: Options]
  : [payload: NoInfer<In>, options?: Options];

/** Options of one `publish` of an event that is not durable. */
export type PublishOptions = Pick<SendOptions, "id" | "headers" | "signal">;

/** Options of one `app.stream`. `timeout` limits the time of the whole stream; it has no default. */
export interface StreamOptions extends Omit<SendOptions, "id" | "firstSent"> {
  /**
   * Maximum time that the reader waits for an item, in ms: 1 to 2^31 - 1; then the stream fails with `TIMEOUT`.
   * Default: the contract's `idle`, else 30,000.
   */
  idle?: number | undefined;
}

/** Options of one `broadcast`. Every node gets exactly one attempt, so there is neither a route nor a retry. */
export type BroadcastOptions = Omit<SendOptions, "route" | "retries" | "firstSent">;

/**
 * Throws if the options of a send, a publish or a broadcast are invalid. `method`, `name`: the method and the contract,
 * for the error.
 */
export function checkSendOptions(method: string, name: string, options: SendOptions): void {
  const at = `${method} ${name}`;
  const known = OPTIONS_OF[method] ?? SEND_OPTIONS;
  const later = method === "publish" && isRecord(options) &&
    SCHEDULE_OPTIONS.find((option) => Object.hasOwn(options, option));
  if (later) throw new TypeError(`${at}: ${later} is of a durable event: give ${name} durable: true, too`);
  checkKnown(at, options, known, method === "send" ? NOT_OF_SEND : undefined);
  checkSending(at, options);
}

/** Throws a `TypeError` or `RangeError` for invalid options of one `app.stream`. */
export function checkStreamOptions({ name }: AnyContract, options: StreamOptions): void {
  checkKnown(`stream ${name}`, options, STREAM_OPTIONS);
  const { idle, ...sending } = options;
  if (idle !== undefined) checkNumber(`stream ${name}: idle`, idle, 1, MAX_TIMEOUT, "ms");
  checkSendOptions("stream", name, sending);
}

/** Throws if an option that sends of all kinds share is invalid. `at`: text at the beginning of the error. */
export function checkSending(at: string, options: SendOptions): void {
  const { id, key, node, route, signal, headers, firstSent } = options;
  if (id !== undefined) checkId(at, id);
  if (firstSent !== undefined) checkFirstSent(at, firstSent, id);
  if (key !== undefined) checkString(`${at}: key`, key);
  if (node !== undefined) checkToken(`${at}: node`, node);
  if (route !== undefined) checkRoute(`${at}: route`, route);
  checkTimes(`${at}: `, options);
  checkSignal(at, signal);
  if (headers !== undefined) checkStrings(`${at}: headers`, headers);
}

function checkFirstSent(at: string, firstSent: Date, id: string | undefined): void {
  if (!(firstSent instanceof Date) || Number.isNaN(firstSent.getTime())) {
    throw new TypeError(`${at}: firstSent must be a valid Date; got ${show(firstSent)}`);
  }
  if (id === undefined) throw new TypeError(`${at}: firstSent is of a command that is sent again: give its id, too`);
}

/** Throws unless `id` is a valid message id. `at`: text at the beginning of the error. */
export function checkId(at: string, id: string): void {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID) return;
  throw new TypeError(`${at}: id must be a string of 1 to ${MAX_ID} characters; got ${show(id)}`);
}

/** Maximum length of a message id, in characters. */
export const MAX_ID = 256;

const STREAM_OPTIONS = new Set(["key", "node", "route", "timeout", "retries", "signal", "headers", "idle"]);
const SEND_OPTIONS = new Set(["id", "firstSent", "key", "node", "route", "timeout", "retries", "signal", "headers"]);

/** Names of options that only methods that store messages take. */
const SCHEDULE_OPTIONS = ["delay", "at"];
const NOT_OF_SEND = new Map(
  [...SCHEDULE_OPTIONS, "cron", "zone"].map((
    name,
  ) => [name, "is of enqueue, which stores a durable command for later"]),
);

const OPTIONS_OF: Readonly<Record<string, ReadonlySet<string>>> = {
  sendAll: new Set([...SEND_OPTIONS, "concurrency"]),
  publish: new Set(["id", "headers", "signal"]),
  stream: new Set(["key", "node", "route", "timeout", "retries", "signal", "headers"]),
  broadcast: new Set(["id", "key", "node", "timeout", "signal", "headers"]),
};

/** Names of the headers that carry a trace: W3C Trace Context and Baggage. */
export const TRACE_HEADERS: readonly string[] = Object.freeze(["traceparent", "tracestate", "baggage"]);

/**
 * Name of the header with the caller of a message, encoded like a payload. Messages that a handler sends inherit it.
 * Clients that may send requests to nodes over NATS can name any caller.
 */
export const CALLER_HEADER = "catga-caller";

/**
 * Names of the headers that messages sent by a handler inherit even without the option `carry`.
 * @decides the headers that always go on to what a handler sends; the request builder of a node joins those of
 * `carry`
 */
export const INHERITED_HEADERS: readonly string[] = Object.freeze([...TRACE_HEADERS, CALLER_HEADER]);

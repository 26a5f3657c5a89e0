/**
 * The options of one send, publish or broadcast, and their check (`defaults.ts` has the defaults); the names of
 * subscriptions, and of the internal contracts of each, in the records of nodes; and the headers that sends inherit.
 */
import { DEFAULT_RETRY } from "./defaults.ts";
import type { Route } from "./node_info.ts";
import { type AnyContract, checkRoute, checkTimes, isContractName, isInternalName } from "./contract.ts";
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
} from "../data/checks.ts";

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
  checkKnown(at, options, known);
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

const OPTIONS_OF: Readonly<Record<string, ReadonlySet<string>>> = {
  sendAll: new Set([...SEND_OPTIONS, "concurrency"]),
  publish: new Set(["id", "headers", "signal"]),
  stream: new Set(["key", "node", "route", "timeout", "retries", "signal", "headers"]),
  broadcast: new Set(["id", "key", "node", "timeout", "signal", "headers"]),
};

// Entries of `NodeInfo.subscriptions`, with which a node tells other nodes which messages of the log it handles:
// `<subscription>/<event>`, and `@/<command>` for queued commands; and the names of the internal contracts (between a
// subscription's leader and its nodes) that the node with such an entry handles.

/**
 * Takes the place of the service in the keys of subscriptions to queued commands: each command has one subscription,
 * named after its contract and shared by all services.
 */
export const COMMANDS = "@";

/**
 * Suffix of the name of a subscription to events of entities, after the name that the program gave. These events are in
 * a stream of their own, in which the subscription has its own position and leader.
 */
export const OF_ENTITIES = ":entities";

/**
 * Text in the `details` of a failure. It says that a message of the log was not run, so that this attempt is not
 * counted. If the message was part of a batch, it is then given to a handler alone; if it was alone, it goes to another
 * node.
 */
export const ALONE = "~alone";

/**
 * Text in the `details` of a failure of a workflow's internal handler. It says that no running version of the workflow
 * accepts this message of the log, which waits for another version.
 */
export const AWAITS_VERSION = "~awaits version";

/**
 * Returns the name by which nodes know the subscription of a handler of this contract. `name`: the name that the
 * program gave the subscription.
 */
export function subscriptionName({ options: { entity } }: AnyContract, name: string): string {
  return entity === undefined ? name : name + OF_ENTITIES;
}

/** How messages of the log are tried again after a failure. */
export interface Retry {
  /** Maximum number of attempts of a message, the first included. */
  readonly attempts: number;
  /** The first and the longest pause between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
}

/**
 * Combines the retry settings of two handlers that both run for each message of one subscription and contract: the
 * greater number of attempts, and the longer pauses.
 */
export function morePatient(one: Retry, other: Retry): Retry {
  return {
    attempts: Math.max(one.attempts, other.attempts),
    delay: one.delay[1] >= other.delay[1] ? one.delay : other.delay,
  };
}

/**
 * Makes the entry of `NodeInfo.subscriptions` for a contract whose stored messages a node handles:
 * `<subscription>/<contract>`, or `@/<contract>` for a queued command. `category`: the contract's name. Retry settings
 * other than the defaults follow another slash: `<attempts>,<first pause>,<longest pause>`.
 */
export function announcement(service: string, name: string, category: string, retry: Retry = DEFAULT_RETRY): string {
  const { attempts, delay: [first, longest] } = retry;
  const usual = attempts === DEFAULT_RETRY.attempts && first === DEFAULT_RETRY.delay[0] &&
    longest === DEFAULT_RETRY.delay[1];
  const text = service === COMMANDS ? `${COMMANDS}/${category}` : `${name}/${category}`;
  return usual ? text : `${text}/${attempts},${Math.ceil(first)},${Math.ceil(longest)}`;
}

/** Returns true if the text is a valid entry of `subscriptions` in a node's record. */
export function isAnnounced(text: string): boolean {
  const [subscription, category = "", retry, more] = text.split("/");
  return (subscription === COMMANDS || isToken(subscription)) && isContractName(category) && more === undefined &&
    (retry === undefined || readRetry(retry) !== undefined);
}

/**
 * Reads an entry of `NodeInfo.subscriptions` that {@link isAnnounced} accepts: returns the subscription and its retry
 * settings. `service`: the service of the node that has the entry.
 */
export function readAnnouncement(
  service: string,
  text: string,
): { readonly service: string; readonly name: string; readonly category: string; readonly retry: Retry } {
  const [name, category, given] = text.split("/");
  const retry = (given === undefined ? undefined : readRetry(given)) ?? DEFAULT_RETRY;
  return name === COMMANDS
    ? { service: COMMANDS, name: category, category, retry }
    : { service, name, category, retry };
}

function readRetry(text: string): Retry | undefined {
  const [, attempts, first, longest] = (/^([1-9]\d{0,8}),(\d{1,10}),(\d{1,10})$/.exec(text) ?? []).map(Number);
  return attempts === undefined || first > longest ? undefined : { attempts, delay: [first, longest] };
}

/**
 * Returns the names of the internal contracts (between a subscription's leader and its nodes) that a node of a service
 * handles if its record has the entry `text`.
 */
export function internalNames(service: string, text: string): readonly string[] {
  const { service: owner, name, category } = readAnnouncement(service, text);
  return [runName(owner, name, category), controlName(owner, name)];
}

/**
 * Returns the name of the internal contract with which the leader of the subscription `name` sends stored messages to
 * the nodes that handle them. `category`: the name of the messages' own contract.
 */
export function runName(service: string, name: string, category: string): string {
  return `@${service}/${name}/${category}`;
}

/**
 * Returns the name of the internal contract with which a subscription's leader asks each node of the subscription to
 * refuse messages of earlier leaders (a barrier).
 */
export function controlName(service: string, name: string): string {
  return `@${service}/${name}`;
}

/** Returns true if a text is the name of an internal contract between a subscription's leader and its nodes. */
export function isInternalContract(text: string): boolean {
  if (!isInternalName(text)) return false;
  const [service, name, category, ...more] = text.slice(1).split("/");
  return (service === COMMANDS || isToken(service)) && name !== undefined && (isContractName(name) || isToken(name)) &&
    (category === undefined || isContractName(category)) && more.length === 0;
}

/** Returns true if a text is a valid name of a subscription: one token. */
function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN + OF_ENTITIES.length && /^[\w-]{1,256}(:entities)?$/.test(text);
}

const MAX_TOKEN = 256;

/** Names of the headers that carry a trace: W3C Trace Context and Baggage. */
export const TRACE_HEADERS: readonly string[] = Object.freeze(["traceparent", "tracestate", "baggage"]);

/**
 * Name of the header with the caller of a message, encoded like a payload. Messages that a handler sends inherit it.
 * Clients that may send requests to nodes over NATS can name any caller.
 */
export const CALLER_HEADER = "catga-caller";

/** Names of the headers that messages sent by a handler inherit even without the option `carry`. */
export const INHERITED_HEADERS: readonly string[] = Object.freeze([...TRACE_HEADERS, CALLER_HEADER]);

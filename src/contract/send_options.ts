/** The options of one send, publish or broadcast, and their check. `defaults.ts` has the defaults. */
import { DEFAULT_RETRY } from "./defaults.ts";
import type { Route } from "./node_info.ts";
import { CALLER_HEADER } from "./program_types.ts";
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

/** Options of one `send`. */
export interface SendOptions {
  /**
   * The message id, 1 to 256 characters, which the handler gets as `ctx.id`. All sends of an idempotent command with
   * this id get one result. Default: a generated id.
   */
  id?: string | undefined;
  /**
   * For a command of an entity that is sent again with its `id`: the time of the first send. The entity's events since
   * then are searched for the command. Default: two minutes ago.
   */
  firstSent?: Date | undefined;
  /**
   * The routing key. For a command of an entity a key other than the contract's is `INVALID_MESSAGE`. Default: the key
   * that the contract's `key` makes of the payload.
   */
  key?: string | undefined;
  /** The id of the only node that may handle the message, in every attempt. Default: any node. */
  node?: string | undefined;
  /** The strategy that chooses a node. Default: the contract's `route`, else the app's. */
  route?: Route | undefined;
  /** Timeout of the send, retries included, in ms: 1 to 2^31 - 1. Default: the contract's `timeout`, else the app's. */
  timeout?: number | undefined;
  /** Number of further attempts after the first: 0 to 1,000. Default: the contract's `retries`, else the app's. */
  retries?: number | undefined;
  /**
   * Ends the send when it aborts: the send fails with `CANCELLED`, and the handler's `ctx.signal` aborts. Default:
   * none.
   */
  signal?: AbortSignal | undefined;
  /** Headers that are sent with the message; the handler gets them as `ctx.headers`. Default: none. */
  headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * The arguments after the contract: payload and options; a payload that may be `undefined` (or `void`) may be left out.
 */
export type SendArgs<In, Options = SendOptions> = undefined extends In ? [payload?: NoInfer<In>, options?: Options]
  : [payload: NoInfer<In>, options?: Options];

/** Options of one `publish`. */
export type PublishOptions = Pick<SendOptions, "id" | "headers" | "signal">;

/** Options of one `app.stream`. `timeout` limits the whole stream. Default of `timeout`: none. */
export interface StreamOptions extends Omit<SendOptions, "id" | "firstSent"> {
  /**
   * Time to wait for an item, in ms: 1 to 2^31 - 1; then the stream fails with `TIMEOUT`. Default: the contract's
   * `idle`, else 30,000.
   */
  idle?: number | undefined;
}

/** Options of one `broadcast`. Every node gets one attempt, so there is no route, and no retry. */
export type BroadcastOptions = Omit<SendOptions, "route" | "retries" | "firstSent">;

/** Throws if the options of a send, a publish or a broadcast are invalid. */
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

/** Throws if the options that sends of all kinds have in common are invalid. */
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

/** Throws if the value is not a message id. */
export function checkId(at: string, id: string): void {
  if (typeof id === "string" && id !== "" && id.length <= MAX_ID) return;
  throw new TypeError(`${at}: id must be a string of 1 to ${MAX_ID} characters; got ${show(id)}`);
}

/** Maximum length of a message id, in characters. */
export const MAX_ID = 256;

const STREAM_OPTIONS = new Set(["key", "node", "route", "timeout", "retries", "signal", "headers", "idle"]);
const SEND_OPTIONS = new Set(["id", "firstSent", "key", "node", "route", "timeout", "retries", "signal", "headers"]);

/** Names of options that only stored messages take. */
const SCHEDULE_OPTIONS = ["delay", "at"];

const OPTIONS_OF: Readonly<Record<string, ReadonlySet<string>>> = {
  sendAll: new Set([...SEND_OPTIONS, "concurrency"]),
  publish: new Set(["id", "headers", "signal"]),
  stream: new Set(["key", "node", "route", "timeout", "retries", "signal", "headers"]),
  broadcast: new Set(["id", "key", "node", "timeout", "signal", "headers"]),
};

// The entries of `NodeInfo.subscriptions`, which list a node's handlers of messages of the log:
// `<subscription>/<event>`, and `@/<command>` for queued commands; and the names of the internal contracts that follow
// from an entry.

/**
 * Stands for the service in keys of subscriptions to queued commands: each command has one, named after its contract
 * and shared by all services.
 */
export const COMMANDS = "@";

/**
 * Suffix of the name of a subscription to events of entities, behind the name that the program gave. These events are
 * in a stream of their own, in which the subscription has its own position and leader.
 */
export const OF_ENTITIES = ":entities";

/**
 * Details of the failure of a message of the log that was not run, so that no attempt counts: a member of a batch is
 * then handed out alone, and a message that was handed out alone goes to another node.
 */
export const ALONE = "~alone";

/**
 * Details of the failure of a message of the log that no running version of its handler accepts: it waits for another
 * version. The internal handlers of workflows fail with these details.
 */
export const AWAITS_VERSION = "~awaits version";

/**
 * The name by which nodes know the subscription of a handler of this contract. `name`: the name that the program gave.
 */
export function subscriptionName({ options: { entity } }: AnyContract, name: string): string {
  return entity === undefined ? name : name + OF_ENTITIES;
}

/** Retry settings of a message of the log. */
export interface Retry {
  /** Maximum number of attempts of a message. */
  readonly attempts: number;
  /** The first and the longest pause between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
}

/**
 * Returns the more patient settings of two handlers of one subscription and contract, which both run for each message.
 */
export function morePatient(one: Retry, other: Retry): Retry {
  return {
    attempts: Math.max(one.attempts, other.attempts),
    delay: one.delay[1] >= other.delay[1] ? one.delay : other.delay,
  };
}

/**
 * Makes the entry of `NodeInfo.subscriptions` for a category that a node handles: `<subscription>/<contract>`, or
 * `@/<contract>` for a queued command. Retry settings other than the defaults follow another slash:
 * `<attempts>,<first pause>,<longest pause>`.
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
 * settings. `service`: of the node with the entry.
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

/** The internal contracts that a node of a service handles because of this entry of its record. */
export function internalNames(service: string, text: string): readonly string[] {
  const { service: owner, name, category } = readAnnouncement(service, text);
  return [runName(owner, name, category), controlName(owner, name)];
}

/** The name of the internal contract with which a subscription's leader sends an event of a category to a node. */
export function runName(service: string, name: string, category: string): string {
  return `@${service}/${name}/${category}`;
}

/**
 * The name of the internal contract with which a subscription's leader sends control requests to its nodes: barriers.
 */
export function controlName(service: string, name: string): string {
  return `@${service}/${name}`;
}

/** Returns true if a text is a {@link runName} or {@link controlName}. */
export function isInternalContract(text: string): boolean {
  if (!isInternalName(text)) return false;
  const [service, name, category, ...more] = text.slice(1).split("/");
  return (service === COMMANDS || isToken(service)) && name !== undefined && (isContractName(name) || isToken(name)) &&
    (category === undefined || isContractName(category)) && more.length === 0;
}

/** Returns true if a text is a valid name of a subscription. */
function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN + OF_ENTITIES.length && /^[\w-]{1,256}(:entities)?$/.test(text);
}

const MAX_TOKEN = 256;

/** The headers that carry a trace: W3C Trace Context and Baggage. */
export const TRACE_HEADERS: readonly string[] = Object.freeze(["traceparent", "tracestate", "baggage"]);

/** The headers that messages sent by a handler inherit even without the option `carry`. */
export const INHERITED_HEADERS: readonly string[] = Object.freeze([...TRACE_HEADERS, CALLER_HEADER]);

/**
 * The options of contracts: which options each kind takes, and the check of all of them. `defaults.ts` has the
 * defaults.
 */
import { checkRoute, checkTimes, type ContractOptions, type Kind } from "./contract.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  checkObject,
  freezePlain,
  isPlain,
  LONGEST_TTL,
  MAX_TIMEOUT,
  show,
  TEN_YEARS,
} from "../../data/checks.ts";
import type { AnyCode } from "../../error.ts";
import type { Route } from "../nodes/node_info.ts";
import type { ContractMeta } from "./program_types.ts";
import { frozenPaths, type RedactedPath } from "./redaction.ts";
import { checkSchema, type Schema } from "../schemas/schema.ts";

/** Options of {@link event}. `In`: the type that a sender gives; `Payload`: the type that the handler gets. */
export type EventOptions<In, Payload = In> = DurableEventOptions<In, Payload> | TransientEventOptions<In, Payload>;

/** Options of an event that is durable (stored until it is handled). */
export interface DurableEventOptions<In, Payload = In> {
  /** Checks the payload where it is sent and parses it where it is handled (`INVALID_MESSAGE`). Default: none. */
  input?: Schema<In, Payload> | undefined;
  /**
   * True or `{ keep }` ({@link Durable}): the event is stored in the log until every subscription has handled it, at
   * most for `keep` ms; `publish` returns ok once the event is stored.
   */
  durable: Durable;
  /**
   * Makes the key of a payload: in each subscription, messages of one key are handled one at a time, in the order in
   * which they were stored. Default: none.
   */
  key?: ((payload: NoInfer<In>) => string) | undefined;
  /**
   * Paths of members that tools hide (the command line, the dashboard, listings of dead letters): up to 32 paths, each
   * of up to 256 characters. The paths are stored with each message. Default: none.
   */
  redact?: readonly RedactedPath<NoInfer<In>>[] | undefined;
  /**
   * Metadata of the contract, for the program's behaviors and its HTTP edge: a plain object, which is frozen. Default:
   * none.
   */
  meta?: ContractMeta | undefined;
  /**
   * Version of the schemas: a positive integer. Raise it for changes that the JSON Schemas do not show, such as a
   * refinement, a transform or a coercion: two nodes with different versions then know that one may accept messages
   * that the other refuses. Default: none.
   */
  version?: number | undefined;
}

/** Options of an event that is not durable, and therefore has no key. */
export interface TransientEventOptions<In, Payload = In>
  extends Pick<DurableEventOptions<In, Payload>, "input" | "redact" | "meta" | "version"> {
  /** Must be false or absent, because this event is not durable. */
  durable?: false | undefined;
  /** Must be absent, because only a durable event has a key. */
  key?: undefined;
}

/** `keep`: how long a message stays in the log, in ms: 120,000 to 36,500 days, or `Infinity`. Default: 7 days. */
export type Durable = true | { keep?: number | undefined };

/**
 * Options of {@link query}. `Returned`: the type that the handler returns; `Out`: the type that the sender gets; `F`:
 * the codes that the handler may fail with.
 */
export type QueryOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> =
  & RequestOptions<In, Out, F, Payload, Returned>
  & (Ordered | Keyed | Keyless);

/** Options of {@link command}, which defines a command, in every allowed combination. */
export type CommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> =
  & AnyCommandOptions<In, Out, F, Payload, Returned>
  & MaybeDurable
  & (Ordered | Keyed | Keyless)
  & (WithoutId | Idempotent);

/** Options of a command that is durable (`enqueue` can store it). */
export type DurableCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> =
  & AnyCommandOptions<In, Out, F, Payload, Returned>
  & DurableOption
  & (Ordered | Keyed | Keyless)
  & (WithoutId | Idempotent);

/** Options of a command that is durable and has a key, and is not idempotent. */
export type DurableKeyedCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> =
  & AnyCommandOptions<In, Out, F, Payload, Returned>
  & DurableOption
  & (Ordered | Keyed)
  & NotIdempotent;

/** Options of a command that has a key, and is neither idempotent nor durable. */
export type KeyedCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> =
  & AnyCommandOptions<In, Out, F, Payload, Returned>
  & NotDurable
  & (Ordered | Keyed)
  & NotIdempotent;

/** Options of a command that is idempotent (one recorded result for each message id) and not durable. */
export type IdempotentCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> =
  & AnyCommandOptions<In, Out, F, Payload, Returned>
  & NotDurable
  & (Ordered | Keyed | Keyless)
  & Idempotent;

// The most frequent combinations are interfaces: the compiler makes an intersection with a union once for each contract
// and each member of the union, which takes as long as the rest of the contract's definition (measured).

/** Options of a command that has no key, and is neither idempotent nor durable. */
export interface PlainCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out>
  extends AnyCommandOptions<In, Out, F, Payload, Returned>, Keyless, NotIdempotent, NotDurable {
  /** Must be absent, because the command has no key. */
  key?: undefined;
  /** Must be absent, because only an idempotent command has an `id` function. */
  id?: undefined;
}

/** Options of an idempotent command that is neither durable nor ordered, with any route but `"hash"`. */
export interface UnorderedIdempotentCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out>
  extends
    AnyCommandOptions<In, Out, F, Payload, Returned>,
    Pick<Keyless, "route" | "ordered">,
    Idempotent,
    NotDurable {}

/** Options of a command that has a key, and is neither ordered nor idempotent nor durable. */
export interface UnorderedKeyedCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out>
  extends AnyCommandOptions<In, Out, F, Payload, Returned>, Keyed, NotIdempotent, NotDurable {
  /** Makes the routing key of a payload ({@link RequestOptions.key}). */
  key: (payload: NoInfer<In>) => string;
  /** Must be absent, because only an idempotent command has an `id` function. */
  id?: undefined;
}

/** Options that every command and every query may have. */
export interface RequestOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out> {
  /** Checks the payload where it is sent and parses it where it is handled (`INVALID_MESSAGE`). Default: none. */
  input?: Schema<In, Payload> | undefined;
  /** Checks the answer where it is made and parses it where it arrives (`INVALID_RESPONSE`). Default: none. */
  output?: Schema<Returned, Out> | undefined;
  /**
   * The codes that the handler may fail with, for contracts whose types come from schemas. A failure with another code
   * (of plain JavaScript, or thrown) becomes `INVALID_RESPONSE`; Catga's own codes may always be passed on. Default:
   * any code.
   */
  failures?: readonly F[] | undefined;
  /**
   * Makes the routing key of a payload, for sends that name no `key`: the `hash` strategy sends the same key to the
   * same node. Default: none.
   */
  key?: ((payload: NoInfer<In>) => string) | undefined;
  /** Timeout of a send, in ms, retries included: 1 to 2^31 - 1. Default: the `timeout` of `catga()`. */
  timeout?: number | undefined;
  /** Number of further attempts of a send after the first: 0 to 1,000. Default: the `retries` of `catga()`. */
  retries?: number | undefined;
  /**
   * Metadata of the contract, for the program's behaviors and its HTTP edge: a plain object, which is frozen. Default:
   * none.
   */
  meta?: ContractMeta | undefined;
  /**
   * Version of the schemas: a positive integer. Raise it for changes that the JSON Schemas do not show, such as a
   * refinement, a transform or a coercion: two nodes with different versions then know that one may accept messages
   * that the other refuses. Default: none.
   */
  version?: number | undefined;
}

/** Options that every command may have. */
export interface AnyCommandOptions<In, Out, F extends string = AnyCode, Payload = In, Returned = Out>
  extends RequestOptions<In, Out, F, Payload, Returned> {
  /**
   * Idempotent commands only: makes the message id of a payload, 1 to 256 characters, for sends without an `id` of
   * their own. Called at the sender, with a payload that fits `input`; another return value, or an error, is
   * `INVALID_MESSAGE`. Default: none.
   */
  id?: ((payload: NoInfer<In>) => string) | undefined;
  /**
   * Paths of members that tools hide (the command line, the dashboard, listings of dead letters): up to 32 paths, each
   * of up to 256 characters. The paths are stored with each message that is enqueued. Default: none.
   */
  redact?: readonly RedactedPath<NoInfer<In>>[] | undefined;
}

// The combinations of options. Each is a type of its own, without type parameters, so that the compiler makes it once.

/** Options of a contract with a key, ordered or not. */
export interface Ordered {
  /**
   * `true`: the messages of one key run one at a time, in the order in which they arrive at the key's node. Default:
   * `false`.
   */
  ordered?: boolean | undefined;
  /** The function that makes the key of a payload. */
  key: object;
  /** The routing strategy: `"hash"`, the only one that an ordered contract may have. */
  route?: "hash" | undefined;
}

/** Options of a contract with a key, and any route. */
export interface Keyed {
  /** The function that makes the key of a payload. */
  key: object;
  /** The routing strategy, which chooses the node. Default: the `route` of `catga()`. */
  route?: Route | undefined;
  /** Must be false or absent: a contract with `ordered: true` takes no other route than `"hash"`. */
  ordered?: false | undefined;
}

/** Options of a contract without a key. */
export interface Keyless {
  /** Must be absent, because the contract has no key. */
  key?: undefined;
  /**
   * The routing strategy, which chooses the node; not `"hash"`, which needs a `key`. Default: the `route` of `catga()`.
   */
  route?: Exclude<Route, "hash"> | undefined;
  /** Must be false or absent, because an ordered contract needs a `key`. */
  ordered?: false | undefined;
}

/** Options of a command that is not idempotent: its handler runs each time that the command is sent. */
export interface NotIdempotent {
  /** Must be false or absent, because the command is not idempotent. */
  idempotent?: false | undefined;
  /** Must be absent, because only an idempotent command has an `id` function. */
  id?: undefined;
}

/** Options of a command without an `id` function, idempotent or not. */
export interface WithoutId {
  /**
   * `true` or `{ ttl }`: the handler's result is recorded for each message id, and repeated sends get the record, for
   * `ttl` ms ({@link Idempotent.idempotent}). Default: `false`.
   */
  idempotent?: boolean | { ttl?: number | undefined } | undefined;
  /** Must be absent, because the command has no `id` function. */
  id?: undefined;
}

/** Options of an idempotent command, which has one result for each message id. */
export interface Idempotent {
  /**
   * True or `{ ttl }`: one result is recorded for each message id, and every sender of that id gets this result,
   * whichever node answers. The command is sent again when its node is lost. After a crash, a pause of more than 15 s,
   * or more than 4 s without a connection, the handler may run again: pass `ctx.fence` to the store that it changes, so
   * that the store can refuse the older run. The same id with another payload is `ID_REUSED`. `ttl`: how long a result
   * is kept, in ms, from 1,000 to ten years. Default: a day.
   */
  idempotent: true | { ttl?: number | undefined };
}

/** Options of a command, durable or not. */
export interface MaybeDurable {
  /**
   * True or `{ keep }` ({@link Durable}): `enqueue` may store the command; a stored command then runs at least once, on
   * a node of any service that handles it. Default: `false`.
   */
  durable?: boolean | Durable | undefined;
}

/** Options of a durable command. */
export interface DurableOption {
  /**
   * True or `{ keep }` ({@link Durable}): `enqueue` may store the command; a stored command then runs at least once, on
   * a node of any service that handles it.
   */
  durable: Durable;
}

/** Options of a command that is not durable. */
export interface NotDurable {
  /** Must be false or absent, because the command is not durable, and `enqueue` does not take it. */
  durable?: false | undefined;
}

/**
 * Returns the options of a contract, checked and frozen, without options that are `undefined`. Throws a `TypeError` or
 * `RangeError` for an invalid option.
 */
export function contractOptions(kind: Kind, name: string, options: object | undefined): ContractOptions {
  if (options === undefined) return NO_OPTIONS;
  const at = `contract ${name}`;
  checkKnown(at, options, OPTIONS[kind]);
  const {
    input,
    output,
    key,
    route,
    ordered,
    timeout,
    retries,
    idempotent,
    failures,
    id,
    durable,
    items,
    meta,
    version,
    redact,
  } = options as ContractOptions;
  checkSchema(`${at}: input`, input);
  checkSchema(`${at}: output`, output);
  checkSchema(`${at}: items`, items);
  if (key !== undefined) checkFunction(`${at}: key`, key, "a function of the payload that returns a string");
  if (route !== undefined) checkRoute(`${at}: route`, route);
  checkTimes(`${at}: `, { timeout, retries });
  if (ordered !== undefined) checkBoolean(`${at}: ordered`, ordered);
  if (ordered && route !== undefined && route !== "hash") {
    throw new TypeError(`${at}: ordered needs the route "hash", which it has by itself; got ${show(route)}`);
  }
  if (idempotent !== undefined) checkIdempotent(at, idempotent);
  if (failures !== undefined) checkFailures(at, failures);
  if (id !== undefined) checkId(at, id, idempotent);
  if (durable !== undefined) checkDurable(at, durable);
  if (version !== undefined) checkInteger(`${at}: version`, version, 1, Number.MAX_SAFE_INTEGER);
  if (kind === "stream") checkStream(at, options);
  if (kind === "event" && key !== undefined && !durable) {
    throw new TypeError(`${at}: key is of a durable event: give it durable: true, too`);
  }
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  if (meta !== undefined) given.meta = frozenMeta(at, meta);
  const paths = frozenPaths(at, redact);
  if (paths === undefined) delete given.redact;
  else given.redact = paths;
  if (typeof given.window === "object") given.window = Object.freeze({ ...given.window });
  if (typeof idempotent === "object") given.idempotent = Object.freeze({ ...idempotent });
  if (typeof durable === "object") given.durable = Object.freeze({ ...durable });
  if (failures !== undefined) given.failures = Object.freeze([...failures]);
  return Object.freeze(given);
}

/**
 * Returns a frozen copy of a contract's `meta`. Throws a `TypeError` unless `meta` is a plain object. `at`: text before
 * the option's name in the error.
 */
export function frozenMeta(at: string, meta: ContractMeta): ContractMeta {
  if (!isPlain(meta)) {
    throw new TypeError(`${at}: meta must be a plain object, like { role: "admin" }; got ${show(meta)}`);
  }
  return freezePlain({ ...meta });
}

function checkStream(at: string, { resume, idle, window }: ContractOptions): void {
  if (resume !== undefined) checkFunction(`${at}: resume`, resume);
  if (idle !== undefined) checkNumber(`${at}: idle`, idle, 1, MAX_TIMEOUT, "ms");
  if (window === undefined) return;
  checkObject(`${at}: window`, window, "{ items, bytes }");
  checkKnown(`${at}: window`, window, WINDOW_OPTIONS);
  if (window.items !== undefined) checkInteger(`${at}: window.items`, window.items, 1, MAX_WINDOW);
  if (window.bytes !== undefined) checkInteger(`${at}: window.bytes`, window.bytes, 1, 2 ** 26);
}

const WINDOW_OPTIONS = new Set(["items", "bytes"]);
/** The largest `window` of a stream: maximum number of items that were sent and not read yet. */
const MAX_WINDOW = 65_536;

/** Throws a `TypeError` unless `failures` is an array of valid failure codes. */
export function checkFailures(at: string, failures: readonly string[]): void {
  if (Array.isArray(failures) && failures.every((code) => typeof code === "string" && code !== "")) return;
  throw new TypeError(`${at}: failures must be an array of codes, like ["SOLD_OUT"]; got ${show(failures)}`);
}

function checkId(at: string, id: unknown, idempotent: ContractOptions["idempotent"]): void {
  checkFunction(`${at}: id`, id, "a function of the payload that returns a string");
  if (!idempotent) throw new TypeError(`${at}: id is of an idempotent command: give it idempotent: true, too`);
}

function checkIdempotent(at: string, idempotent: NonNullable<ContractOptions["idempotent"]>): void {
  if (typeof idempotent === "boolean") return;
  checkObject(`${at}: idempotent`, idempotent, "true, false or { ttl }");
  checkKnown(`${at}: idempotent`, idempotent, IDEMPOTENT_OPTIONS);
  if (idempotent.ttl !== undefined) checkNumber(`${at}: idempotent.ttl`, idempotent.ttl, 1_000, TEN_YEARS, "ms");
}

const IDEMPOTENT_OPTIONS = new Set(["ttl"]);

function checkDurable(at: string, durable: NonNullable<ContractOptions["durable"]>): void {
  if (typeof durable === "boolean") return;
  checkObject(`${at}: durable`, durable, "true, false or { keep }");
  checkKnown(`${at}: durable`, durable, DURABLE_OPTIONS);
  if (durable.keep !== undefined && durable.keep !== Infinity) {
    checkNumber(`${at}: durable.keep`, durable.keep, LEAST_KEEP, LONGEST_TTL, "ms");
  }
}

const DURABLE_OPTIONS = new Set(["keep"]);
/**
 * Minimum of `keep`, the time that a message stays in the log, in ms: a publish is repeated for 105 s, and a server
 * that restarts forgets the ids of expired messages.
 */
const LEAST_KEEP = 120_000;

const EVENT_OPTIONS = new Set(["input", "durable", "key", "meta", "version", "redact"]);
const QUERY_OPTIONS = new Set([
  ...["input", "output", "failures", "key", "route", "ordered", "timeout", "retries", "meta", "version"],
]);
const OPTIONS: Readonly<Record<Kind, ReadonlySet<string>>> = {
  event: EVENT_OPTIONS,
  query: QUERY_OPTIONS,
  command: new Set([...QUERY_OPTIONS, "idempotent", "id", "durable", "redact"]),
  stream: new Set([
    "input",
    "items",
    "failures",
    "key",
    "route",
    "timeout",
    "retries",
    "resume",
    "idle",
    "window",
    "meta",
    "version",
  ]),
};

const NO_OPTIONS: ContractOptions = Object.freeze({});

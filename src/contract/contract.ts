/**
 * The contract as senders need it: kind, name, options, and the types of payload and answer. A contract is a plain
 * frozen value, safe to share between the programs that send it and those that handle it. `definition.ts` defines them.
 */
import type { AnyCode, ErrorCode } from "../error.ts";
import type { Route, RouteName } from "./node_info.ts";
import type { ContractMeta, ProgramCode } from "./program_types.ts";
import type { Schema } from "./schema.ts";
import { checkInteger, checkNumber, MAX_TIMEOUT, show } from "../data/checks.ts";

/**
 * Kind of a message: a command changes something, a query reads something, an event reports something, a stream is
 * answered item by item.
 */
export type Kind = "command" | "query" | "event" | "stream";

/** The options of any contract; those that were not given are left out. */
export interface ContractOptions {
  /** Checks and parses the payload. */
  readonly input?: Schema<never, unknown> | undefined;
  /** Checks and parses the answer. */
  readonly output?: Schema<never, unknown> | undefined;
  /** The routing key of a payload. */
  readonly key?: ((payload: never) => string) | undefined;
  /** The strategy that chooses a node. */
  readonly route?: Route | undefined;
  /** The messages of one key run one at a time. */
  readonly ordered?: boolean | undefined;
  /** Timeout of a send, retries included, in ms. */
  readonly timeout?: number | undefined;
  /** Number of further attempts after the first. */
  readonly retries?: number | undefined;
  /** What the program says of the contract. */
  readonly meta?: ContractMeta | undefined;
  /** Paths of members of the payload that tools hide. */
  readonly redact?: readonly string[] | undefined;
  /** The codes that the handler may fail with. */
  readonly failures?: readonly string[] | undefined;
  /** The message id of a payload. */
  readonly id?: ((payload: never) => string) | undefined;
  /** One recorded result for each message id. */
  readonly idempotent?: boolean | { readonly ttl?: number | undefined } | undefined;
  /** Its version, where JSON Schemas do not show a change. */
  readonly version?: number | undefined;
  /** Kept in the log until it has been handled. */
  readonly durable?: boolean | { readonly keep?: number | undefined } | undefined;
  /** Events of entities only: its type. */
  readonly entity?: string | undefined;
  /** Streams only: checks and parses each item. */
  readonly items?: Schema<never, unknown> | undefined;
  /** Streams only: the input for another node when it breaks. */
  readonly resume?: ((input: never, last: never) => unknown) | undefined;
  /** Streams only: time that a reader waits for an item, in ms. */
  readonly idle?: number | undefined;
  /** Streams only: limit of items sent and not consumed. */
  readonly window?: { readonly items?: number | undefined; readonly bytes?: number | undefined } | undefined;
}

/**
 * A contract: its kind, its name, the type of its payload and that of its answer. `F`: the codes
 * that its handler may fail with.
 */
export interface Contract<K extends Kind, In, Out, F extends string = AnyCode> {
  /** For the compiler, which names it where another method is called; never has a value. */
  readonly "~use"?: K extends "event" ? "app.publish(event, input)"
    : K extends "stream" ? "app.stream(stream, input)"
    : K extends "query" ? "app.send(query, input)"
    : "app.send(command, input)";
  /** Kind of its messages: only commands and queries can be sent, only events published. */
  readonly kind: K;
  /** One or more tokens of letters, digits, `-` and `_`, joined by dots; the same on every node. */
  readonly name: string;
  /** The options that it was defined with. */
  readonly options: ContractOptions;
  /** Carries the types; never has a value. */
  readonly "~types"?: (payload: In) => Out;
  /** Carries the type of the failures; never has a value. */
  readonly "~fails"?: () => F;
}

/** The options of a durable contract. */
export interface DurableContractOptions extends ContractOptions {
  /** Kept in the log until it has been handled. */
  readonly durable: true | { readonly keep?: number | undefined };
}

/** A contract whose messages are stored: `enqueue` and `unschedule` take no other. */
export interface DurableContract<K extends "command" | "event", In> extends Contract<K, In, unknown> {
  /** Its options, with `durable`. */
  readonly options: DurableContractOptions;
}

/** An event that `publish` takes: not one of an entity. */
export interface PublishableEvent<In> extends Contract<"event", In, void> {
  /** For the compiler; never has a value. */
  readonly "~emitted"?: undefined;
}

/** Any contract. */
export type AnyContract = Contract<Kind, never, unknown>;

/** The type that a contract's sender gives. */
export type InputOf<C extends AnyContract> = C extends Contract<Kind, infer In, unknown> ? In : never;

/** The type that a contract's sender gets. */
export type OutputOf<C extends AnyContract> = C extends Contract<Kind, never, infer Out> ? Out : never;

/** The codes that a contract's sender may get: those of its failures, of the program's behaviors, and Catga's own. */
export type CodeOf<C extends AnyContract> = C extends Contract<Kind, never, unknown, infer F>
  ? F | ProgramCode | ErrorCode
  : never;

/** Returns true if a name is valid for a contract. */
export function isContractName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name);
}

/** Returns true if a name is that of an internal contract, which begins with `@`. */
export function isInternalName(name: string): boolean {
  return name.charCodeAt(0) === 64;
}

/** Returns true if a name is that of a message of a workflow's runs. */
export function isRunMessage(name: string): boolean {
  return RUN_MESSAGE.test(name);
}

/** The end of the type of a workflow's runs. */
export const RUN = "-run";
/**
 * The last tokens of the names of their messages: starts that their node drives, other entries that call for somebody
 * to go on, and those that do not; a time that has come, a message for who holds a run, and the announcement of ends.
 */
export const BEGUN = "begun";
export const CALLED = "called";
export const RECORDED = "recorded";
export const DUE = "due";
export const JOIN = "join";
export const ENDED = "ended";

const RUN_MESSAGE = new RegExp(`^[\\w-]{1,48}${RUN}\\.(${[BEGUN, CALLED, RECORDED, DUE, JOIN, ENDED].join("|")})$`);

/** The longest name of a contract, in characters. */
export const MAX_NAME_LENGTH = 256;

// Checks of what contracts, sends and apps have in common.

/** Throws if `timeout` or `retries` is invalid; `at` is written before their names. */
export function checkTimes(at: string, options: { timeout?: number | undefined; retries?: number | undefined }): void {
  if (options.timeout !== undefined) checkNumber(`${at}timeout`, options.timeout, 1, MAX_TIMEOUT, "ms");
  if (options.retries !== undefined) checkInteger(`${at}retries`, options.retries, 0, 1_000);
}

/** Throws if the value is neither a strategy nor the name of one. */
export function checkRoute(name: string, value: Route): void {
  if (typeof value === "function" || ROUTES.has(value)) return;
  throw new TypeError(`${name} must be one of ${[...ROUTES].join(", ")}, or a function; got ${show(value)}`);
}

/** The greatest number of handlers that may run, or of sends that may be under way, at once. */
export const MAX_CONCURRENCY = 65_536;
const ROUTES: ReadonlySet<RouteName | Route> = new Set<RouteName>([
  "round-robin",
  "local-first",
  "hash",
  "least-loaded",
  "random",
]);

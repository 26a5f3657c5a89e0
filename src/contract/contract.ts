/**
 * A contract as its senders need it: kind, name, options, and the types of payload and answer. A contract is a plain
 * frozen value, safe to share between the programs that send its messages and the programs that handle them.
 * `definition.ts` defines contracts.
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

/** The options of any contract. Options that were not given are left out. */
export interface ContractOptions {
  /** Checks and parses the payload. */
  readonly input?: Schema<never, unknown> | undefined;
  /** Checks and parses the answer. */
  readonly output?: Schema<never, unknown> | undefined;
  /** The routing key of a payload. */
  readonly key?: ((payload: never) => string) | undefined;
  /** The strategy that chooses a node. */
  readonly route?: Route | undefined;
  /** True: the messages of one key run one at a time. */
  readonly ordered?: boolean | undefined;
  /** Timeout of a send, retries included, in ms. */
  readonly timeout?: number | undefined;
  /** Number of further attempts after the first. */
  readonly retries?: number | undefined;
  /** Metadata that the program gives the contract. */
  readonly meta?: ContractMeta | undefined;
  /** Paths of members of the payload that tools hide. */
  readonly redact?: readonly string[] | undefined;
  /** The codes that the handler may fail with. */
  readonly failures?: readonly string[] | undefined;
  /** The message id of a payload. */
  readonly id?: ((payload: never) => string) | undefined;
  /** True or `{ ttl }`: one recorded result for each message id. */
  readonly idempotent?: boolean | { readonly ttl?: number | undefined } | undefined;
  /** Version of the contract, for changes that JSON Schemas do not show. */
  readonly version?: number | undefined;
  /** True or `{ keep }`: messages are kept in the log until they have been handled. */
  readonly durable?: boolean | { readonly keep?: number | undefined } | undefined;
  /** Events of entities only: the type of the entity. */
  readonly entity?: string | undefined;
  /** Streams only: checks and parses each item. */
  readonly items?: Schema<never, unknown> | undefined;
  /** Streams only: makes the input for another node when the stream breaks. */
  readonly resume?: ((input: never, last: never) => unknown) | undefined;
  /** Streams only: time that a reader waits for an item, in ms. */
  readonly idle?: number | undefined;
  /** Streams only: limit of items sent and not consumed. */
  readonly window?: { readonly items?: number | undefined; readonly bytes?: number | undefined } | undefined;
}

/**
 * A contract: its kind, its name, and the types of its payload and its answer. `F`: the codes that its handler may fail
 * with.
 */
export interface Contract<K extends Kind, In, Out, F extends string = AnyCode> {
  /**
   * Compile time only: the compiler's error names this method if the contract is passed to another; never has a value.
   */
  readonly "~use"?: K extends "event" ? "app.publish(event, input)"
    : K extends "stream" ? "app.stream(stream, input)"
    : K extends "query" ? "app.send(query, input)"
    : "app.send(command, input)";
  /** Kind of the contract's messages: only commands and queries can be sent, only events published. */
  readonly kind: K;
  /**
   * The contract's name: one or more tokens of letters, digits, `-` and `_`, joined by dots; the same on every node.
   */
  readonly name: string;
  /** The options with which the contract was defined. */
  readonly options: ContractOptions;
  /** Carries the types; never has a value. */
  readonly "~types"?: (payload: In) => Out;
  /** Carries the type of the failures; never has a value. */
  readonly "~fails"?: () => F;
}

/** The options of a durable contract. */
export interface DurableContractOptions extends ContractOptions {
  /** Must be set: messages are kept in the log until they have been handled. */
  readonly durable: true | { readonly keep?: number | undefined };
}

/** A contract whose messages are stored: `enqueue` and `unschedule` take no other. */
export interface DurableContract<K extends "command" | "event", In> extends Contract<K, In, unknown> {
  /** The contract's options, with `durable`. */
  readonly options: DurableContractOptions;
}

/** An event that `publish` takes. Events of entities are excluded. */
export interface PublishableEvent<In> extends Contract<"event", In, void> {
  /** Compile time only: excludes events of entities; never has a value. */
  readonly "~emitted"?: undefined;
}

/** Any contract. */
export type AnyContract = Contract<Kind, never, unknown>;

/** The type of the payload that a contract's sender gives. */
export type InputOf<C extends AnyContract> = C extends Contract<Kind, infer In, unknown> ? In : never;

/** The type of the answer that a contract's sender gets. */
export type OutputOf<C extends AnyContract> = C extends Contract<Kind, never, infer Out> ? Out : never;

/**
 * The codes that a contract's sender may get: the contract's failures, the codes of the program's behaviors, and
 * Catga's own.
 */
export type CodeOf<C extends AnyContract> = C extends Contract<Kind, never, unknown, infer F>
  ? F | ProgramCode | ErrorCode
  : never;

/** Returns true if a name is valid for a contract. */
export function isContractName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name);
}

/** Returns true for the name of an internal contract, which begins with `@`. */
export function isInternalName(name: string): boolean {
  return name.charCodeAt(0) === 64;
}

/** Returns true for the name of a message of a workflow's runs. */
export function isRunMessage(name: string): boolean {
  return RUN_MESSAGE.test(name);
}

/** Suffix of the type of a workflow's runs. */
export const RUN = "-run";
/**
 * Last tokens of the names of messages of runs. `BEGUN`: starts that their own node drives; `CALLED`: other entries
 * after which a node has to drive the run; `RECORDED`: entries that need no driving; `DUE`: times that have come;
 * `JOIN`: messages for the node that holds a run; `ENDED`: announcements of ends.
 */
export const BEGUN = "begun";
export const CALLED = "called";
export const RECORDED = "recorded";
export const DUE = "due";
export const JOIN = "join";
export const ENDED = "ended";

const RUN_MESSAGE = new RegExp(`^[\\w-]{1,48}${RUN}\\.(${[BEGUN, CALLED, RECORDED, DUE, JOIN, ENDED].join("|")})$`);

/** Maximum length of a contract's name, in characters. */
export const MAX_NAME_LENGTH = 256;

// Checks of options that contracts, sends and apps have in common.

/** Throws if `timeout` or `retries` is invalid. `at`: prefix of the options' names in the error. */
export function checkTimes(at: string, options: { timeout?: number | undefined; retries?: number | undefined }): void {
  if (options.timeout !== undefined) checkNumber(`${at}timeout`, options.timeout, 1, MAX_TIMEOUT, "ms");
  if (options.retries !== undefined) checkInteger(`${at}retries`, options.retries, 0, 1_000);
}

/** Throws unless the value is a strategy or the name of a strategy. */
export function checkRoute(name: string, value: Route): void {
  if (typeof value === "function" || ROUTES.has(value)) return;
  throw new TypeError(`${name} must be one of ${[...ROUTES].join(", ")}, or a function; got ${show(value)}`);
}

/** Maximum number of handlers that run at once, or of sends under way at once. */
export const MAX_CONCURRENCY = 65_536;
const ROUTES: ReadonlySet<RouteName | Route> = new Set<RouteName>([
  "round-robin",
  "local-first",
  "hash",
  "least-loaded",
  "random",
]);

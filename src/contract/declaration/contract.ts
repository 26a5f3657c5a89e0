/**
 * A contract as its senders need it: kind, name, options, and the types of payload and answer. A contract is a plain
 * frozen value, safe to share between the programs that send its messages and the programs that handle them.
 * `definition.ts` has the functions that make contracts.
 */
import type { AnyCode, ErrorCode } from "../../error.ts";
import type { Route, RouteName } from "../nodes/node_info.ts";
import type { ContractMeta, ProgramCode } from "./program_types.ts";
import type { Schema } from "../schemas/schema.ts";
import { checkInteger, checkNumber, MAX_TIMEOUT, show } from "../../data/checks.ts";

/**
 * Kind of a message: a command changes something, a query reads something, an event reports something, a stream is
 * answered item by item.
 */
export type Kind = "command" | "query" | "event" | "stream";

const KINDS: readonly Kind[] = ["command", "query", "event", "stream"];

/** Returns true if the value is the name of a kind. */
export function isKind(value: unknown): value is Kind {
  return KINDS.some((kind) => kind === value);
}

/** Returns the kind with this first letter, by which the records of nodes name it; `undefined`: no kind has it. */
export function kindOf(letter: string | undefined): Kind | undefined {
  return KINDS.find((kind) => kind[0] === letter);
}

/** Returns a kind with its article: `"a command"`, `"an event"`. */
export function withArticle(kind: string): string {
  return `${kind === "event" ? "an" : "a"} ${kind}`;
}

/** The options of any contract. An option that was not given is absent. */
export interface ContractOptions {
  /** Checks and parses the payload. */
  readonly input?: Schema<never, unknown> | undefined;
  /** Checks and parses the answer. */
  readonly output?: Schema<never, unknown> | undefined;
  /** Makes the routing key of a payload. */
  readonly key?: ((payload: never) => string) | undefined;
  /** The strategy that chooses the node that handles a message. */
  readonly route?: Route | undefined;
  /** True: the messages of one key run one at a time. */
  readonly ordered?: boolean | undefined;
  /** Timeout of a send, in ms; retries are part of this time. */
  readonly timeout?: number | undefined;
  /** Number of further attempts of a send after the first. */
  readonly retries?: number | undefined;
  /** Metadata that the program gives the contract. */
  readonly meta?: ContractMeta | undefined;
  /** Paths of members of the payload that the command line and the dashboard hide. */
  readonly redact?: readonly string[] | undefined;
  /** The codes that the handler may fail with. */
  readonly failures?: readonly string[] | undefined;
  /** Makes the message id of a payload. */
  readonly id?: ((payload: never) => string) | undefined;
  /**
   * True or `{ ttl }`: the handler's result is recorded once for each message id, kept for `ttl` ms, and repeated sends
   * get the record.
   */
  readonly idempotent?: boolean | { readonly ttl?: number | undefined } | undefined;
  /** Version of the contract's schemas, to be raised for changes that JSON Schemas do not show. */
  readonly version?: number | undefined;
  /** True or `{ keep }`: messages are stored until they have been handled. */
  readonly durable?: boolean | { readonly keep?: number | undefined } | undefined;
  /** Events of entities only: the name of the type of entity. */
  readonly entity?: string | undefined;
  /** Streams only: checks and parses each item. */
  readonly items?: Schema<never, unknown> | undefined;
  /** Streams only: makes the input with which another node continues when the stream breaks. */
  readonly resume?: ((input: never, last: never) => unknown) | undefined;
  /** Streams only: maximum time that a reader waits for an item, in ms. */
  readonly idle?: number | undefined;
  /** Streams only: maximum number and bytes of items that were sent and not read yet. */
  readonly window?: { readonly items?: number | undefined; readonly bytes?: number | undefined } | undefined;
}

/**
 * A contract: its kind, its name, and the types of its payload and its answer. `F`: the codes that its handler may fail
 * with.
 */
export interface Contract<K extends Kind, In, Out, F extends string = AnyCode> {
  /**
   * Compile time only, never has a value: its text appears in the compiler's error when the contract is passed to the
   * wrong method, and names the right one.
   */
  readonly "~use"?: K extends "event" ? "app.publish(event, input)"
    : K extends "stream" ? "app.stream(stream, input)"
    : K extends "query" ? "app.send(query, input)"
    : "app.send(command, input)";
  /** Kind of the contract's messages: only commands and queries can be sent; only events can be published. */
  readonly kind: K;
  /**
   * The contract's name: one or more tokens of letters, digits, `-` and `_`, joined by dots; the same on every node.
   */
  readonly name: string;
  /** The options with which the contract was defined. */
  readonly options: ContractOptions;
  /** Compile time only, never has a value: carries the types of payload and answer. */
  readonly "~types"?: (payload: In) => Out;
  /** Compile time only, never has a value: carries the type of the failure codes. */
  readonly "~fails"?: () => F;
}

/** The options of a durable contract (its messages are stored until they are handled). */
export interface DurableContractOptions extends ContractOptions {
  /** Present on every durable contract: messages are stored until they have been handled. */
  readonly durable: true | { readonly keep?: number | undefined };
}

/** A contract whose messages are stored: `enqueue` and `unschedule` take no other. */
export interface DurableContract<K extends "command" | "event", In> extends Contract<K, In, unknown> {
  /** The contract's options, which include `durable`. */
  readonly options: DurableContractOptions;
}

/** An event that `publish` accepts: any event but the events of an entity, which only the entity's commands emit. */
export interface PublishableEvent<In> extends Contract<"event", In, void> {
  /** Compile time only, never has a value: excludes events of entities. */
  readonly "~emitted"?: undefined;
}

/** Any contract, whatever its kind and types. */
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

/**
 * Returns true if a name is valid for a contract.
 * @decides which characters a contract's name may have, and how many; a workflow's: `workflow.ts`
 */
export function isContractName(name: string): boolean {
  return name.length <= MAX_NAME_LENGTH && /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name);
}

/**
 * Returns true for a name that begins with `@`: the name of an internal contract, whose messages only Catga's nodes
 * send.
 */
export function isInternalName(name: string): boolean {
  return name.charCodeAt(0) === 64;
}

/** Returns true for the name of a contract whose messages belong to runs of a workflow. */
export function isRunMessage(name: string): boolean {
  return RUN_MESSAGE.test(name);
}

/**
 * Suffix of the type name under which the runs of a workflow are stored: `<workflow>-run`, in the place of an entity's
 * type name.
 */
export const RUN = "-run";
/** Stands for the type of an entity in the subjects of notes of stuck runs, so that no entity has this type. */
export const STUCK = "-stuck";
/**
 * Last tokens of the names of messages about workflow runs. `BEGUN`: an entry (stored record of a run) says that a run
 * was started, and the starting node executes it; `CALLED`: another entry after which some node has to execute the run;
 * `RECORDED`: an entry after which nothing has to be executed; `DUE`: a timer of a run has fired; `JOIN`: a message for
 * the node that executes a run; `ENDED`: an event for the callers that wait for the result of a run; `ANSWERED`: one
 * for those that wait for an answer of a run.
 */
export const BEGUN = "begun";
export const CALLED = "called";
export const RECORDED = "recorded";
export const DUE = "due";
export const JOIN = "join";
export const ENDED = "ended";
export const ANSWERED = "answered";

const RUN_MESSAGES = [BEGUN, CALLED, RECORDED, DUE, JOIN, ENDED, ANSWERED];
const RUN_MESSAGE = new RegExp(`^[\\w-]{1,48}${RUN}\\.(${RUN_MESSAGES.join("|")})$`);

/** Maximum length of a contract's name, in characters. */
export const MAX_NAME_LENGTH = 256;

// Checks of options that contracts, sends and apps share.

/** Throws if `timeout` or `retries` is invalid. `at`: text before the option's name in the error. */
export function checkTimes(at: string, options: { timeout?: number | undefined; retries?: number | undefined }): void {
  if (options.timeout !== undefined) checkNumber(`${at}timeout`, options.timeout, 1, MAX_TIMEOUT, "ms");
  if (options.retries !== undefined) checkInteger(`${at}retries`, options.retries, 0, 1_000);
}

/**
 * Throws unless the value is a routing strategy (a function) or the name of one. `name`: the option's name, for the
 * error.
 */
export function checkRoute(name: string, value: Route): void {
  if (typeof value === "function" || ROUTES.has(value)) return;
  throw new TypeError(`${name} must be one of ${[...ROUTES].join(", ")}, or a function; got ${show(value)}`);
}

/** Largest value of `concurrency` options: handlers that run at once, or sends in progress at once. */
export const MAX_CONCURRENCY = 65_536;
const ROUTES: ReadonlySet<RouteName | Route> = new Set<RouteName>([
  "round-robin",
  "local-first",
  "hash",
  "least-loaded",
  "random",
]);

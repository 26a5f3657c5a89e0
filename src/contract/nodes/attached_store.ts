/**
 * A database of the program that a node serves (`catga({ sql })`), and what the node gives it: this is the border
 * between the core and `@catga/catga/sql`, of which neither loads the other.
 */
import type { StoreHealth } from "./node_info.ts";
import type { AppClock, Random } from "../../ports/clock.ts";
import type { Appended } from "../../ports/event_log.ts";
import type { AnySignal } from "../calls/flow.ts";
import type { Handlers } from "../declaration/handler.ts";
import type { Result } from "../calls/result.ts";
import type { LeadOptions, Term } from "../calls/shared_state.ts";
import type { MaybePromise } from "../schemas/schema.ts";
import type { AnyContract } from "../declaration/contract.ts";
import type { EventFollower, FollowEventsOptions } from "../calls/durable_messages.ts";
import type { WorkflowDefinition } from "../declaration/workflow_body.ts";

/** A store that `catga({ sql: [store] })` takes: made by `sqlStore` of `@catga/catga/sql`. */
export interface AttachedStore {
  /** Internal: the parts of the store that a node uses, a {@link StoreBody}. */
  readonly "~store": object;
}

/** Internal parts of an {@link AttachedStore}. */
export interface StoreBody {
  /** Name of the store, unique among the stores of a namespace. */
  readonly name: string;
  /** Handlers by which nodes learn of commits in other processes. */
  readonly handlers: Handlers;
  /**
   * Makes this process a candidate for the relay of the store's outbox. Rejects with a `CatgaError` if the tables are
   * missing or of another version; a database that is away is waited for.
   */
  attach(host: StoreHost): Promise<StoreAttachment>;
  /**
   * For tests: calls `begun` when a transaction of the store begins, and the function that it returns when that one has
   * ended.
   */
  observe(begun: () => (transaction: EndedTransaction) => void): void;
  /** Number of rows that are neither published nor set aside. Rejects with errors of the database. */
  left(): Promise<number>;
}

/** A transaction of a store that has ended, for tests. */
export interface EndedTransaction {
  /** `unknown`: it may have committed, or may still do so. */
  readonly outcome: "committed" | "rolled back" | "unknown";
  /** False: messages of a key may be published in another order than that of the commits (`order: false`). */
  readonly ordered: boolean;
  /** Collected in `out`: messages, starts of runs and signals. */
  readonly recorded: readonly {
    readonly kind: "event" | "command" | "start" | "tell";
    /** Name of the contract or workflow. */
    readonly contract: string;
    /** Key of the message, or id of the run; `null`: none. */
    readonly key: string | null;
    readonly id: string;
  }[];
  /** Effects whose functions have run in it: of `handler`, `batch`, `once` and `flow.transaction`. */
  readonly effects: readonly { readonly scope: string; readonly id: string }[];
}

/** A store at a node. */
export interface StoreAttachment {
  readonly health: StoreHealth;
}

/** A message of the stream, as an outbox has recorded it: no contract is needed to store it. */
export interface RecordedMessage {
  readonly kind: "event" | "command";
  /** Name of the contract. */
  readonly contract: string;
  /** Items of the message, each as `itemText` makes it, in their order. */
  readonly items: readonly string[];
  /**
   * Id by which the stream recognizes the message when it is sent again. `given`: the id that the program gave the only
   * item, by which `publish` is recognized, too.
   */
  readonly id: { readonly given: string } | { readonly made: string };
  /** Time for which the log keeps the message, in ms. */
  readonly keep: number;
  /** Shape of the contract (hash of its declaration) in the program that recorded the message. */
  readonly shape: string | undefined;
}

/** The start of a run, as an outbox has recorded it. */
export interface RecordedStart {
  readonly definition: Pick<WorkflowDefinition, "name" | "version" | "keep" | "timeout" | "redact">;
  readonly run: string;
  /** The input, as `encodeValue` makes it; empty: `undefined`. */
  readonly input: string;
  readonly shape: string | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  readonly tags: readonly string[] | undefined;
}

/** Which relay publishes a store's rows, as the cluster remembers it: neither number ever falls. */
export interface RelayMark {
  /** Number of the relay's term. */
  readonly term: number;
  /** Number of batches that the term has noted in the database. */
  readonly batch: number;
}

/**
 * Returns true if a database is older than what the cluster remembers of it: a copy was restored, or a replica without
 * the last commits has taken over.
 */
export function isOlder(found: RelayMark | undefined, known: RelayMark | undefined): boolean {
  if (known === undefined) return false;
  if (found === undefined) return true;
  return found.term < known.term || (found.term === known.term && found.batch < known.batch);
}

/** The log, as the relay of an outbox uses it. */
export interface RecordedLog {
  /**
   * Appends one message, in one attempt. A message with a given id that the stream has with another payload is not
   * stored, with `ID_REUSED`. Never rejects. `timeout`: in ms.
   */
  append(message: RecordedMessage, timeout: number): Promise<Appended>;
  /** Resolves with the sequence of the last message of the stream. Rejects with a `CatgaError`. */
  end(): Promise<number>;
  /**
   * Returns which of these ids the messages of a contract have behind a sequence; reads them all. Rejects with a
   * `CatgaError`.
   */
  stored(contract: string, after: number, ids: ReadonlySet<string>): Promise<ReadonlySet<string>>;
  /** Reads what the cluster remembers of a store's relay. Rejects with a `CatgaError`. */
  mark(store: string): Promise<RelayMark | undefined>;
  /**
   * Writes what the cluster remembers of a store's relay, unless it remembers something later. Rejects with a
   * `CatgaError`.
   */
  raiseMark(store: string, mark: RelayMark): Promise<void>;
  /** Forgets what the cluster remembers of a store's relay. Rejects with a `CatgaError`. */
  forgetMark(store: string): Promise<void>;
}

/** A node, as a store uses it. */
export interface StoreHost {
  readonly clock: AppClock;
  readonly random: Random;
  readonly log: RecordedLog;
  /** Names of the headers that messages sent by handlers inherit. */
  readonly carried: readonly string[];
  lead(name: string, fn: (signal: AbortSignal) => MaybePromise<unknown>, options?: LeadOptions): Term;
  publish(contract: AnyContract, payload: unknown): Promise<Result<void>>;
  follow(contract: AnyContract, options: FollowEventsOptions): EventFollower<unknown>;
  start(start: RecordedStart): Promise<Result<string>>;
  tell(signal: AnySignal, run: string, payload: unknown, options: { readonly id: string }): Promise<Result<void>>;
  /** Calls the function when the node begins to stop. */
  onEnd(end: () => void): void;
  /** Reports an error to the app's observers. `during`: what the store was doing. */
  fault(during: string, error: unknown): void;
}

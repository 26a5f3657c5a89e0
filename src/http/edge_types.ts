/** Types of an edge: its entries, and the data about calls. Both sides of HTTP use them. */
import type { AnyContract, Contract, DurableContract } from "../contract/contract.ts";
import type { AnySignal, WorkflowContract } from "../contract/flow.ts";
import type { ContractMeta, ProgramCode } from "../contract/program_types.ts";
import type { ErrorCode } from "../error.ts";

/** A contract that an edge may list: a command, a query, a stream, a durable event or a workflow. */
export type EdgeContract =
  | Contract<"command" | "query" | "stream", never, unknown, string>
  | DurableContract<"event", never>
  | WorkflowContract<never, unknown, string>;

/** Options of an edge's entry. */
export interface EdgeEntryOptions {
  /**
   * Queries only: header `Cache-Control` of answers. Default: `no-cache`, so that a browser asks each time, with the
   * ETag.
   */
  cache?: string | undefined;
  /** Statuses of the handler's own codes: 200 to 599 without 204, 205 and 304. Default: 422. */
  failures?: Readonly<Record<string, number>> | undefined;
  /** Workflows only: the signals that a caller may send to a run, by the names that the caller uses. Default: none. */
  tell?: Readonly<Record<string, AnySignal>> | undefined;
  /** Workflows only: true if a caller may cancel a run. Default: false. */
  cancel?: boolean | undefined;
  /**
   * Streams only: functions that make a text of an item, of at most 4,096 characters, and the input that continues
   * after the item with this text. Default with `resume` in the contract: the item itself is the text; else none.
   */
  resume?: EdgeResume | undefined;
}

/** Functions to resume a stream after an item that a client has received. */
export interface EdgeResume {
  /** Returns the text that identifies an item. */
  readonly id: (item: never) => string;
  /** Returns the input that continues after the item with this text. */
  readonly from: (input: never, id: string) => unknown;
}

/** An entry of an edge: a contract, alone or with options. */
export type EdgeEntry = EdgeContract | readonly [contract: EdgeContract, options: EdgeEntryOptions];

/** The entries of an edge by their names, each of 1 to 64 letters, digits, `-` and `_`. */
export type EdgeEntries = { readonly [name: string]: EdgeEntry };

/** The contract of an entry. */
export type ContractOf<E extends EdgeEntry> = E extends readonly [infer C, unknown] ? C : E;

/** The options of an entry. */
export type OptionsOf<E extends EdgeEntry> = E extends readonly [unknown, infer O] ? O : Record<never, never>;

/** Codes of the edge itself, besides codes of Catga and of handlers. */
export type EdgeCode =
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "REQUEST_TIMEOUT"
  | "RATE_LIMITED";

/** Codes that a client may get for a contract with the failures `F`. */
export type ClientCode<F extends string> = F | ProgramCode | ErrorCode | EdgeCode;

/** A call of an entry, as `authorize` sees it: before the body is read. */
export interface EdgeCall {
  /** The name of the entry. */
  readonly name: string;
  /** Kind of the entry's contract. */
  readonly kind: "command" | "query" | "stream" | "event" | "workflow";
  /** Name of the entry's contract. */
  readonly contract: string;
  /** The option `meta` of the entry's contract. */
  readonly meta: ContractMeta | undefined;
  /** Workflows only: the id of the run; `undefined` for a start. */
  readonly run: string | undefined;
  /** The action that the caller requests. */
  readonly action: "send" | "read" | "follow" | "start" | "result" | "tell" | "cancel";
  /** Events only: the key that the caller follows; `undefined`: all. */
  readonly key: string | undefined;
  /** Workflows only: the name of the signal that the caller sends. */
  readonly signal: string | undefined;
}

/** A run of a workflow that has not ended, as a client sees it. */
export interface OpenRun {
  /** Id of the run. */
  readonly run: string;
  /** Status of the run: `running`, `waiting`, `retrying`, `stuck` or `undoing`. */
  readonly status: string;
  /** The last stage that the run's handler reported by `flow.stage`; absent: none. */
  readonly stage?: string | undefined;
  /** Names of pending steps, sleeps and waits; `next`: when one goes on by itself, as an ISO date. */
  readonly pending: readonly { readonly name: string; readonly next?: string | undefined }[];
}

/** The contract of an entry as the edge uses it. */
export interface EdgeRoute {
  readonly name: string;
  readonly kind: EdgeCall["kind"];
  readonly contract: AnyContract | WorkflowContract<never, unknown, string>;
  readonly meta: ContractMeta | undefined;
  readonly options: EdgeEntryOptions;
}

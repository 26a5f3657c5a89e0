/** Types of an edge: what it lists, and what the server says of callers. Both sides of HTTP know them. */
import type { AnyContract, Contract, DurableContract } from "../contract/contract.ts";
import type { AnySignal, WorkflowContract } from "../contract/flow.ts";
import type { ContractMeta, ProgramCode } from "../contract/program_types.ts";
import type { ErrorCode } from "../error.ts";

/** A contract that an edge may list: a command, a query, a stream, a durable event or a workflow. */
export type EdgeContract =
  | Contract<"command" | "query" | "stream", never, unknown, string>
  | DurableContract<"event", never>
  | WorkflowContract<never, unknown, string>;

/** Options of an entry of an edge. */
export interface EdgeEntryOptions {
  /** Queries only: the header `Cache-Control` of answers; `no-cache`: a browser asks each time, with the ETag. */
  cache?: string | undefined;
  /** The statuses of the handler's own codes: 200 to 599 but 204, 205 and 304; 422. */
  failures?: Readonly<Record<string, number>> | undefined;
  /** Workflows only: the signals that a caller may send to a run, by the names that it knows; none. */
  tell?: Readonly<Record<string, AnySignal>> | undefined;
  /** Workflows only: whether a caller may cancel a run; `false`. */
  cancel?: boolean | undefined;
  /**
   * Streams only: the text of an item by which it can be found again, 4,096 characters at most, and the input that
   * goes on behind it. Without it, and with `resume` in the contract, the item itself is that text.
   */
  resume?: EdgeResume | undefined;
}

/** How a stream goes on behind an item that a client has seen. */
export interface EdgeResume {
  /** The text of an item. */
  readonly id: (item: never) => string;
  /** The input that goes on behind the item with this text. */
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

/** Codes of the edge itself, besides those of Catga and of handlers. */
export type EdgeCode =
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "REQUEST_TIMEOUT"
  | "RATE_LIMITED";

/** Codes that a client may get of a contract with the failures `F`. */
export type ClientCode<F extends string> = F | ProgramCode | ErrorCode | EdgeCode;

/** A call of an entry, as `authorize` sees it: before the body is read. */
export interface EdgeCall {
  /** The name of the entry. */
  readonly name: string;
  /** Kind of its contract. */
  readonly kind: "command" | "query" | "stream" | "event" | "workflow";
  /** Name of its contract. */
  readonly contract: string;
  /** The option `meta` of its contract. */
  readonly meta: ContractMeta | undefined;
  /** Workflows only: the id of the run; `undefined` for a start. */
  readonly run: string | undefined;
  /** What the caller asks for. */
  readonly action: "send" | "read" | "follow" | "start" | "result" | "tell" | "cancel";
  /** Events only: the key that the caller follows; `undefined`: all. */
  readonly key: string | undefined;
  /** Workflows only: the name of the signal that the caller sends. */
  readonly signal: string | undefined;
}

/** A run of a workflow that has not ended, as a client sees it. */
export interface OpenRun {
  /** Its id. */
  readonly run: string;
  /** Its status: `running`, `waiting`, `retrying`, `stuck` or `undoing`. */
  readonly status: string;
  /** The last stage that its handler named by `flow.stage`; left out: none. */
  readonly stage?: string | undefined;
  /** Steps, sleeps and waits that are pending, by name; `next`: when it goes on by itself, as an ISO date. */
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

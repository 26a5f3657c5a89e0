/** Types of an edge (contracts on HTTP): its entries, and the data about a call. Server and client use them. */
import type { AnyContract, Contract, DurableContract } from "../contract/declaration/contract.ts";
import type { AnyQuestion, AnySignal, WorkflowContract } from "../contract/calls/flow.ts";
import type { ContractMeta, ProgramCode } from "../contract/declaration/program_types.ts";
import type { ErrorCode } from "../error.ts";

/** A contract that an edge may list: a command, a query, a stream, a durable event or a workflow. */
export type EdgeContract =
  | Contract<"command" | "query" | "stream", never, unknown, string>
  | DurableContract<"event", never>
  | WorkflowContract<never, unknown, string>;

/** Options of one entry of an edge. */
export interface EdgeEntryOptions {
  /**
   * Queries only: the header `Cache-Control` of answers. Default: `no-cache`, so that a browser asks each time whether
   * the answer has changed (by its ETag).
   */
  cache?: string | undefined;
  /** HTTP statuses of the handler's own failure codes, 400 to 599. Default: 422. */
  failures?: Readonly<Record<string, number>> | undefined;
  /**
   * Workflows only: the signals that a caller may send to a run, by the names that callers use for them. Default: none.
   */
  tell?: Readonly<Record<string, AnySignal>> | undefined;
  /**
   * Workflows only: the questions that a caller may ask a run, by the names that callers use for them; other names than
   * those of `tell`. Default: none.
   */
  ask?: Readonly<Record<string, AnyQuestion>> | undefined;
  /** Workflows only: true if a caller may cancel a run. Default: false. */
  cancel?: boolean | undefined;
  /**
   * Returns the key of a caller, such as the tenant of the session: of what `authorize` returned. Commands, queries,
   * streams: the key of each send, instead of what the contract makes of the payload. Events: a caller follows the
   * events of this key alone; another `?key=` is 403. Not for workflows. Default: none.
   */
  key?: ((caller: never) => string) | undefined;
  /**
   * Streams only: how a client that has lost its connection continues after the last item that it got: a function that
   * makes a text of an item (of at most 4,096 characters), and one that makes the input with which the stream continues
   * after the item with this text. Default: for a contract with `resume`, the item itself is the text; for others,
   * none, and the client cannot continue.
   */
  resume?: EdgeResume | undefined;
}

/** How a stream is resumed after an item that a client has received. */
export interface EdgeResume {
  /** Returns a text that identifies an item. */
  readonly id: (item: never) => string;
  /** Returns the input with which the stream continues after the item with this text. */
  readonly from: (input: never, id: string) => unknown;
}

/** An entry of an edge: a contract, alone or with options. */
export type EdgeEntry = EdgeContract | readonly [contract: EdgeContract, options: EdgeEntryOptions];

/** The entries of an edge by name; a name has 1 to 64 letters, digits, `-` and `_`. */
export type EdgeEntries = { readonly [name: string]: EdgeEntry };

/** The contract of an entry. */
export type ContractOf<E extends EdgeEntry> = E extends readonly [infer C, unknown] ? C : E;

/** The options of an entry. */
export type OptionsOf<E extends EdgeEntry> = E extends readonly [unknown, infer O] ? O : Record<never, never>;

/** Error codes of the edge itself, which it adds to the codes of Catga and of handlers. */
export type EdgeCode =
  | "UNAUTHORIZED"
  | "FORBIDDEN"
  | "NOT_FOUND"
  | "METHOD_NOT_ALLOWED"
  | "UNSUPPORTED_MEDIA_TYPE"
  | "REQUEST_TIMEOUT"
  | "RATE_LIMITED";

/** Error codes that a client may get from a contract with the failures `F`. */
export type ClientCode<F extends string> = F | ProgramCode | ErrorCode | EdgeCode;

/** A call of an edge's entry, as `authorize` sees it before the body is read. */
export interface EdgeCall {
  /** The name of the entry. */
  readonly name: string;
  /** Kind of the entry's contract. */
  readonly kind: "command" | "query" | "stream" | "event" | "workflow";
  /** Name of the entry's contract, which the entry's own name may differ from. */
  readonly contract: string;
  /** The option `meta` of the entry's contract. */
  readonly meta: ContractMeta | undefined;
  /** Workflows only: the id of the run; `undefined` if the call starts a run. */
  readonly run: string | undefined;
  /** The action that the caller requests of the entry. */
  readonly action: "send" | "read" | "follow" | "start" | "result" | "watch" | "tell" | "ask" | "cancel";
  /** Events only: the key whose events the caller follows; `undefined`: all events. */
  readonly key: string | undefined;
  /** Workflows only: the name of the signal that the caller sends. */
  readonly signal: string | undefined;
  /** Workflows only: the name of the question that the caller asks. */
  readonly question: string | undefined;
}

/** A run of a workflow that has not ended, as a client sees it. */
export interface OpenRun<View = unknown> {
  /** Id of the run. */
  readonly run: string;
  /** Status of the run: `running`, `waiting`, `retrying`, `stuck` or `undoing`. */
  readonly status: string;
  /** The value that the run shows, by `flow.show`; absent: none. */
  readonly view?: View | undefined;
  /** The last stage that the run's handler reported by `flow.stage`; absent: none. */
  readonly stage?: string | undefined;
  /**
   * Steps, sleeps and waits that have begun and not ended. `name`: the name of the step, sleep or wait; `next`: the
   * time at which it continues by itself, as an ISO date; `progress`: what the step has reported by `step.progress`.
   */
  readonly pending: readonly {
    readonly name: string;
    readonly next?: string | undefined;
    readonly progress?: unknown;
  }[];
}

/** An entry of an edge with its contract and its options, in the form in which the edge's handler uses it. */
export interface EdgeRoute {
  readonly name: string;
  readonly kind: EdgeCall["kind"];
  readonly contract: AnyContract | WorkflowContract<never, unknown, string>;
  readonly meta: ContractMeta | undefined;
  readonly options: EdgeEntryOptions;
}

/** Events inside an app that are not part of any result, as typed values for logs, behaviors and tests. */

/** Something that happened in an app outside of the handlers' own code; given to the logger and to behaviors. */
export type Observation =
  /**
   * A handler threw, with `behavior: true` a behavior around it; the caller has `HANDLER_FAILED`. With `schema`: this
   * schema of its contract threw, on the node of the handler; the caller has `INVALID_MESSAGE` or `INVALID_RESPONSE`.
   */
  | {
    readonly type: "handler-failed";
    readonly contract: string;
    readonly schema?: "input" | "output" | "items" | undefined;
    readonly behavior?: true | undefined;
    readonly id: string;
    readonly correlationId?: string | undefined;
    readonly error: unknown;
  }
  /** A request was not delivered, or was refused, and is sent to another node. */
  | {
    readonly type: "retry";
    readonly contract: string;
    readonly node: string;
    readonly reason: string;
    /** The attempt that follows. */
    readonly attempt: number;
    /** The headers of the message. */
    readonly headers?: Readonly<Record<string, string>> | undefined;
  }
  /** A frame of this node bounced: no process subscribes to its subject. */
  | { readonly type: "bounce"; readonly endpoint: string }
  /** Frames do not bounce: something subscribes to every subject. */
  | { readonly type: "no-bounces" }
  /** The breaker for a node has changed its state. */
  | { readonly type: "breaker"; readonly node: string; readonly state: "closed" | "open" | "half-open" }
  /**
   * Events were dropped, `count` of them since the last such observation of this contract: too many wait for their
   * handlers already. Reported at once, and then once a minute.
   */
  | { readonly type: "event-dropped"; readonly contract: string; readonly count: number }
  /** A lock was waited for, this many ms for this key; with a `code` when it was not acquired. */
  | { readonly type: "lock-wait"; readonly key: string; readonly ms: number; readonly code: string | undefined }
  /** A process is gone, as far as this node can tell, with `inHand` requests of this node that it had not answered. */
  | { readonly type: "gone"; readonly endpoint: string; readonly inHand: number }
  /**
   * A drain waited `ms` in vain for what `by` names, such as `command Brew (2)`, and goes on without it: handlers and
   * sends that it aborts, or steps that the store has not confirmed.
   */
  | { readonly type: "held-up"; readonly ms: number; readonly by: readonly string[] }
  /** Messages that are not valid frames arrived, `count` of them since the last such observation. */
  | { readonly type: "malformed"; readonly subject: string; readonly reason: string; readonly count: number }
  /** The connection was lost, closed, or made again. */
  | {
    readonly type: "connection";
    readonly state: "connected" | "disconnected" | "closed";
    readonly generation: number;
  }
  /**
   * `waitOnFirstConnect` waits for NATS at these addresses, or a reconnect is refused the credentials; reported at
   * once, and then once a minute.
   */
  | { readonly type: "unreachable"; readonly address: string; readonly reason: string }
  /** A node joined, changed or left; `lost`: without signing off. */
  | {
    readonly type: "node";
    readonly change: "join" | "update" | "leave" | "lost" | "suspect" | "alive";
    readonly node: string;
  }
  /**
   * Records of nodes were passed over since the last such observation, a minute ago at least: `unproven` of them
   * because too many nodes have not answered yet, `members` of them because the view is full.
   */
  | { readonly type: "crowded"; readonly unproven: number; readonly members: number }
  /** The server forbids this node something; reported once a minute for each subject. */
  | { readonly type: "forbidden"; readonly operation: "publish" | "subscribe"; readonly subject: string }
  /** The app was given `nats: undefined`, as that of a variable that is not set: it runs alone, in memory. */
  | { readonly type: "island" }
  /**
   * A subscription (`<service>/<name>`) is led by this node, or no longer: `deposed`, because another took it; or it
   * has stopped, waits, goes on, or went back in the log; or it has `begun` behind messages that are stored; or it is
   * `existing`, so that its `from` has no effect.
   */
  | {
    readonly type: "subscription";
    readonly subscription: string;
    readonly state:
      | "leading"
      | "deposed"
      | "handed over"
      | "stopped"
      | "going on"
      | "waiting"
      | "rewound"
      | "begun"
      | "existing";
    readonly reason: string | undefined;
  }
  /**
   * The log has lost messages that a subscription has not read, or was made again: it was read up to the sequence
   * `after` and goes on behind the loss, at `next`; `count` messages that were open are missing.
   */
  | {
    readonly type: "log-lost";
    readonly subscription: string;
    readonly reason: "remade" | "truncated" | "replaced" | "expired";
    readonly after: number;
    readonly next: number;
    readonly count?: number;
  }
  /** The oldest message that a subscription has not handled ends in `left` ms: every 10 minutes. */
  | {
    readonly type: "near-expiry";
    readonly subscription: string;
    readonly contract: string;
    readonly id: string;
    readonly left: number;
  }
  /** A stream has a limit of its size, and drops its oldest messages soon. */
  | { readonly type: "log-filling"; readonly stream: string; readonly bytes: number; readonly maxBytes: number }
  /** A message of the stream was stored, with `count` messages of a contract. Not logged. */
  | { readonly type: "stored"; readonly contract: string; readonly count: number }
  /**
   * Messages of a contract were handled for a subscription, `count` of them since the last such observation. Not
   * logged.
   */
  | { readonly type: "handled"; readonly subscription: string; readonly contract: string; readonly count: number }
  /** The handler of a message of the log failed; it is tried again after `pause` ms. */
  | {
    readonly type: "message-failed";
    readonly subscription: string;
    readonly contract: string;
    readonly id: string;
    readonly attempt: number;
    readonly code: string;
    readonly pause: number;
  }
  /** A message of the log is a dead letter now. */
  | {
    readonly type: "dead-letter";
    readonly subscription: string;
    readonly contract: string;
    readonly id: string;
    readonly attempts: number;
    readonly code: string;
    readonly message: string;
    /** Error that the handler threw, if it is known. */
    readonly cause?: string | undefined;
  }
  /**
   * An attempt of a step of a run failed with `error`; it is tried again after `pause` ms. `step` is empty for the
   * handler itself. What is out of reach is reported at the first attempt only.
   */
  | {
    readonly type: "run-failed";
    readonly workflow: string;
    readonly run: string;
    readonly step: string;
    readonly attempt: number;
    readonly code: string;
    readonly message: string;
    readonly pause: number;
    readonly error: unknown;
  }
  /**
   * A run of a workflow does not go on by itself: an operator has to decide. `step` is empty for the handler itself;
   * `error` is what it threw, if it threw.
   */
  | {
    readonly type: "run-stuck";
    readonly workflow: string;
    readonly run: string;
    readonly step: string;
    readonly code: string;
    readonly message: string;
    /** Text of what its last attempt threw, or the handler that it sent to in this process, if it is recorded. */
    readonly cause?: string | undefined;
    readonly error?: unknown;
  }
  /** A run that was stuck goes on, or has ended. */
  | { readonly type: "run-resumed"; readonly workflow: string; readonly run: string }
  /** Stored events of an entity cannot be read or applied by this node, and commands to it fail. */
  | { readonly type: "entity-unreadable"; readonly entity: string; readonly id: string; readonly message: string }
  /** An entity that could not be read was read again, or is forgotten. */
  | { readonly type: "entity-readable"; readonly entity: string; readonly id: string }
  /** A run of a workflow ended on this node, `ms` after its start; `code`: of its failure. */
  | {
    readonly type: "run-ended";
    readonly workflow: string;
    readonly run: string;
    readonly ms: number;
    readonly code: string | undefined;
  }
  /** A run of a workflow has so many entries that it may come to the limit. */
  | { readonly type: "run-long"; readonly workflow: string; readonly run: string; readonly entries: number }
  /** Something that an operator may want to know. */
  | { readonly type: "notice"; readonly text: string }
  /** Something failed in the background that should not fail; the app goes on. */
  | { readonly type: "fault"; readonly during: string; readonly error: unknown };

/** Takes observations. Must not throw. */
export type Observer = (observation: Observation) => void;

// What an app logs, at which level: a line for people, and fields for programs.

/**
 * The fields of a log line: `node`, the id of the node that logs; `type`, that of the {@link Observation}; and the
 * observation's other fields, with its own `node` as `peer`. An error is in `error`.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Destination of an app's log; `console` is one. Every message is one line and begins with `catga <node id>:`; control
 * characters from other processes are escaped in it (docs/security.md), and are not in the fields. What a method throws
 * goes to the console.
 *
 * @example
 * ```ts
 * import { catga, type Logger } from "@catga/catga";
 *
 * const line = (level: string) => (message: string, fields: object) =>
 *   console.log(JSON.stringify({ level, message, ...fields }));
 * const logger: Logger = { debug() {}, info: line("info"), warn: line("warn"), error: line("error") };
 * await using app = await catga({ logger });
 * ```
 */
export interface Logger {
  /** Each retry, each frame that bounced, and each wait for a lock. */
  debug(message: string, fields: LogFields): void;
  /** Nodes that join, leave, or stop answering; breakers that open and close. */
  info(message: string, fields: LogFields): void;
  /**
   * A connection that was lost, and its return; a first one that is waited for; what NATS forbids; messages that are
   * malformed, events that were dropped because too many wait, records of nodes that were passed over (each once a
   * minute at most); and bounces that do not arrive.
   */
  warn(message: string, fields: LogFields): void;
  /** Errors that handlers and schemas threw, and failures in the background: `fields.error`. */
  error(message: string, fields: LogFields): void;
}

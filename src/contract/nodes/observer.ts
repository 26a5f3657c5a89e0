/** Events inside an app that are not part of the result of any send, as typed values for logs, behaviors and tests. */

/**
 * An event inside an app, outside of the handlers' own code. The app passes it to the logger and to behaviors.
 * @decides what an observer is told, and the shape of a log line
 */
export type Observation =
  /**
   * A handler threw, or, with `behavior: true`, a behavior around it; the caller gets `HANDLER_FAILED`. With `schema`:
   * this schema of the contract (`input`, `output`) threw, on the handler's node; the caller gets `INVALID_MESSAGE` or
   * `INVALID_RESPONSE`.
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
    /** Number of the attempt that follows; the first attempt is 1. */
    readonly attempt: number;
    /** The headers of the message. */
    readonly headers?: Readonly<Record<string, string>> | undefined;
  }
  /** A frame that this node sent came back (bounced): no process subscribes to the frame's subject. */
  | { readonly type: "bounce"; readonly endpoint: string }
  /**
   * Frames (network messages) to dead processes do not come back, because some NATS client subscribes to every subject.
   */
  | { readonly type: "no-bounces" }
  /** The circuit breaker for a node has changed its state. */
  | { readonly type: "breaker"; readonly node: string; readonly state: "closed" | "open" | "half-open" }
  /**
   * Events were dropped because too many events already wait for their handlers. `count`: number of events of this
   * contract dropped since the last such observation. Reported at once, and then once a minute.
   */
  | { readonly type: "event-dropped"; readonly contract: string; readonly count: number }
  /** A handler or a program waited `ms` for the lock of `key`; `code`: code of the error if it did not get the lock. */
  | { readonly type: "lock-wait"; readonly key: string; readonly ms: number; readonly code: string | undefined }
  /**
   * Another process has died, as far as this node can tell. `inHand`: number of this node's requests that the process
   * had not answered.
   */
  | { readonly type: "gone"; readonly endpoint: string; readonly inHand: number }
  /**
   * A drain (orderly shutdown) waited `ms` in vain, and continues: `by` names the handlers and sends that it aborts,
   * such as `command Brew (2)`, or steps that the store has not confirmed.
   */
  | { readonly type: "held-up"; readonly ms: number; readonly by: readonly string[] }
  /**
   * Messages arrived that are not valid frames (network messages of Catga). `count`: their number since the last such
   * observation.
   */
  | { readonly type: "malformed"; readonly subject: string; readonly reason: string; readonly count: number }
  /** The connection to NATS was lost, closed, or established again. */
  | {
    readonly type: "connection";
    readonly state: "connected" | "disconnected" | "closed";
    readonly generation: number;
  }
  /**
   * The app cannot connect: with `waitOnFirstConnect` it waits for NATS at these addresses, or the server refuses its
   * credentials when it reconnects. Reported at once, and then once a minute.
   */
  | { readonly type: "unreachable"; readonly address: string; readonly reason: string }
  /** A node joined, changed or left the cluster; `lost`: it left without an orderly shutdown. */
  | {
    readonly type: "node";
    readonly change: "join" | "update" | "leave" | "lost" | "suspect" | "alive";
    readonly node: string;
  }
  /**
   * Records of nodes were ignored since the last such observation, which is a minute ago or more: `unproven` records
   * because too many nodes have not answered yet, `members` records because the list of nodes is full.
   */
  | { readonly type: "crowded"; readonly unproven: number; readonly members: number }
  /** The server denies this node a permission; reported once a minute for each subject. */
  | { readonly type: "forbidden"; readonly operation: "publish" | "subscribe"; readonly subject: string }
  /** The app was given `nats: undefined`, perhaps from a variable that is not set: it runs alone, in memory. */
  | { readonly type: "island" }
  /**
   * The state of a subscription (`<service>/<name>`) changed. `leading`: this node leads it; `deposed`: another node
   * has taken the lead from this node; `handed over`: this node has given up the lead; `stopped`: failed messages
   * cannot be stored, or too many wait that no node handles, so no message is given to a handler; `waiting`:
   * for a node that handles a contract, or for the end of an outage; `paused`: an operator has paused it; `going on`:
   * it no longer is `stopped`, `waiting` or `paused`; `rewound`: it went back in the log; `begun`: it, or a contract
   * that it handles, is new, and begins after the stored messages; `existing`: it is not new, so that its `from` has no
   * effect.
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
      | "paused"
      | "rewound"
      | "begun"
      | "existing";
    readonly reason: string | undefined;
  }
  /**
   * The log has lost messages that a subscription has not read, or was created anew. The subscription had read up to
   * the sequence `after`, and continues after the loss, at `next`. `count`: number of messages lost that it had read
   * and not handled.
   */
  | {
    readonly type: "log-lost";
    readonly subscription: string;
    readonly reason: "remade" | "truncated" | "replaced" | "expired";
    readonly after: number;
    readonly next: number;
    readonly count?: number;
  }
  /**
   * The oldest message that a subscription has not handled will be deleted from the log in `left` ms. Reported every 10
   * minutes.
   */
  | {
    readonly type: "near-expiry";
    readonly subscription: string;
    readonly contract: string;
    readonly id: string;
    readonly left: number;
  }
  /**
   * A stream with a size limit is nearly full, or has room again. `discard`: when it is full, it removes its oldest
   * messages, unhandled ones, too (`old`), or refuses new ones (`new`).
   */
  | {
    readonly type: "log-filling";
    readonly stream: string;
    readonly bytes: number;
    readonly maxBytes: number;
    readonly discard: "old" | "new";
  }
  /**
   * A stream or bucket of Catga has wrong settings, because of `reason`, or has its right settings again (`reason` is
   * `undefined`). `removed`: number of messages that were removed from the log's stream since its settings were right.
   */
  | {
    readonly type: "settings";
    readonly stream: string;
    readonly reason: string | undefined;
    readonly removed: number;
  }
  /**
   * The namespace is in two JetStream domains, of which this node uses `own`: durable events are handled in both, and
   * locks are held in both. Reported once a minute while that is noticed.
   */
  | { readonly type: "split"; readonly namespace: string; readonly own: string; readonly other: string }
  /**
   * A message of NATS was stored in the log's stream; `count` published messages of the contract are bundled in it. Not
   * logged.
   */
  | { readonly type: "stored"; readonly contract: string; readonly count: number }
  /**
   * Messages of a contract were handled for a subscription. `count`: their number since the last such observation. Not
   * logged.
   */
  | { readonly type: "handled"; readonly subscription: string; readonly contract: string; readonly count: number }
  /**
   * Messages of a contract were skipped for a subscription, by the `over` of a limit: they count as done. `count`:
   * their number since the last such observation. Not logged.
   */
  | { readonly type: "skipped"; readonly subscription: string; readonly contract: string; readonly count: number }
  /** The handler of a message of the log failed; the message is tried again after `pause` ms. */
  | {
    readonly type: "message-failed";
    readonly subscription: string;
    readonly contract: string;
    readonly id: string;
    readonly attempt: number;
    readonly code: string;
    readonly pause: number;
  }
  /** A message of the log has become a dead letter. */
  | {
    readonly type: "dead-letter";
    readonly subscription: string;
    readonly contract: string;
    readonly id: string;
    readonly attempts: number;
    readonly code: string;
    readonly message: string;
    /** Text of the error that the handler threw, if known. */
    readonly cause?: string | undefined;
  }
  /**
   * An attempt of a step of a run failed with `error`; it is tried again after `pause` ms. `step` is empty if the
   * workflow's handler itself failed. Further failures are not reported if they have the code of the failure before,
   * and that code is one of an outage, such as `UNAVAILABLE`.
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
   * A run of a workflow is stuck: an operator has to decide how it continues. `step` is empty if the workflow's handler
   * itself failed; `error`: the error that the handler threw, if it threw.
   */
  | {
    readonly type: "run-stuck";
    readonly workflow: string;
    readonly run: string;
    readonly step: string;
    readonly code: string;
    readonly message: string;
    /**
     * Text of the error that the step's last attempt threw, or that the handler of the step's message threw in this
     * process, if recorded.
     */
    readonly cause?: string | undefined;
    readonly error?: unknown;
  }
  /** A run of a workflow that was stuck continues, or has ended. */
  | { readonly type: "run-resumed"; readonly workflow: string; readonly run: string }
  /** The event loop of this node stood still for `ms` while a handler of a durable contract ran. */
  | { readonly type: "loop-blocked"; readonly contract: string; readonly ms: number }
  /** This node cannot read or apply stored events of an entity, so that commands to the entity fail on this node. */
  | { readonly type: "entity-unreadable"; readonly entity: string; readonly id: string; readonly message: string }
  /** This node has read an entity that it could not read before, or the entity was forgotten. */
  | { readonly type: "entity-readable"; readonly entity: string; readonly id: string }
  /** A run of a workflow ended on this node, `ms` after its start; `code`: the code of its failure, if it failed. */
  | {
    readonly type: "run-ended";
    readonly workflow: string;
    readonly run: string;
    readonly ms: number;
    readonly code: string | undefined;
  }
  /** This node was asked to complete a callback of a run; `code`: why it was not completed, if it was not. */
  | { readonly type: "callback"; readonly code: string | undefined }
  /** A run of a workflow has so many entries (stored records) that it may reach the limit. */
  | { readonly type: "run-long"; readonly workflow: string; readonly run: string; readonly entries: number }
  /** A notice in words, which an operator may want to read. */
  | { readonly type: "notice"; readonly text: string }
  /** A background task of the app failed unexpectedly; the app continues. */
  | { readonly type: "fault"; readonly during: string; readonly error: unknown };

/** Called with each observation of an app. It must not throw. */
export type Observer = (observation: Observation) => void;

// The logger of an app: each line has a text for people and fields for programs.

/**
 * The fields of a log line: `node`, the id of the node that logs; `type`, the observation's type; and the other fields
 * of the {@link Observation}; if the observation has a field `node`, that one is named `peer`. An error is in `error`.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Destination of an app's log; `console` is one. Every message is one line and begins with `catga <node id>:`. Control
 * characters are escaped in the message (docs/security.md), but not in `fields`: escape those where you print them. An
 * error that a method throws goes to the console.
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
  /** Called for debug lines: each retry, each frame that came back undelivered, and each wait for a lock. */
  debug(message: string, fields: LogFields): void;
  /** Called for information: nodes that join, leave, or stop answering, and circuit breakers that open and close. */
  info(message: string, fields: LogFields): void;
  /**
   * Called for warnings: when the connection is lost or returns, while the app waits for its first connection, when
   * NATS denies a permission, and when bounces do not arrive; at most once a minute each for malformed messages, events
   * that were dropped because too many wait, and records of nodes that were ignored.
   */
  warn(message: string, fields: LogFields): void;
  /**
   * Called for errors: errors that handlers and schemas threw, and failures in the background; the error is
   * `fields.error`.
   */
  error(message: string, fields: LogFields): void;
}

/** Information that nodes share about each other, and the strategies that choose a node for a request. */
import type { CatgaError } from "../../error.ts";

/**
 * A node as other nodes see it. The object is frozen.
 * @decides what a node tells others of itself; what a custom `route` function gets
 */
export interface NodeInfo {
  /** The node's id, unique in the cluster. */
  readonly id: string;
  /** Names the node's process: `<id>.<nonce>`, with a new nonce at every start. */
  readonly endpoint: string;
  /** The service that the node is a replica of. */
  readonly service: string;
  /** The names of the contracts that the node has handlers for, sorted. */
  readonly handles: readonly string[];
  /**
   * By position in {@link NodeInfo.handles}, the kind of the contract, a letter each: `c`ommand, `q`uery, `e`vent or
   * `s`tream. If it is absent, other nodes do not compare kinds.
   */
  readonly kinds?: string;
  /**
   * Subscriptions of the node's handlers to the log, sorted: `<subscription>/<event>`, and `@/<command>` for commands
   * that it takes from the log. Absent if there are none.
   */
  readonly subscriptions?: readonly string[];
  /** The names in {@link NodeInfo.handles} that are commands of entities, sorted. Absent if there are none. */
  readonly entities?: readonly string[];
  /**
   * One hash of the schemas and options of all contracts of the node: two nodes with equal hashes handle the same
   * contracts with the same schemas. Computed after the node has joined. Absent if no contract of the node has a
   * schema.
   */
  readonly shapes?: string;
  /** Why the node's program says, with `ready(false, why)`, that it is not ready; absent: it is ready. */
  readonly unready?: string;
  /** Time at which the node started, in ms since 1970 by its own clock. */
  readonly startedAt: number;
  /** Time at which the node last wrote its record, in ms since 1970 by its own clock. */
  readonly lastSeen: number;
  /** The `metadata` option of the node; over NATS also its `host`, and its `address` as the server sees it. */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Load of the node when it last wrote its record: `inFlight`, running handlers and sends that waited for answers;
   * `queued`, requests that waited for a handler.
   */
  readonly load: { readonly inFlight: number; readonly queued: number };
  /** The id of the NATS server, or memory network, that the node is connected to; empty without a connection. */
  readonly server: string;
  /** The version of the node's wire protocol. */
  readonly protocol: number;
  /** The node's version of Catga. */
  readonly version: string;
}

/** A change in the membership of a cluster: a node joined, changed or left. */
export interface NodeChange {
  /**
   * `join`: the node has a record, and has answered. `leave`: its record was deleted, or has expired and the node does
   * not answer. `update`: it wrote its record again, as it does in intervals of a third of its `heartbeat` (longer ones
   * in a cluster of more than 32 nodes), or another process took its id.
   */
  readonly type: "join" | "update" | "leave";
  /** The node, as this process last saw it. */
  readonly node: NodeInfo;
}

/** A request, as the {@link Strategy} (function that chooses a node) gets it. */
export interface RouteRequest {
  /** The routing key; absent if neither the send nor the contract gives one. */
  readonly key?: string | undefined;
  /** The id of the node that sends. */
  readonly self: string;
  /** Number of this attempt to send the request; the first is 1. */
  readonly attempt: number;
}

/**
 * Chooses the node for a request: returns one of the candidates, or `undefined` for none: the send then fails with
 * `NO_HANDLER` after 500 ms, unless the strategy, called again when nodes have joined, changed or left in this time,
 * chooses one. Candidates are the live nodes that handle the contract, at least one; suspect nodes, nodes that are not
 * ready, nodes whose circuit breaker is open, and nodes that this send has failed on are left out as long as there are
 * others. Called for every
 * attempt; must be quick. The send rejects with an error that the strategy throws.
 *
 * @example
 * ```ts
 * import { catga, query, type Strategy, unwrap } from "@catga/catga";
 * import { MemoryNetwork } from "@catga/catga/testing";
 *
 * const nearest: Strategy = (nodes) => nodes.find(({ metadata }) => metadata.zone === "north") ?? nodes[0];
 * const Whoami = query<void, string>("Whoami", { route: nearest });
 * const handlers = Whoami.handle((_, ctx) => ctx.node);
 * const network = new MemoryNetwork();
 * await using _a = await catga({ network, id: "a", handlers, metadata: { zone: "south" } });
 * await using b = await catga({ network, id: "b", handlers, metadata: { zone: "north" } });
 * console.log(unwrap(await b.send(Whoami))); // b
 * ```
 */
export type Strategy = (candidates: readonly NodeInfo[], request: RouteRequest) => NodeInfo | undefined;

/** The names of the built-in strategies. */
export type RouteName = "round-robin" | "local-first" | "hash" | "least-loaded" | "random";

/** A routing strategy: the name of a built-in one, or a function. */
export type Route = RouteName | Strategy;

// The health of a node, for an orchestrator's probes, a load balancer or a dashboard.

/**
 * The health of a node, returned by `app.health()`. Each call makes a new value without using the network: call it as
 * often as you like.
 */
export interface Health {
  /**
   * Status of the node:
   *
   * - `"starting"`: its read models (handlers of durable events with `each: "node"`) are still reading the log, for the
   *   first time, or anew because the log was lost.
   * - `"ready"`: it takes requests of other nodes.
   * - `"disconnected"`: the connection to NATS is lost; the node reconnects by itself.
   * - `"unlisted"`: it is connected, but its record is not in the store, so that other nodes do not see it, or soon
   *   will not. The node writes its record again by itself.
   * - `"forbidden"`: NATS denies the node's user the subscription to requests, to its own messages that come back
   *   undelivered, or to events. The app's log names the denied subject; the node subscribes again by itself.
   * - `"unready"`: its program has said so with `ready(false, why)`; `why` says the reason. Other nodes send requests
   *   to it only if no other node handles them.
   * - `"draining"`: it is leaving the cluster.
   * - `"stopped"`: it has stopped, after a drain or an error.
   */
  readonly status:
    | "starting"
    | "ready"
    | "disconnected"
    | "unlisted"
    | "forbidden"
    | "unready"
    | "draining"
    | "stopped";
  /** The reason that the program gave to `ready(false, why)`; absent while it is ready. */
  readonly why?: string | undefined;
  /** True if the node should get work: `status` is `"ready"`. For a readiness probe. */
  readonly ready: boolean;
  /** False if the node should be restarted: `status` is `"stopped"`. For a liveness probe. */
  readonly live: boolean;
  /** The node's id. */
  readonly node: string;
  /** The connection to NATS; `"none"` for an app in memory. */
  readonly connection: "none" | "connected" | "disconnected" | "closed";
  /**
   * True if the node's record is in the store, so that other nodes send requests to it. For an app in memory: true
   * until it drains.
   */
  readonly member: boolean;
  /** Number of live nodes that this node knows, including itself until it drains. */
  readonly nodes: number;
  /** Number of asynchronous handlers that run on this node, plus the sends of this node that wait for answers. */
  readonly inFlight: number;
  /** Number of messages of other nodes that wait on this node for their handlers. */
  readonly queued: number;
  /**
   * The subscriptions that this node has handlers for, as far as this node knows, read models (subscriptions with
   * `each: "node"`) included. The method `subscriptions()` asks the store for all subscriptions.
   */
  readonly subscriptions: readonly SubscriptionHealth[];
  /** The databases of the option `sql` of `catga()`; absent without that option. */
  readonly sql?: readonly StoreHealth[];
  /**
   * Alarms about problems that this node sees, the most urgent first; each lasts as long as its cause. `message`: a
   * sentence for people; `count`: how many messages, bytes or ms are concerned; `since`: a time in ms since 1970;
   * `docs`: the page with advice; `cause`: the error that a handler threw, if known.
   */
  readonly alarms: readonly {
    readonly kind:
      | "disconnected"
      | "namespace-split"
      | "no-node"
      | "subscription-stopped"
      | "replica-missing"
      | "store-full"
      | "stream-full"
      | "wrong-settings"
      | "message-expiring"
      | "node-gone"
      | "node-silent"
      | "dead-letters"
      | "handler-failing"
      | "handler-hanging"
      | "loop-blocked"
      | "version-away"
      | "subscription-abandoned"
      | "subscription-lagging"
      | "node-overloaded"
      | "paused"
      | "limit-invalid"
      | "run-stuck"
      | "entity-unreadable"
      | "outbox-halted"
      | "outbox-refused"
      | "outbox-late"
      | "schema-mismatch"
      | "breaker-open"
      | "clocks-apart";
    /** The contract, subscription, node or stream that the alarm concerns. */
    readonly about: string;
    /** `warning`: nothing is lost or blocked yet; `error`: something is. */
    readonly severity: "error" | "warning";
    readonly message: string;
    readonly since: number;
    readonly count: number;
    readonly docs: string;
    readonly cause?: string | undefined;
  }[];
}

/** The state of a store's outbox, as far as this node knows without asking. */
export interface StoreHealth {
  /** The name of the store. */
  readonly name: string;
  /** True if this node publishes what the outbox has. The counts are known only there. */
  readonly leads: boolean;
  /** Age of the oldest row of the outbox, in ms, when the relay last looked; 0: the outbox was empty. */
  readonly oldest: number;
  /** Number of rows that can never be stored in the log, and were set aside. */
  readonly refused: number;
  /** Why the relay has stopped until somebody decides; `undefined`: it has not. */
  readonly halted: string | undefined;
  /** The last error of the database or the log; `undefined`: the relay's last look succeeded. */
  readonly error: string | undefined;
}

/** A pause of a subscription by an operator: its messages stay in the log, in their order, until it is resumed. */
export interface SubscriptionPause {
  /** Time at which it was paused, in ms since 1970. */
  readonly since: number;
  /** Time at which it ends by itself, in ms since 1970; absent: it lasts until it is resumed. */
  readonly until?: number;
  /** Reason that the operator gave. */
  readonly reason?: string;
}

/** Settings of a limit by operators, in place of what the program says, until they clear them. */
export interface LimitOverride {
  /** Name of the limit; of one without a name its contract and place among the limits of the handler, as `Paid/0`. */
  readonly limit: string;
  /** The pause of the limit: none of its messages begins; absent: it is not paused. */
  readonly paused?: SubscriptionPause;
  /** Keys of which no message begins; absent: none. */
  readonly keys?: readonly KeyPause[];
  /** The numbers that count in place of the program's; absent: the program's count. */
  readonly set?: LimitSetting;
  /** Error of the stored setting, if it cannot be read: then all of it has no effect. Absent: it is valid. */
  readonly invalid?: string;
}

/** The pause of one key of a limit by an operator. */
export interface KeyPause extends SubscriptionPause {
  /** The key whose messages wait. */
  readonly key: string;
}

/** Numbers that an operator has set for a limit. Where one is absent, the program's number counts. */
export interface LimitSetting {
  /** Time at which they were set, in ms since 1970. */
  readonly since: number;
  /** Maximum number of messages that run at once. */
  readonly running?: number;
  /** `count` messages begin in `ms`. */
  readonly per?: readonly [count: number, ms: number];
  /** Number of messages that may begin at once after a pause. */
  readonly burst?: number;
}

/** State of a limit of a subscription, in its leader. */
export interface LimitHealth {
  /**
   * Name of the limit, or its contract and place among the limits of the handler, as `Paid/0`; then `by key` if each
   * key has the limit for itself.
   */
  readonly name: string;
  /** Number of messages that have a slot. */
  readonly running: number;
  /** Number of messages that wait for the limit. */
  readonly waiting: number;
  /** With `over`: number of messages that it has skipped since this node leads. */
  readonly skipped?: number;
  /** Time for which a handler has paused the limit, in ms; of a limit by key the longest of all its keys. */
  readonly pausedFor?: number;
  /** Number of keys that run, wait, or have used up their rate; only of a limit by key. */
  readonly keys?: number;
  /** The 10 keys of a limit by key of which most messages wait, those first; absent if none waits. */
  readonly waits?: readonly WaitingKey[];
}

/** A key of a limit for which messages wait. */
export interface WaitingKey {
  /** The key; a long one is cut after 200 characters. */
  readonly key: string;
  /** Number of its messages that have a slot. */
  readonly running: number;
  /** Number of its messages that wait for the limit. */
  readonly waiting: number;
}

/**
 * The state of a subscription, as far as this node knows without asking. Only the node that leads the subscription
 * knows its counts; on other nodes they are 0.
 */
export interface SubscriptionHealth {
  /** The service of the subscription; `"@"` for queued commands. */
  readonly service: string;
  /** The name of the subscription. */
  readonly name: string;
  /**
   * State of the subscription on this node:
   *
   * - `"leading"`: this node leads it: reads the log, and sends messages to the nodes with handlers.
   * - `"stalled"`: this node leads it, or has it as a read model, and cannot read the log; or this node leads it, and
   *   the store takes no writes. {@link SubscriptionHealth.error} says why. Work resumes by itself.
   * - `"stopped"`: this node leads it, and sends no messages to handlers, because failed messages cannot be parked
   *   (stored for a later attempt): too many are parked already, or the store is full; or because too many messages
   *   wait that no live node handles, as after a rollback.
   * - `"following"`: another node leads it, or no node does.
   * - `"catching up"`: a read model, which each node reads for itself, that has not yet handled the messages that the
   *   log had when it began; `"caught up"`: a read model that has handled them.
   */
  readonly state: "leading" | "stalled" | "stopped" | "following" | "catching up" | "caught up";
  /** The error because of which the state is `stalled`; most often its code is `CONSUMER_LIMIT`. */
  readonly error?: CatgaError;
  /**
   * Number of messages that the subscription has read and not handled: they run, or wait for other messages of their
   * key.
   */
  readonly open: number;
  /**
   * Number of messages of the log's stream that the subscription has not read; each has 1 to 512 events. The count is
   * up to 10 s old. For a read model (`each: "node"`): only messages that this node has received.
   */
  readonly lag: number;
  /**
   * Age of the oldest message that the subscription has read and not handled, in ms; parked messages (failed, and
   * stored for a later attempt) included; 0 if there is none.
   */
  readonly oldest: number;
  /**
   * Number of parked messages, which wait for their next attempt, for a node that handles them, or behind another
   * message of their key.
   */
  readonly retrying: number;
  /** Number of dead letters of the subscription. */
  readonly dead: number;
  /**
   * Time until the subscription's oldest unhandled message is deleted from the log, in ms; absent while more than a
   * quarter of the time for which the log keeps the message (`keep`) is left, or if none is unhandled.
   */
  readonly ends?: number;
  /** Number of messages that wait because no node handles their contract, by contract; absent if there are none. */
  readonly unhandled?: Readonly<Record<string, number>>;
  /**
   * The newest failure of a handler of the subscription since this node leads it: its message, and the error that the
   * handler threw (`cause`, as in a dead letter). For a read model (`each: "node"`): the failure of the first message
   * that this node keeps retrying, as long as it does.
   */
  readonly lastFailure?: {
    readonly contract: string;
    readonly id: string;
    readonly code: string;
    readonly message: string;
    readonly cause?: string | undefined;
    /** Time of the failure, in ms since 1970. */
    readonly at: number;
  };
  /**
   * The outage (something that a handler calls is out of reach) because of which messages wait. Failures because of an
   * outage do not count as attempts.
   */
  readonly outage?: {
    readonly contract: string;
    readonly code: string;
    readonly message: string;
    /** Time at which the first of the waiting messages first failed because of the outage, in ms since 1970. */
    readonly since: number;
  };
  /**
   * Messages that wait for a node with another version of their contract, or of their workflow, because all live nodes
   * have refused them; absent if there are none. `contract` and `message` (why it was refused): of the first of them.
   */
  readonly awaiting?: {
    readonly contract: string;
    readonly message: string;
    readonly count: number;
    /** Time at which the first of these messages was first refused, in ms since 1970. */
    readonly since: number;
  };
  /** The pause by which an operator has it hand out nothing, if this node leads it; absent if it is not paused. */
  readonly paused?: SubscriptionPause;
  /** The limits of the subscription's handlers, if this node leads it; absent if there are none. */
  readonly limits?: readonly LimitHealth[];
  /** Settings of its limits by operators, if this node leads it, each with 20 keys at most. Absent: none. */
  readonly overrides?: readonly LimitOverride[];
  /**
   * Messages whose handlers were aborted at their `timeout`, and were still running one more `timeout` later. Their
   * next attempts wait for the end of the handlers. `contract` and `node` (its id): of the first of these messages.
   */
  readonly hanging?: {
    readonly contract: string;
    readonly node: string | undefined;
    readonly count: number;
    /** Time since which the first of the aborted handlers is known to hang, in ms since 1970. */
    readonly since: number;
  };
}

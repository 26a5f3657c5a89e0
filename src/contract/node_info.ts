/** Information that nodes share about each other, and the strategies that choose a node for a request. */
import type { CatgaError } from "../error.ts";

/** A node as other nodes see it. Frozen. */
export interface NodeInfo {
  /** Its id: unique in the cluster. */
  readonly id: string;
  /** The process behind the id: `<id>.<nonce>`, the nonce new at every start. */
  readonly endpoint: string;
  /** The service that it is a replica of. */
  readonly service: string;
  /** The names of the contracts that it has handlers for, sorted. */
  readonly handles: readonly string[];
  /**
   * Kinds of {@link NodeInfo.handles}, a letter each: `c`ommand, `q`uery, `e`vent or `s`tream; without it kinds are not
   * compared.
   */
  readonly kinds?: string;
  /**
   * Subscriptions of its handlers to the log, sorted: `<subscription>/<event>` each, and `@/<command>` for commands
   * that it takes from the log; left out by nodes without.
   */
  readonly subscriptions?: readonly string[];
  /** Commands of entities among {@link NodeInfo.handles}, sorted; left out by nodes without. */
  readonly entities?: readonly string[];
  /**
   * One hash of the shapes of its contracts: nodes with the same one handle the same contracts with the same schemas.
   * Made after it has joined; left out by nodes none of whose contracts has a schema.
   */
  readonly shapes?: string;
  /** When it started, in ms since 1970 by its own clock. */
  readonly startedAt: number;
  /** When it last wrote its record, in ms since 1970 by its own clock. */
  readonly lastSeen: number;
  /**
   * The `metadata` that it was started with; over NATS also the `host` that it runs on, and its `address` as the server
   * sees it.
   */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * Load when it was last seen: handlers that ran and sends that awaited their answers (`inFlight`), and requests that
   * waited for their handlers (`queued`).
   */
  readonly load: { readonly inFlight: number; readonly queued: number };
  /** The id of the NATS server, or memory network, that it is connected to; empty without either. */
  readonly server: string;
  /** The version of the wire protocol that it speaks. */
  readonly protocol: number;
  /** The version of Catga that it runs. */
  readonly version: string;
}

/** A change in the membership of a cluster. */
export interface NodeChange {
  /**
   * `join`: it has a record, and has answered. `leave`: its record was deleted, or has expired and it does not answer.
   * `update`: it wrote its record again, as it does at every third of its `heartbeat`, or another process took its id.
   */
  readonly type: "join" | "update" | "leave";
  /** The node, as last seen. */
  readonly node: NodeInfo;
}

/** The request, for a {@link Strategy}. */
export interface RouteRequest {
  /** The routing key, when the send or the contract gives one. */
  readonly key?: string | undefined;
  /** The id of the node that sends. */
  readonly self: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
}

/**
 * Chooses the node for a request: one of the candidates, or `undefined` for none of them, which ends the send with
 * `NO_HANDLER` 500 ms later. Candidates are the live nodes that handle the contract, at least one; suspect nodes, nodes
 * whose breaker is open and nodes that this send has failed on are left out as long as there are others. Called for
 * every attempt; must be quick. The send rejects with what it throws.
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

/** A built-in strategy's name, or a strategy. */
export type Route = RouteName | Strategy;

// The health of a node, for an orchestrator's probes, a load balancer or a dashboard.

/**
 * The health of a node: what `app.health()` returns. A new value at each call, made without the network: read it as
 * often as you like.
 */
export interface Health {
  /**
   * - `"starting"`: its read models have not caught up with the log: it reads it for the first time, or anew because it
   *   was lost.
   * - `"ready"`: it takes requests of other nodes.
   * - `"disconnected"`: the connection to NATS is lost; it reconnects by itself.
   * - `"unlisted"`: it is connected, but its record is not in the store, so that other nodes do not see it, or soon
   *   will not. It writes the record again by itself.
   * - `"forbidden"`: NATS denies its user the subscription to requests, bounces or events, which the log names; it
   *   subscribes again by itself.
   * - `"draining"`: it is leaving the cluster.
   * - `"stopped"`: it has stopped, after a drain or an error.
   */
  readonly status: "starting" | "ready" | "disconnected" | "unlisted" | "forbidden" | "draining" | "stopped";
  /** True if it should get work: `status` is `"ready"`. For a readiness probe. */
  readonly ready: boolean;
  /** False if it should be restarted: `status` is `"stopped"`. For a liveness probe. */
  readonly live: boolean;
  /** Its id. */
  readonly node: string;
  /** The connection to the network; `"none"` for an app in memory. */
  readonly connection: "none" | "connected" | "disconnected" | "closed";
  /**
   * True if its record is in the membership, so that others send to it. Always for an app in memory, until it drains.
   */
  readonly member: boolean;
  /** Number of live nodes that it knows: itself until it drains. */
  readonly nodes: number;
  /** Asynchronous handlers that run here, and sends from here that wait for their answers. */
  readonly inFlight: number;
  /** Messages of other nodes that wait here for their handlers. */
  readonly queued: number;
  /**
   * The subscriptions that this node has handlers of, as it sees them; read models too. `subscriptions()` asks the
   * store for all.
   */
  readonly subscriptions: readonly SubscriptionHealth[];
  /**
   * Alarms about what this node sees, the most urgent first; each stands as long as what it is about. `message` is a
   * sentence for people, `count` how many are concerned (messages, bytes, ms), `since` a time in ms since 1970, `docs`
   * the page that says what to do, and `cause` what a handler threw, if that is known.
   */
  readonly alarms: readonly {
    readonly kind:
      | "disconnected"
      | "no-node"
      | "subscription-stopped"
      | "replica-missing"
      | "store-full"
      | "stream-full"
      | "message-expiring"
      | "node-gone"
      | "node-silent"
      | "dead-letters"
      | "handler-failing"
      | "handler-hanging"
      | "subscription-abandoned"
      | "subscription-lagging"
      | "node-overloaded"
      | "run-stuck"
      | "entity-unreadable"
      | "schema-mismatch"
      | "breaker-open"
      | "clocks-apart";
    /** The contract, subscription, node or stream. */
    readonly about: string;
    /** `warning`: nothing is lost or stands still yet. */
    readonly severity: "error" | "warning";
    readonly message: string;
    readonly since: number;
    readonly count: number;
    readonly docs: string;
    readonly cause?: string | undefined;
  }[];
}

/**
 * The state of a subscription, as far as this node knows without asking. The figures are those of the node that leads
 * it; 0 elsewhere.
 */
export interface SubscriptionHealth {
  /** Whose subscription it is; `"@"` for queued commands. */
  readonly service: string;
  /** Its name. */
  readonly name: string;
  /**
   * - `"leading"`: this node reads the log for it, and hands the messages out.
   * - `"stalled"`: this node leads it, or has it as a read model, and cannot read, or leads it while the store takes no
   *   writes: {@link SubscriptionHealth.error} says why. It goes on by itself when it can.
   * - `"stopped"`: this node leads it, and hands nothing out because failed messages cannot be put aside: too many are,
   *   or the store is full.
   * - `"following"`: another node leads it, or none.
   * - `"catching up"`, `"caught up"`: a read model, which each node reads for itself: whether it has handled what the
   *   log had when it began.
   */
  readonly state: "leading" | "stalled" | "stopped" | "following" | "catching up" | "caught up";
  /** Why it is stalled: most often the code `CONSUMER_LIMIT`. */
  readonly error?: CatgaError;
  /** Messages that were read and are not handled: they run, or wait for others of their key. */
  readonly open: number;
  /**
   * Messages of the stream that are not read, 10 s ago at most: each has 1 to 512 events. Of a read model: of those
   * that have arrived.
   */
  readonly lag: number;
  /** Age of the oldest message that was read and is not handled, parked ones included, in ms; 0 if there is none. */
  readonly oldest: number;
  /** Messages that are parked: they wait for their next attempt, or behind another of their key. */
  readonly retrying: number;
  /** Dead letters. */
  readonly dead: number;
  /** How soon the oldest of `open` is deleted from the log, in ms, if that is in the last quarter of its `keep`. */
  readonly ends?: number;
  /** Messages that wait for a node that handles them, by contract, if there are any. */
  readonly unhandled?: Readonly<Record<string, number>>;
  /**
   * The newest failure of a handler since this node leads it: of which message, and what the handler threw (`cause`, as
   * in a dead letter). Of a read model: of the first message that it tries again and again, while it does.
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
  /** The outage that messages wait for: something that their handler calls is out of reach, which is no attempt. */
  readonly outage?: {
    readonly contract: string;
    readonly code: string;
    readonly message: string;
    /** Time since which the first of them waits, in ms since 1970. */
    readonly since: number;
  };
  /**
   * The messages whose handlers, aborted when their `timeout` was over, still went on when that had passed again: the
   * next attempt waits for their end. `contract` and `node` (its id): those of the first.
   */
  readonly hanging?: {
    readonly contract: string;
    readonly node: string | undefined;
    readonly count: number;
    /** Time since which the first of them is known, in ms since 1970. */
    readonly since: number;
  };
}

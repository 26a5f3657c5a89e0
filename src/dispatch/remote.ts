/** The interface of an app to its cluster; the folder `cluster/` implements it, `catga.ts` connects it. */
import type { RecordedLog } from "../contract/nodes/attached_store.ts";
import type { Backlog } from "./admission_queue.ts";
import type { Admission } from "./admission.ts";
import type { ObservedMismatch } from "../contract/nodes/alarms.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Health, NodeChange, NodeInfo, Route, SubscriptionHealth } from "../contract/nodes/node_info.ts";
import type { Result } from "../contract/calls/result.ts";
import type { BroadcastResult } from "../contract/calls/sender.ts";
import type { ParentMessage } from "./context_host.ts";
import type { Refusal } from "./outcome.ts";
import type { ItemSink } from "./item_ports.ts";
import type {
  DeadLetter,
  DeadLetterOptions,
  EventFollower,
  FollowEventsOptions,
  LimitControl,
  PauseOptions,
  SubscriptionInfo,
} from "../contract/calls/durable_messages.ts";

/** The cluster of a node, as the node uses it. */
export interface Remote {
  /** The description of this node that other nodes see. */
  readonly self: NodeInfo;
  readonly router: RequestRouter;
  /** State of the cluster's connection, membership and queue. */
  readonly health: ClusterHealth;
  /** The live nodes, this node included, sorted by id. */
  nodes(): readonly NodeInfo[];
  /** Returns the changes of membership from now on. Ends when the signal aborts or the node stops. */
  watchNodes(signal: AbortSignal | undefined): AsyncIterableIterator<NodeChange>;
  /** Returns the shape of a contract on a node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, name: string): string | undefined;
  /**
   * Parts of messages and answers that this node and nodes with other versions of a contract would refuse from each
   * other, as far as known.
   */
  readonly mismatches: readonly ObservedMismatch[];
  /** Writes this node's record again. Called when the program has said that the node is ready, or not. */
  announce(): void;
  /** Returns true if this node has joined, and knows no other node that handles the contract. */
  alone(name: string): boolean;
  /**
   * Returns true if all nodes that handle a contract declare it as a command of an entity. If no node handles it at the
   * time of the call: the answer that held for the last node that handled it.
   */
  ofEntity(name: string): boolean;
  /**
   * Resolves with true if the process of an endpoint has certainly died: pings to it have come back undelivered for
   * long enough; with false if that is not known.
   */
  gone(endpoint: string): Promise<boolean>;
  /** Returns for how long pings to an endpoint are known to bounce, in ms; 0: its process may be there. */
  absent(endpoint: string): number;
  /**
   * Publishes an event. It is sent within two turns of the event loop, or by {@link Remote.close} if the node closes
   * earlier.
   */
  publish(event: RemoteEvent): Result<void>;
  /** Removes this node from the membership; afterwards it refuses new requests. */
  leave(): Promise<void>;
  /** Refuses new requests with `DRAINING`, even if the node has not left the membership yet. */
  refuse(): void;
  /** Sends all messages that are waiting to be sent, and ends every subscription. */
  close(): Promise<void>;
}

/** Chooses the nodes for requests, and sends the requests. */
export interface RequestRouter {
  /**
   * Sends a request to one node, which may be this node, and resolves with the result. `refused`: the refusal by this
   * node, if the first attempt was made here. Rejects only with an error that a strategy of the program throws.
   */
  request(request: RemoteRequest, refused?: Refusal): Promise<Result<unknown>>;
  /** Sends a request to one node, like `request`, but calls `caller` with the result instead of returning a promise. */
  begin(request: RemoteRequest, caller: ResultReceiver, refused?: Refusal): void;
  /** Sends a request to every node that has a handler, and resolves with all their results. Never rejects. */
  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]>;
}

/** The part of an app's `Health` that its cluster knows. */
export type ClusterHealth = Pick<Health, "member" | "queued"> & {
  readonly connection: "connected" | "disconnected" | "closed";
  /** True while the NATS server denies a subscription that the node cannot work without. */
  readonly forbidden: boolean;
  /** Messages of other nodes that wait, because this node already runs as many handlers for other nodes as it may. */
  readonly backlog?: Backlog | undefined;
};

/** A request that is to be sent to a node. Its payload has passed the contract's schema. */
export interface RemoteRequest {
  readonly contract: AnyContract;
  /** The payload as the sender gave it, before the contract's schema; this value is sent. */
  readonly payload: unknown;
  /** The payload as text, if it was encoded before: a broadcast encodes it once for all nodes. */
  readonly text?: string | undefined;
  /** The payload as the contract's schema parsed it, for a handler in this process. */
  readonly parsed: unknown;
  /** The time until the request's deadline, in ms. */
  readonly timeout: number;
  readonly retries: number;
  readonly route: Route;
  readonly key: string | undefined;
  /** The id of the only node that may handle the request; `undefined`: any node. */
  readonly node: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly meta: Meta | undefined;
  readonly parent: ParentMessage | undefined;
  /**
   * True if the request is a command of an entity. It may be sent again after a failure, because it is applied once for
   * its id, whichever node handles it.
   */
  readonly ofEntity?: boolean | undefined;
  /** Streams only: receives the items. */
  readonly items?: ItemSink | undefined;
  /**
   * Lets the handler of this process run when there is room, if the request comes here. Set for requests of plain NATS
   * clients (programs without Catga); absent: the handler runs at once.
   */
  readonly admit?: Admission | undefined;
  /** The names of the shapes (versions of the contract) whose schemas have refused the request, if any. */
  readonly refusedBy?: ReadonlySet<string> | undefined;
  /** Gets the endpoint of each node to which the router sends the request, this node included. */
  readonly sent?: TrackedCaller | undefined;
}

/**
 * The receiver of a request's result. One of its methods is called, once, perhaps within the call that sends the
 * request.
 */
export interface ResultReceiver {
  resolve(result: Result<unknown>): void;
  /** Ends the request with the error that a routing strategy of the program threw. */
  reject(error: unknown): void;
}

/** Receives a request's result, and also the endpoint of each process to which the request is sent. */
export interface TrackedCaller extends ResultReceiver {
  endpoint: string;
}

/** Metadata that is sent with a message. Members with default values are absent. */
export interface Meta {
  readonly id?: string | undefined;
  /** Id of the first message of the chain of sends. */
  readonly correlation?: string | undefined;
  /** Id of the message whose handler sent this message. */
  readonly causation?: string | undefined;
  /**
   * Names of the runs of handlers that wait for this message, the outermost first; each name is the endpoint of the
   * run's process with numbers, unique among all runs.
   */
  readonly ancestry?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Ordered contracts only: the routing key, if it is not the key that the contract makes of the payload. */
  readonly key?: string | undefined;
  /**
   * Name of this send, the same in all of its attempts. Only commands of entities to which the sender gave an id have
   * it; `undefined` for all other messages.
   */
  readonly send?: string | undefined;
  /**
   * Time from the first send with this id to the deadline of this send, in ms. Only commands of entities that an
   * earlier send or attempt with this id may have applied have it; `undefined` for all other messages.
   */
  readonly span?: number | undefined;
  /**
   * True for an event that another node of the service passed on to this node, because that node's schema had refused
   * it: only handlers that run once in each service get it, and it is not passed on again.
   */
  readonly passedOn?: true | undefined;
  /**
   * True for a command that may have run in an earlier attempt or send. Its sender repeats it because the command is
   * idempotent, or one of an entity, as far as the sender knows; a node whose version of the contract is neither
   * refuses it.
   */
  readonly ran?: true | undefined;
}

/** An event to be published. Its payload has passed the contract's schema. */
export interface RemoteEvent {
  readonly contract: AnyContract;
  readonly payload: unknown;
  readonly meta: Meta | undefined;
}

// The interface of an app to the log, for durable events and queued commands. The folder `log/` implements it,
// `catga.ts` connects it.

/**
 * A message to be stored. Its payload has passed the contract's schema, but is stored as it was before the schema. The
 * log tries for `timeout` ms to store the message. `parent`: the message whose handler sends this one; when the parent
 * ends, a queued command that is not stored yet is no longer tried.
 */
export interface DurableMessage
  extends Pick<RemoteRequest, "contract" | "payload" | "key" | "meta" | "timeout" | "signal" | "parent"> {
  /** The time, or the cron schedule, at which the message is to be handled; `undefined`: as soon as possible. */
  readonly schedule: Schedule | undefined;
}

/** The time, or the cron schedule, at which a message is to be handled. */
export type Schedule =
  /**
   * `longest`: longest wait since the first message of the id that has waited, in ms. `ofProcess`: see {@link
   * LogSchedule.ofProcess}.
   */
  | { readonly delay: number; readonly longest?: number | undefined; readonly ofProcess?: true }
  | { readonly at: Date }
  | { readonly cron: string; readonly zone: string | undefined };

/** Why a stored message waits for a node with another version of its contract. */
export interface AwaitedVersion {
  readonly code: string;
  readonly message: string;
  /** Time of the first refusal, in ms since 1970. */
  readonly since: number;
  /** Time at which the newest refusal was stored, by the server's clock, in ms since 1970. */
  readonly newest: number;
}

/** The stored messages that all live nodes have refused, and that wait for a node with another version. */
export interface AwaitingMessages {
  /**
   * Returns why one of the messages with these ids waits, in a subscription of this name; `undefined`: none of them
   * does. Rejects with `UNAVAILABLE`.
   */
  of(subscription: string, ids: readonly string[]): Promise<AwaitedVersion | undefined>;
  /**
   * Returns why a message waits in a subscription of this name: the first one for whose payload `is` returns true;
   * `undefined`: there is none. Reads all parked messages of the subscription. Rejects with `UNAVAILABLE`.
   */
  find(subscription: string, is: (payload: unknown) => boolean): Promise<AwaitedVersion | undefined>;
}

/** The log, as one node uses it; opened when it is first needed. */
export interface DurableLog {
  /** Stores a message in the log; the result is ok when it is stored. Never rejects. */
  publish(message: DurableMessage): Promise<Result<void>>;
  unschedule(contract: AnyContract, id: string): Promise<boolean>;
  /** Returns the log for the relay of an outbox. */
  recorded(): RecordedLog;
  /**
   * Starts the read models of this node (subscriptions with `each: "node"`), before the node joins its cluster.
   * Resolves when they have handled the messages that were in the log at the call. Begins to open the streams of the
   * other subscriptions, too.
   */
  catchUp(): Promise<void>;
  /**
   * Starts the subscriptions of this node's handlers; to be called after the node has joined. Resolves when each
   * subscription has a record in the store, so that messages published from then on are handled.
   */
  start(): Promise<void>;
  /** True if each read model of this node has handled the messages that the log had when the read model began. */
  readonly caughtUp: boolean;
  /** The state of the subscriptions of this node's handlers, read models included; computed without the network. */
  readonly health: readonly SubscriptionHealth[];
  subscriptions(): Promise<readonly SubscriptionInfo[]>;
  deadLetters(options: DeadLetterOptions): AsyncIterableIterator<DeadLetter>;
  /** Returns the messages that wait for a node with another version; they are read when they are first asked for. */
  refused(): AwaitingMessages;
  rewind(subscription: string, to: "start" | number | Date): Promise<void>;
  pause(subscription: string, options: PauseOptions): Promise<void>;
  resume(subscription: string): Promise<void>;
  /** Returns what changes a limit of a subscription. */
  limit(subscription: string, limit: string): LimitControl;
  /** Returns the events of a durable contract, in the order of the log. */
  follow(contract: AnyContract, options: FollowEventsOptions): EventFollower<unknown>;
  /**
   * Gives up the leadership of this node's subscriptions to other nodes, with the messages that are not handled yet,
   * and takes no more messages. Called when a drain begins. While handlers of this node run messages of a subscription
   * that it leads, it leads that one on, for `patience` ms at most.
   */
  leave(patience: number): Promise<void>;
  /** Waits for publications in progress, and closes the log. */
  close(): Promise<void>;
}

// One node's part of a broadcast.

/**
 * Makes the request for one node of a broadcast. An idempotent command gets a different id for each node, so that it
 * runs once on each.
 */
export function requestOf(broadcast: RemoteRequest, node: string): RemoteRequest {
  const { contract, meta } = broadcast;
  const own = contract.options.idempotent ? { ...meta, id: `${meta?.id}@${node}` } : meta;
  return { ...broadcast, node, retries: 0, meta: own };
}

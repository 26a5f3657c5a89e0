/** The interface that an app uses of its cluster; `cluster/` implements it, `catga.ts` connects it. */
import type { Backlog } from "./admission_queue.ts";
import type { ObservedMismatch } from "../contract/alarms.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Health, NodeChange, NodeInfo, Route, SubscriptionHealth } from "../contract/node_info.ts";
import type { Result } from "../contract/result.ts";
import type { BroadcastResult } from "../contract/sender.ts";
import type { Admission } from "./admission_deadlock.ts";
import type { ParentMessage } from "./context_host.ts";
import type { Refusal } from "./outcome.ts";
import type { ItemSink } from "./item_ports.ts";
import type { DeadLetter, DeadLetterOptions, SubscriptionInfo } from "../contract/durable_messages.ts";
import type { EventFollower, FollowEventsOptions } from "../contract/followed_event.ts";

/** The cluster of a node. */
export interface Remote {
  /** Description of this node. */
  readonly self: NodeInfo;
  readonly router: RequestRouter;
  /** State of the cluster's connection, membership and queue. */
  readonly health: ClusterHealth;
  /** The live nodes, this node included, sorted by id. */
  nodes(): readonly NodeInfo[];
  /** Returns the changes of membership from now on. Ends when the signal aborts or the node stops. */
  watchNodes(signal: AbortSignal | undefined): AsyncIterableIterator<NodeChange>;
  /** The shape of a contract on a node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, name: string): string | undefined;
  /**
   * Parts of messages and answers that nodes of other versions would refuse from this node, or this node from them, as
   * far as known.
   */
  readonly mismatches: readonly ObservedMismatch[];
  /** Returns true if this node has joined, and no other node in its view handles the contract. */
  alone(name: string): boolean;
  /**
   * Returns true if all nodes that handle a contract, or the last node that did, say that it is a command of an entity.
   */
  ofEntity(name: string): boolean;
  /**
   * Resolves with true if pings to this endpoint have bounced for so long that its process is gone; with false if that
   * is not known.
   */
  gone(endpoint: string): Promise<boolean>;
  /** Publishes an event. It is sent within two turns of the event loop, by {@link Remote.close} at the latest. */
  publish(event: RemoteEvent): Result<void>;
  /** Removes this node from the membership; afterwards it refuses new requests. */
  leave(): Promise<void>;
  /** Sends everything that is still to be sent, and ends every subscription. */
  close(): Promise<void>;
}

/** Chooses the nodes for requests, and sends the requests. */
export interface RequestRouter {
  /**
   * Lets one node handle a request; it may be this node. `refused`: the refusal by this node, if its first attempt was
   * here. Rejects only with an error that a user's strategy throws.
   */
  request(request: RemoteRequest, refused?: Refusal): Promise<Result<unknown>>;
  /** Like {@link RequestRouter.request}, but calls `caller` instead of returning a promise. */
  begin(request: RemoteRequest, caller: ResultReceiver, refused?: Refusal): void;
  /** Lets every node that has a handler handle a request. Never rejects. */
  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]>;
}

/** The part of an app's health that its cluster adds. */
export type ClusterHealth = Pick<Health, "member" | "queued"> & {
  readonly connection: "connected" | "disconnected" | "closed";
  /** True while the server denies a subscription that the node cannot work without. */
  readonly forbidden: boolean;
  /** Messages of other nodes that find all turns of this node taken. */
  readonly backlog?: Backlog | undefined;
};

/** A request for which a node is to be chosen. Its payload has passed the contract's schema. */
export interface RemoteRequest {
  readonly contract: AnyContract;
  /** The payload before the contract's schema: this value is sent. */
  readonly payload: unknown;
  /** The payload as text, if it has been encoded already: a broadcast encodes it once for all nodes. */
  readonly text?: string | undefined;
  /** The payload after the contract's schema: for a handler in this process. */
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
   * True if the request is a command of an entity: it is applied once for its id, whichever node decides it, so it may
   * be sent again.
   */
  readonly ofEntity?: boolean | undefined;
  /** Streams only: the reader of the items. */
  readonly items?: ItemSink | undefined;
  /** Admission to the handlers of this process, for requests of plain NATS clients; absent: run at once. */
  readonly admit?: Admission | undefined;
  /** The names of the shapes whose schemas have refused the request, if any. */
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
  /** Called if a strategy of the user's threw. */
  reject(error: unknown): void;
}

/** A receiver that also gets the endpoint of the process to which its request was sent last. */
export interface TrackedCaller extends ResultReceiver {
  endpoint: string;
}

/** Metadata of a message. Members with default values are absent. */
export interface Meta {
  readonly id?: string | undefined;
  /** Id of the first message of the chain. */
  readonly correlation?: string | undefined;
  /** Id of the message whose handler sent this message. */
  readonly causation?: string | undefined;
  /** Names of the handler runs that await this message, the outermost first. */
  readonly ancestry?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Ordered contracts only: the routing key, if it is not the key of the payload. */
  readonly key?: string | undefined;
  /** Commands of entities with an id from the sender only: name of this send, the same in all of its attempts. */
  readonly send?: string | undefined;
  /** Commands of entities that may have been decided before only: time from the first send to the deadline, in ms. */
  readonly span?: number | undefined;
  /**
   * True for an event that another node of the service refused: only handlers that run once in each service take it,
   * and it is not passed on again.
   */
  readonly passedOn?: true | undefined;
}

/** An event to be published. Its payload has passed the contract's schema. */
export interface RemoteEvent {
  readonly contract: AnyContract;
  readonly payload: unknown;
  readonly meta: Meta | undefined;
}

// The interface that an app uses of the log, for durable events and queued commands. `log/` implements it, `catga.ts`
// connects it.

/**
 * A message to be stored. Its payload has passed the contract's schema, but is stored as it was before the schema.
 * Storing is tried for `timeout` ms. `parent`: the message whose handler sends it; when that message ends, a queued
 * command that is not stored yet ends, too.
 */
export interface DurableMessage
  extends Pick<RemoteRequest, "contract" | "payload" | "key" | "meta" | "timeout" | "signal" | "parent"> {
  /** Time or cron at which the message is to be handled; `undefined`: now. */
  readonly schedule: Schedule | undefined;
}

/** Time or cron at which a message is to be handled. */
export type Schedule =
  | { readonly delay: number }
  | { readonly at: Date }
  | { readonly cron: string; readonly zone: string | undefined };

/** The log of one node, opened when it is first needed. */
export interface DurableLog {
  /** Stores a message; ok when it is stored. Never rejects. */
  publish(message: DurableMessage): Promise<Result<void>>;
  unschedule(contract: AnyContract, id: string): Promise<boolean>;
  /** Starts the read models of this node, before it joins its cluster. Resolves when they have caught up. */
  catchUp(): Promise<void>;
  /**
   * Starts the subscriptions of this node's handlers, after it has joined. Resolves when each has a record, so that
   * messages published from then on are handled.
   */
  start(): Promise<void>;
  /** True if the read models have caught up. */
  readonly caughtUp: boolean;
  /** The subscriptions of this node's handlers, read models included; made without the network. */
  readonly health: readonly SubscriptionHealth[];
  subscriptions(): Promise<readonly SubscriptionInfo[]>;
  deadLetters(options: DeadLetterOptions): AsyncIterableIterator<DeadLetter>;
  rewind(subscription: string, to: "start" | number | Date): Promise<void>;
  /** Follows the events of a durable contract. */
  follow(contract: AnyContract, options: FollowEventsOptions): EventFollower<unknown>;
  /**
   * Gives up the lead of its subscriptions, handing over open messages, and takes no more messages. Called when a drain
   * begins.
   */
  leave(): Promise<void>;
  /** Settles publications that are under way, and ends the log. */
  close(): Promise<void>;
}

// One node's part of a broadcast.

/**
 * Makes the request for one node of a broadcast. An idempotent command gets a different id for each node, and runs once
 * on each.
 */
export function requestOf(broadcast: RemoteRequest, node: string): RemoteRequest {
  const { contract, meta } = broadcast;
  const own = contract.options.idempotent ? { ...meta, id: `${meta?.id}@${node}` } : meta;
  return { ...broadcast, node, retries: 0, meta: own };
}

/** Dependencies of an app on its cluster; `cluster/` implements it, `catga.ts` wires it. */
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
  /** This node. */
  readonly self: NodeInfo;
  readonly router: RequestRouter;
  /** Its connection, membership and queue. */
  readonly health: ClusterHealth;
  /** The live nodes, this one included, sorted by id. */
  nodes(): readonly NodeInfo[];
  /** The changes from now on. Ends when the signal aborts or the node stops. */
  watchNodes(signal: AbortSignal | undefined): AsyncIterableIterator<NodeChange>;
  /** The shape of a contract on a node; `undefined`: unknown. */
  shapeAt(node: NodeInfo, name: string): string | undefined;
  /** What this node sends and nodes of other versions would refuse, and the other way round, as far as is known. */
  readonly mismatches: readonly ObservedMismatch[];
  /** Returns true if this node has joined, and no other node in its view handles a contract. */
  alone(name: string): boolean;
  /** Returns true if all nodes that handle a contract, or the last one that did, say that it is one of an entity. */
  ofEntity(name: string): boolean;
  /**
   * Resolves with true if pings to this endpoint have bounced for so long that its process is gone. `false` if that is
   * not known.
   */
  gone(endpoint: string): Promise<boolean>;
  /** Publishes an event: it is sent within two turns of the event loop, by {@link Remote.close} at the latest. */
  publish(event: RemoteEvent): Result<void>;
  /** Removes this node from the membership; it refuses new requests from then on. */
  leave(): Promise<void>;
  /** Sends what is still to be sent, and ends every subscription. */
  close(): Promise<void>;
}

/** Chooses the nodes that handle requests. */
export interface RequestRouter {
  /**
   * Has a request handled by one node, which may be this one; `refused`: this node has refused it, as its first
   * attempt. Rejects only with what a user's strategy throws.
   */
  request(request: RemoteRequest, refused?: Refusal): Promise<Result<unknown>>;
  /** As {@link RequestRouter.request}, without a promise. */
  begin(request: RemoteRequest, caller: ResultReceiver, refused?: Refusal): void;
  /** Has a request handled by every node that has a handler for it. Never rejects. */
  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]>;
}

/** Part of the health of an app that its cluster adds. */
export type ClusterHealth = Pick<Health, "member" | "queued"> & {
  readonly connection: "connected" | "disconnected" | "closed";
  /** True while the server denies it a subscription that a node cannot do without. */
  readonly forbidden: boolean;
  /** Messages of other nodes that find all turns of this one taken. */
  readonly backlog?: Backlog | undefined;
};

/** A request for which a node is to be selected. Its payload has passed the contract's schema. */
export interface RemoteRequest {
  readonly contract: AnyContract;
  /** Before the contract's schema: what is sent. */
  readonly payload: unknown;
  /** The payload as text, if it has been encoded already: that of a broadcast, for all its nodes. */
  readonly text?: string | undefined;
  /** After the contract's schema: for a handler in this process. */
  readonly parsed: unknown;
  /** The time until its deadline, in ms. */
  readonly timeout: number;
  readonly retries: number;
  readonly route: Route;
  readonly key: string | undefined;
  /** The id of the one node that may handle it; `undefined`: any. */
  readonly node: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly meta: Meta | undefined;
  readonly parent: ParentMessage | undefined;
  /**
   * True if it is a command of an entity: applied once for its id, whoever decides it, so that it may be sent again.
   */
  readonly ofEntity?: boolean | undefined;
  /** Streams only: its reader. */
  readonly items?: ItemSink | undefined;
  /** Admission to the handlers of this process, for requests of plain NATS clients; absent: run at once. */
  readonly admit?: Admission | undefined;
  /** The names of shapes whose schemas have refused it, if any have. */
  readonly refusedBy?: ReadonlySet<string> | undefined;
  /** Gets the endpoint of each node that the router sends it to, this one included. */
  readonly sent?: TrackedCaller | undefined;
}

/** Who waits for the result of a request. It is told once, perhaps within the call that sends the request. */
export interface ResultReceiver {
  resolve(result: Result<unknown>): void;
  /** A strategy of the user's threw. */
  reject(error: unknown): void;
}

/** A caller that wants to know which process its request was sent to last. */
export interface TrackedCaller extends ResultReceiver {
  endpoint: string;
}

/** Metadata of a message, where it is not the default. */
export interface Meta {
  readonly id?: string | undefined;
  /** Id of the message that the chain began with. */
  readonly correlation?: string | undefined;
  /** Id of the message whose handler sent this one. */
  readonly causation?: string | undefined;
  /** Names of the handler runs that await this one, the outermost first. */
  readonly ancestry?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The routing key of an ordered contract, if it is not that of the payload. */
  readonly key?: string | undefined;
  /** Name of this send, the same in all of its attempts, for a command of an entity with an id of its sender's. */
  readonly send?: string | undefined;
  /**
   * Time from the first send to the deadline, in ms, of a command of an entity that may have been decided before.
   */
  readonly span?: number | undefined;
  /**
   * An event that another node of the service refused: the handlers that run once in each service take it, and it goes
   * no further.
   */
  readonly passedOn?: true | undefined;
}

/** An event to be published. Its payload has passed the contract's schema. */
export interface RemoteEvent {
  readonly contract: AnyContract;
  readonly payload: unknown;
  readonly meta: Meta | undefined;
}

// What an app needs of the log: durable events and queued commands. `log/` implements it, `catga.ts` wires it.

/**
 * A message to be stored. Its payload has passed the contract's schema, but is stored as it was before. It is tried for
 * `timeout` ms. `parent`: the message whose handler sends it: a queued command ends with it, unless it is stored.
 */
export interface DurableMessage
  extends Pick<RemoteRequest, "contract" | "payload" | "key" | "meta" | "timeout" | "signal" | "parent"> {
  /** When it is to be handled, if not now. */
  readonly schedule: Schedule | undefined;
}

/** When a message is to be handled. */
export type Schedule =
  | { readonly delay: number }
  | { readonly at: Date }
  | { readonly cron: string; readonly zone: string | undefined };

/** The log of one node. Opened when it is first needed. */
export interface DurableLog {
  /** Ok when it is stored. Never rejects. */
  publish(message: DurableMessage): Promise<Result<void>>;
  unschedule(contract: AnyContract, id: string): Promise<boolean>;
  /** Begins the read models of this node, before it joins its cluster; resolves when they have caught up. */
  catchUp(): Promise<void>;
  /**
   * Begins the subscriptions of this node's handlers, when it has joined: resolves when each has a record, so that what
   * is published from then on is handled.
   */
  start(): Promise<void>;
  /** True if the read models have caught up. */
  readonly caughtUp: boolean;
  /** The subscriptions of this node's handlers, read models too; made without the network. */
  readonly health: readonly SubscriptionHealth[];
  subscriptions(): Promise<readonly SubscriptionInfo[]>;
  deadLetters(options: DeadLetterOptions): AsyncIterableIterator<DeadLetter>;
  rewind(subscription: string, to: "start" | number | Date): Promise<void>;
  /** Follows the events of a durable contract. */
  follow(contract: AnyContract, options: FollowEventsOptions): EventFollower<unknown>;
  /**
   * Gives up the lead of its subscriptions, handing over what is open; takes no more messages. For the begin of a
   * drain.
   */
  leave(): Promise<void>;
  /** Settles what is being published, and ends everything. */
  close(): Promise<void>;
}

// One node's part of a broadcast.

/**
 * The request for one node of a broadcast. An idempotent command has an id of its own for each node, and runs once on
 * each.
 */
export function requestOf(broadcast: RemoteRequest, node: string): RemoteRequest {
  const { contract, meta } = broadcast;
  const own = contract.options.idempotent ? { ...meta, id: `${meta?.id}@${node}` } : meta;
  return { ...broadcast, node, retries: 0, meta: own };
}

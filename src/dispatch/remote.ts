/** What the rest of Catga needs of a cluster; `cluster/` implements it, `catga.ts` wires it. */
import type { ParentMessage } from "./context_host.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { ClusterHealth } from "./cluster_health.ts";
import type { NodeEvent, NodeInfo, Route } from "../contract/node_info.ts";
import type { Result } from "../contract/result.ts";
import type { BroadcastResult } from "../contract/sender.ts";
import type { Admission } from "./admission.ts";

/** A request that is to find a node. Its payload has passed the contract's schema. */
export interface RemoteRequest {
  readonly contract: AnyContract;
  /** As the sender gave it. */
  readonly payload: unknown;
  /** As the contract's schema made it: for a handler in this process. */
  readonly parsed: unknown;
  /** What is left of its time, in ms. */
  readonly timeout: number;
  readonly retries: number;
  readonly route: Route;
  readonly key: string | undefined;
  /** The id of the one node that may have it. */
  readonly node: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly meta: Meta | undefined;
  readonly parent: ParentMessage | undefined;
  /**
   * Of a client that is no node, and whom this one was picked for: how it has its turn at the handlers of this process; left
   * out: at once.
   */
  readonly admit?: Admission | undefined;
}

/** What is not default about a message; `undefined` where all of it is. */
export interface Meta {
  readonly id?: string | undefined;
  readonly correlation?: string | undefined;
  readonly causation?: string | undefined;
  readonly ancestry?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The routing key of an ordered contract, when the payload does not tell it. */
  readonly key?: string | undefined;
}

/** An event on its way. Its payload has passed the contract's schema. */
export interface RemoteEvent {
  readonly contract: AnyContract;
  readonly payload: unknown;
  readonly meta: Meta | undefined;
}

/** The cluster that an app is a node of. */
export interface Remote {
  /** This node. */
  readonly self: NodeInfo;
  /** How it is. */
  readonly health: ClusterHealth;
  /** The live nodes, this one included, sorted by id. */
  nodes(): readonly NodeInfo[];
  /** The changes from now on. Ends when the signal aborts or the node stops. */
  watchNodes(signal: AbortSignal | undefined): AsyncIterableIterator<NodeEvent>;
  /** Whether this node, as far as it knows, is the only one that handles a contract. */
  alone(name: string): boolean;
  /** Has a request handled by one node that handles it: this one, perhaps. Never rejects. */
  request(request: RemoteRequest): Promise<Result<unknown>>;
  /** Has it handled by every node that handles it. Never rejects. */
  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]>;
  /** Whether pings to this endpoint have bounced for so long that its process is gone. `false` when that is not known. */
  gone(endpoint: string): Promise<boolean>;
  /** Takes an event: it leaves within two turns of the event loop, {@link Remote.close} at the latest. */
  publish(event: RemoteEvent): Result<void>;
  /** Takes this node out of the membership, and from then on refuses new requests. */
  leave(): Promise<void>;
  /** Hands over what is still to be sent and ends every subscription. */
  close(): Promise<void>;
}

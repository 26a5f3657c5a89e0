/** What the nodes of a cluster know of each other, and how one of them is picked for a request. */

/** A node as the others see it. */
export interface NodeInfo {
  /** Its id: unique in the cluster. */
  readonly id: string;
  /** The process behind the id: `<id>.<nonce>`, the nonce new at every start. */
  readonly endpoint: string;
  /** What it is a replica of. */
  readonly service: string;
  /** The names of the contracts that it has handlers for, sorted. */
  readonly handles: readonly string[];
  /** When it started, in ms since 1970 by its own clock. */
  readonly startedAt: number;
  /** When it last wrote its record, in ms since 1970 by its own clock. */
  readonly lastSeen: number;
  /** What it was started with, and the `host` and `address` that it runs on. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Handlers running, and requests waiting for their turn, when it was last seen. */
  readonly load: { readonly inFlight: number; readonly queued: number };
  /** The id of the NATS server that it is connected to; empty in memory. */
  readonly server: string;
  /** The version of the wire protocol that it speaks. */
  readonly protocol: number;
  /** The version of Catga that it runs. */
  readonly version: string;
}

/** A change in the membership of a cluster. */
export interface NodeEvent {
  /** `update`: the node wrote its record again, with another load or as another process. */
  readonly type: "join" | "update" | "leave";
  /** The node, as last seen. */
  readonly node: NodeInfo;
}

/** What a {@link Strategy} knows of the request. */
export interface RouteRequest {
  /** The routing key, when the send or the contract gives one. */
  readonly key?: string;
  /** The id of the node that sends. */
  readonly self: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
}

/**
 * Picks the node for a request: one of the candidates (live nodes that handle the contract, without those that this send
 * has failed on already, at least one), or `undefined` when none will do.
 */
export type Strategy = (candidates: readonly NodeInfo[], request: RouteRequest) => NodeInfo | undefined;

/** The names of the built-in strategies. */
export type RouteName = "round-robin" | "local-first" | "hash" | "least-loaded" | "random";

/** A built-in strategy's name, or a strategy. */
export type Route = RouteName | Strategy;

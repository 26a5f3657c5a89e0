/** What the nodes of a cluster know of each other, and how one of them is picked for a request. */

/** A node as the others see it. Frozen. */
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
  /** What it was started with, and over NATS the `host` that it runs on, and its `address` as the server sees it. */
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * When it was last seen: handlers that ran and sends that awaited their answers (`inFlight`), and requests that waited for
   * their turn (`queued`).
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
export interface NodeEvent {
  /**
   * `join`: it has a record, and was heard. `leave`: its record was deleted, or is gone and it does not answer. `update`: it wrote its record again, as it does at every third of its
   * `heartbeat`, or another process took its id.
   */
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
 * Picks the node for a request: one of the candidates (live nodes that handle the contract, at least one; without suspects,
 * those whose breaker is open and those that this send has failed on already, while there are others), or `undefined` when
 * none will do: the send then ends with `NO_HANDLER`, 500 ms later. Called for every attempt; must be quick. What it throws, the send rejects with.
 *
 * @example
 * ```ts
 * import { catga, MemoryNetwork, query, type Strategy, unwrap } from "@catga/catga";
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

/** The health of a node, for an orchestrator's probes, a load balancer or a dashboard. */

/**
 * The health of a node: what `app.health()` returns. A new value at each call, made without the network: read it as often as
 * you like.
 */
export interface Health {
  /**
   * - `"ready"`: it takes requests of other nodes.
   * - `"disconnected"`: the connection to NATS is lost; it reconnects by itself.
   * - `"unlisted"`: it is connected, but its record is not in the store, so that other nodes do not see it, or soon will not.
   *   It writes the record again by itself.
   * - `"draining"`: it is leaving the cluster.
   * - `"stopped"`: it has stopped, after a drain or an error.
   */
  readonly status: "ready" | "disconnected" | "unlisted" | "draining" | "stopped";
  /** Whether it should get work: `status` is `"ready"`. For a readiness probe. */
  readonly ready: boolean;
  /** Whether it should be kept running: `status` is not `"stopped"`. For a liveness probe. */
  readonly live: boolean;
  /** Its id. */
  readonly node: string;
  /** The connection to the network; `"none"` for an app in memory. */
  readonly connection: "none" | "connected" | "disconnected" | "closed";
  /** Whether its record is in the membership, so that others send to it. Always for an app in memory, until it drains. */
  readonly member: boolean;
  /** How many live nodes it knows, itself included. */
  readonly nodes: number;
  /** Asynchronous handlers that run here, and sends from here that wait for their answers. */
  readonly inFlight: number;
  /** Messages of other nodes that wait here for their handlers. */
  readonly queued: number;
}

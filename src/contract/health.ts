/** How a node is, for those who ask it from outside: an orchestrator's probes, a load balancer, a dashboard. */

/**
 * How a node is: what `app.health()` gives. A new value at each reading; nothing is asked of the network for it, so that it
 * may be read as often as one likes.
 */
export interface Health {
  /**
   * - `"ready"`: it is there for others.
   * - `"disconnected"`: the connection to NATS is lost, and made again by itself.
   * - `"unlisted"`: it is connected, but the others do not see it, or soon will not: its record is not in the store. Written
   *   again by itself.
   * - `"draining"`: it leaves.
   * - `"stopped"`: it has stopped, or had to.
   */
  readonly status: "ready" | "disconnected" | "unlisted" | "draining" | "stopped";
  /** Whether it should be given work, `status` being `"ready"`: for a readiness probe. */
  readonly ready: boolean;
  /** Whether it is worth keeping, `status` being anything but `"stopped"`: for a liveness probe. */
  readonly live: boolean;
  /** Its id. */
  readonly node: string;
  /** The connection to the network; `"none"` for an app in memory, which needs none. */
  readonly connection: "none" | "connected" | "disconnected" | "closed";
  /** Whether its record is in the membership, so that others send to it. Always for an app in memory, until it drains. */
  readonly member: boolean;
  /** How many live nodes it knows, itself included. */
  readonly nodes: number;
  /** Asynchronous handlers that run here, and sends from here that wait for their answers. */
  readonly inFlight: number;
  /** Messages of other nodes that wait for their turn here. */
  readonly queued: number;
}

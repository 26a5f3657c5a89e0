/** The health of a node, for an orchestrator's probes, a load balancer or a dashboard. */
import type { CatgaError } from "../error.ts";

/**
 * The health of a node: what `app.health()` returns. A new value at each call, made without the network: read it as often as
 * you like.
 */
export interface Health {
  /**
   * - `"starting"`: its read models have not caught up with the log: it reads it for the first time, or anew because it was lost.
   * - `"ready"`: it takes requests of other nodes.
   * - `"disconnected"`: the connection to NATS is lost; it reconnects by itself.
   * - `"unlisted"`: it is connected, but its record is not in the store, so that other nodes do not see it, or soon will not.
   *   It writes the record again by itself.
   * - `"draining"`: it is leaving the cluster.
   * - `"stopped"`: it has stopped, after a drain or an error.
   */
  readonly status: "starting" | "ready" | "disconnected" | "unlisted" | "draining" | "stopped";
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
  /** The subscriptions that this node has handlers of, as it sees them; read models too. `subscriptions()` asks the store for all. */
  readonly subscriptions: readonly SubscriptionHealth[];
}

/** How a subscription stands, as far as this node knows without asking. The figures are those of the node that leads it; 0 elsewhere. */
export interface SubscriptionHealth {
  /** Whose subscription it is; `"@"` for queued commands. */
  readonly service: string;
  /** Its name. */
  readonly name: string;
  /**
   * - `"leading"`: this node reads the log for it, and hands the messages out.
   * - `"stalled"`: this node leads it, or has it as a read model, and cannot read: {@link SubscriptionHealth.error} says why. It goes on by
   *   itself when it can.
   * - `"stopped"`: this node leads it, and hands nothing out because failed messages cannot be put aside: too many are, or the store is full.
   * - `"following"`: another node leads it, or none.
   * - `"catching up"`, `"caught up"`: a read model, which each node reads for itself: whether it has handled what the log had when it began.
   */
  readonly state: "leading" | "stalled" | "stopped" | "following" | "catching up" | "caught up";
  /** Why it is stalled: most often the code `CONSUMER_LIMIT`. */
  readonly error?: CatgaError;
  /** Messages that were read and are not handled: they run, or wait for others of their key. */
  readonly open: number;
  /** Messages of the stream that are not read, 10 s ago at most: each has 1 to 512 events. Of a read model: of those that have arrived. */
  readonly lag: number;
  /** How old the oldest message is that was read and is not handled, parked ones too, in ms; 0 if there is none. */
  readonly oldest: number;
  /** Messages that are parked: they wait for their next attempt, or behind another of their key. */
  readonly retrying: number;
  /** Dead letters. */
  readonly dead: number;
}

/** The health of a node, from what its parts report. */
import type { Health, SubscriptionHealth } from "../contract/health.ts";

/** What the health of a node is made of. */
export interface HealthParts extends Pick<Health, "node" | "nodes" | "inFlight"> {
  readonly stopped: boolean;
  readonly draining: boolean;
  /** Whether its read models have caught up. */
  readonly caughtUp: boolean;
  readonly subscriptions: readonly SubscriptionHealth[];
  /** `undefined` for an app in memory. */
  readonly cluster: Pick<Health, "connection" | "member" | "queued"> | undefined;
}

/** The health of a node; a new value at each call. */
export function healthOf(parts: HealthParts): Health {
  const { stopped, draining, caughtUp, subscriptions, cluster = IN_MEMORY, node, nodes, inFlight } = parts;
  const { connection, member, queued } = cluster;
  const status = stopped ? "stopped" : draining ? "draining" : statusOf(connection, member, caughtUp);
  return {
    status,
    ready: status === "ready",
    live: status !== "stopped",
    node,
    connection,
    member: member && !draining,
    nodes,
    inFlight,
    queued,
    subscriptions,
  };
}

/** The status of a node that is not draining. */
function statusOf(connection: Health["connection"], member: boolean, caughtUp: boolean): Health["status"] {
  if (connection === "disconnected" || connection === "closed") return "disconnected";
  if (!caughtUp) return "starting";
  return member ? "ready" : "unlisted";
}

const IN_MEMORY: NonNullable<HealthParts["cluster"]> = { connection: "none", member: true, queued: 0 };

/** The health of a node, from what its parts report. */
import type { Health } from "../contract/health.ts";

/** What the health of a node is made of. */
export interface HealthParts extends Pick<Health, "node" | "nodes" | "inFlight"> {
  readonly stopped: boolean;
  readonly draining: boolean;
  /** `undefined` for an app in memory. */
  readonly cluster: Pick<Health, "connection" | "member" | "queued"> | undefined;
}

/** The health of a node; a new value at each call. */
export function healthOf({ stopped, draining, cluster = IN_MEMORY, node, nodes, inFlight }: HealthParts): Health {
  const { connection, member, queued } = cluster;
  const status = stopped ? "stopped" : draining ? "draining" : statusOf(connection, member);
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
  };
}

/** The status of a node that is not draining. */
function statusOf(connection: Health["connection"], member: boolean): Health["status"] {
  if (connection === "disconnected" || connection === "closed") return "disconnected";
  return member ? "ready" : "unlisted";
}

const IN_MEMORY: NonNullable<HealthParts["cluster"]> = { connection: "none", member: true, queued: 0 };

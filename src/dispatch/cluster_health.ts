import type { Health } from "../contract/health.ts";

/** What a cluster adds to the health of an app. */
export type ClusterHealth = Pick<Health, "member" | "queued"> & {
  readonly connection: "connected" | "disconnected" | "closed";
};

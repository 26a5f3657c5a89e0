/** One node's part of a broadcast. */
import type { RemoteRequest } from "./remote.ts";

/** The request for one node of a broadcast. An idempotent command has an id of its own for each node, and runs once on each. */
export function requestOf(broadcast: RemoteRequest, node: string): RemoteRequest {
  const { contract, meta } = broadcast;
  const own = contract.options.idempotent ? { ...meta, id: `${meta?.id}@${node}` } : meta;
  return { ...broadcast, node, retries: 0, meta: own };
}

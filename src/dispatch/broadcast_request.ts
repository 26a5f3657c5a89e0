import type { RemoteRequest } from "./remote.ts";

/** What one node gets of a broadcast: an idempotent command has an id for each, under which that node runs it once. */
export function requestOf(broadcast: RemoteRequest, node: string): RemoteRequest {
  const { contract, meta } = broadcast;
  const own = contract.options.idempotent ? { ...meta, id: `${meta?.id}@${node}` } : meta;
  return { ...broadcast, node, retries: 0, meta: own };
}

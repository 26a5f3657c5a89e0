/** A broadcast: one request to each node that handles the contract; the payload is encoded only once. */
import type { Failure, Result } from "../../contract/result.ts";
import type { BroadcastResult } from "../../contract/sender.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import { type RemoteRequest, requestOf } from "../../dispatch/remote.ts";
import type { CatgaError } from "../../error.ts";
import { toText } from "../../data/encoding.ts";

/**
 * Sends a broadcast request once to each of `nodes`, or only to the node that the request names. A failed send is not
 * repeated, neither to the same node nor to another.
 */
export async function broadcast(
  request: RemoteRequest,
  nodes: readonly NodeInfo[],
  send: (request: RemoteRequest) => Promise<Result<unknown>>,
): Promise<BroadcastResult<unknown>[]> {
  const wanted = request.node === undefined ? nodes : nodes.filter(({ id }) => id === request.node);
  const { contract: { name }, payload } = request;
  let text: string | undefined;
  try {
    // the payload is encoded first, because this node's own handler may change it
    if (payload !== undefined && wanted.length > 1) text = toText(payload, "INVALID_MESSAGE", "the payload", name);
  } catch (thrown) {
    const result: Failure = { ok: false, error: thrown as CatgaError }; // `toText` throws only CatgaErrors
    return wanted.map(({ id }) => ({ node: id, result }));
  }
  return await Promise.all(
    wanted.map(async ({ id }) => ({ node: id, result: await send({ ...requestOf(request, id), text }) })),
  );
}

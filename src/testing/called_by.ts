/** Sends messages in a test as an edge does for a caller, so that handlers that read `ctx.caller` can be tested. */
import type { Caller } from "../contract/declaration/program_types.ts";
import { CALLER_HEADER } from "../contract/calls/send_options.ts";
import { encodeValue } from "../data/encoding.ts";

/**
 * Returns options with which a test sends a message for a caller, as an edge does after `authorize`: handlers get the
 * value as `ctx.caller`, workflows as `flow.caller`. For `send`, `sendAll`, `publish`, `enqueue`, `broadcast`, `stream`
 * and `start` of apps of `testCluster`, `explore` and `catga`. Throws a `CatgaError` (`INVALID_MESSAGE`) for a value
 * that cannot be sent.
 *
 * @example
 * ```ts
 * import { query, unwrap } from "@catga/catga";
 * import { calledBy, testCluster } from "@catga/catga/testing";
 *
 * const Who = query<void, string>("Who");
 * await using cluster = await testCluster(2, { handlers: Who.handle((_, { caller }) => JSON.stringify(caller)) });
 * console.log(unwrap(await cluster.app("node-1").send(Who, undefined, calledBy({ id: "ada" })))); // {"id":"ada"}
 * ```
 */
export function calledBy(caller: Caller): { readonly headers: Readonly<Record<string, string>> } {
  return { headers: { [CALLER_HEADER]: encodeValue(caller, "caller") } };
}

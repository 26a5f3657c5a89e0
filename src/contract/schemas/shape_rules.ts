/**
 * Decides which node tries a message next after one node's version of the contract (most often its input schema) has
 * refused it, while other nodes handle the contract in another version (another shape, a hash of the contract's
 * declaration). Pure functions, for requests and for stored messages. Nodes of one shape refuse the same messages. A
 * node whose shape is unknown counts as a shape of its own.
 */

/** A live node that handles the message's contract. */
export interface ShapedNode {
  readonly id: string;
  /** The shape of the contract on this node; `undefined`: unknown. */
  readonly shape: string | undefined;
}

/** Returns a name of the node's shape; if the shape is unknown, a name that no other node has. */
export function shapeName({ id, shape }: ShapedNode): string {
  return shape ?? `?${id}`;
}

/** Returns the nodes whose shapes have not refused the message yet. */
export function untriedNodes<Node extends ShapedNode>(
  nodes: readonly Node[],
  refusedBy: ReadonlySet<string>,
): readonly Node[] {
  return nodes.filter((node) => !refusedBy.has(shapeName(node)));
}

/**
 * Returns the nodes of the sender's own shape, if there are any: sender and handler then read each other's payloads and
 * answers. A node of another shape might run the handler and give an answer that the sender refuses, and what the
 * handler did could not be undone. Returns all nodes if the sender's shape is unknown, or no node has it.
 */
export function ownShapeFirst<Node extends ShapedNode>(
  nodes: readonly Node[],
  own: string | undefined,
): readonly Node[] {
  const same = own === undefined ? [] : nodes.filter(({ shape }) => shape === own);
  return same.length > 0 ? same : nodes;
}

/**
 * Decides about a request that a node's version of the contract refused. `next`: one of the `untried` nodes, whose
 * shapes have not refused it, gets it. If there are none, the request fails: `invalid` (with the refusal, most often
 * `INVALID_MESSAGE`); or `unknown` (`OUTCOME_UNKNOWN`) with `mayHaveRun`, which says that an earlier attempt of the
 * request may have run.
 */
export function afterRefusedRequest(
  untried: readonly ShapedNode[],
  { mayHaveRun }: { readonly mayHaveRun: boolean },
): "next" | "invalid" | "unknown" {
  if (untried.length > 0) return "next";
  return mayHaveRun ? "unknown" : "invalid";
}

/**
 * Decides about a stored message that a schema refused. `next`: a node of another shape (version of the contract),
 * which has not refused the message, tries it. If all shapes of `nodes` have refused it, the shape of the node that
 * published the message (`writer`; `undefined`: unknown) decides. `dead letter`: this shape has refused the message, or
 * is unknown. `waits`: it has not refused the message, and no node has it, because of a deploy or a rollback.
 * @decides a stored message that no running version can read is kept for a later one, or becomes a dead letter
 */
export function afterRefusedMessage(
  nodes: readonly ShapedNode[],
  refusedBy: ReadonlySet<string>,
  writer: string | undefined,
): "next" | "waits" | "dead letter" {
  if (untriedNodes(nodes, refusedBy).length > 0) return "next";
  return writer === undefined || refusedBy.has(writer) ? "dead letter" : "waits";
}

/**
 * Returns true if a node has a shape that has not refused the message, so that a message that waits for a shape should
 * be tried now.
 */
export function mayBeReadNow(nodes: readonly ShapedNode[], refusedBy: ReadonlySet<string>): boolean {
  return untriedNodes(nodes, refusedBy).length > 0;
}

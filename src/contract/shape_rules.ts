/**
 * What follows when the input schema of a node refuses a message, while nodes of other shapes handle its contract, too:
 * decisions as pure functions, for requests and for stored messages. Nodes of one shape refuse the same messages. A
 * node whose shape is unknown is a shape of its own.
 */

/** A live node that handles a contract. */
export interface ShapedNode {
  readonly id: string;
  /** The shape of the contract there; `undefined`: unknown. */
  readonly shape: string | undefined;
}

/** Name of the shape of a node: of a node whose shape is unknown, one that no other node has. */
export function shapeName({ id, shape }: ShapedNode): string {
  return shape ?? `?${id}`;
}

/** The nodes whose shapes have not refused the message. */
export function untriedNodes<Node extends ShapedNode>(
  nodes: readonly Node[],
  refusedBy: ReadonlySet<string>,
): readonly Node[] {
  return nodes.filter((node) => !refusedBy.has(shapeName(node)));
}

/**
 * The nodes of the sender's own shape, if there are any: what the sender writes they read, and what they answer it
 * reads. An answer that is refused after the handler ran cannot be undone. All nodes if the own shape is unknown.
 */
export function ownShapeFirst<Node extends ShapedNode>(
  nodes: readonly Node[],
  own: string | undefined,
): readonly Node[] {
  const same = own === undefined ? [] : nodes.filter(({ shape }) => shape === own);
  return same.length > 0 ? same : nodes;
}

/**
 * What becomes of a request that a schema refused: it goes to another shape; or it has failed: with `INVALID_MESSAGE`,
 * or with `OUTCOME_UNKNOWN` if an earlier attempt may have run.
 */
export function afterRefusedRequest(
  untried: readonly ShapedNode[],
  { mayHaveRun }: { readonly mayHaveRun: boolean },
): "next" | "invalid" | "unknown" {
  if (untried.length > 0) return "next";
  return mayHaveRun ? "unknown" : "invalid";
}

/**
 * What becomes of a stored message that a schema refused. It goes to each shape that is there. Refused by all, it waits
 * if its writer's shape is not among those that refused it: a deploy or a rollback has taken that away. If its writer's
 * shape refused it, or is not known, every version refuses it.
 */
export function afterRefusedMessage(
  nodes: readonly ShapedNode[],
  refusedBy: ReadonlySet<string>,
  writer: string | undefined,
): "next" | "waits" | "dead letter" {
  if (untriedNodes(nodes, refusedBy).length > 0) return "next";
  return writer === undefined || refusedBy.has(writer) ? "dead letter" : "waits";
}

/** Returns true if a message that waits for a shape is to be tried now: one is there that has not refused it. */
export function mayBeReadNow(nodes: readonly ShapedNode[], refusedBy: ReadonlySet<string>): boolean {
  return untriedNodes(nodes, refusedBy).length > 0;
}

/** Runs of messages that began under an earlier leader of a subscription, and go on at their nodes. */
import { messageId } from "../format/commit.ts";
import type { LoggedMessage } from "../format/logged_message.ts";

/**
 * The messages that ran at nodes when a leader took over: handing one of them out joins its run.
 * @decides messages that ran under the last leader: their runs are joined, and earlier ones of their keys are known
 * to be handled
 */
export class JoinedRuns {
  readonly #nodes: ReadonlyMap<string, string>;
  /** By category and key: the first message of the key that runs at a node and is still to be read. */
  readonly #unread = new Map<string, { readonly position: number; readonly time: number; readonly node: string }>();
  /** Ids of the messages that were handled and are still to be read. */
  readonly #handled = new Set<string>();
  /** By category and key: the last message of the key that was handled and is still to be read. */
  readonly #lastHandled = new Map<string, { readonly position: number; readonly time: number }>();

  /** `nodes`: id of the node at which a message runs, by the message's id. */
  constructor(nodes: ReadonlyMap<string, string>) {
    this.#nodes = nodes;
  }

  /** True if no message ran at a node. */
  get isEmpty(): boolean {
    return this.#nodes.size === 0;
  }

  /** Returns the id of the node at which a message ran; `undefined`: it ran at none. */
  nodeOf(id: string): string | undefined {
    return this.#nodes.get(id);
  }

  /** Notes that a message that is still to be read from the log runs at a node. */
  isToBeRead(message: LoggedMessage, node: string): void {
    if (message.key === undefined) return;
    const { position, time } = message;
    const line = lineOf(message);
    const known = this.#unread.get(line);
    if (known?.node !== node || position < known.position) this.#unread.set(line, { position, time, node });
  }

  /** Notes that a message that is still to be read from the log was handled, under the last leader. */
  wasHandled(message: LoggedMessage): void {
    const { position, time, key } = message;
    this.#handled.add(messageId(message));
    if (key === undefined) return;
    const line = lineOf(message);
    if (position > (this.#lastHandled.get(line)?.position ?? 0)) this.#lastHandled.set(line, { position, time });
  }

  /**
   * Returns true if a message is handled: a node has said so, or a later message of its key runs, or was handled:
   * messages of a key run in order.
   */
  proveHandled(message: LoggedMessage): boolean {
    if (this.#handled.size > 0 && this.#handled.has(messageId(message))) return true;
    if (this.#unread.size === 0 && this.#lastHandled.size === 0) return false;
    const line = lineOf(message);
    return isBefore(message, this.#unread.get(line)) || isBefore(message, this.#lastHandled.get(line));
  }
}

/**
 * Returns true if a message comes before the other in the log. Position and time together identify a message: after the
 * log has lost its end, new messages get the same positions.
 */
function isBefore(
  { position, time }: LoggedMessage,
  other: { readonly position: number; readonly time: number } | undefined,
): boolean {
  return other !== undefined && position < other.position && time <= other.time;
}

/** Returns a name of the message's category and key. */
export function lineOf({ category, key }: Pick<LoggedMessage, "category" | "key">): string {
  return `${category}/${key}`; // unambiguous: a category's name has no slash
}

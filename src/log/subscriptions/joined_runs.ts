/** Runs of messages that began under an earlier leader of a subscription, and go on at their nodes. */
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

  /** Returns true if a message is handled, because a later message of its key runs: messages of a key run in order. */
  proveHandled(message: LoggedMessage): boolean {
    if (this.#unread.size === 0) return false;
    const running = this.#unread.get(lineOf(message));
    // position and time together identify a message: after the log has lost its end, new messages get the same
    // positions
    return running !== undefined && message.position < running.position && message.time <= running.time;
  }
}

function lineOf({ category, key }: LoggedMessage): string {
  return `${category}/${key}`; // unambiguous: a category's name has no slash
}

/** The changes of the cluster's nodes as an async iterator, which `app.watchNodes()` returns. */
import type { NodeChange } from "../../contract/node_info.ts";

/** Iterates over the changes of nodes since its construction, until `return` is called or the signal aborts. */
export class NodeWatch implements AsyncIterableIterator<NodeChange> {
  #events: NodeChange[] = [];
  #waiting: ((result: IteratorResult<NodeChange>) => void)[] = [];
  readonly #end: () => void;
  #ended = false;

  /** `watch` registers a callback for every change, and returns a function that removes it. */
  constructor(watch: (onEvent: (event: NodeChange) => void) => () => void, signal: AbortSignal) {
    const off = watch((event) => {
      const next = this.#waiting.shift();
      if (next !== undefined) return next({ done: false, value: event });
      // of several unread updates of a node, a slow reader gets only the latest, so that unread updates do not pile up
      const place = event.type === "update" ? this.#events.findLastIndex(({ node }) => node.id === event.node.id) : -1;
      const unread = this.#events[place];
      if (unread === undefined || unread.type === "leave") this.#events.push(event);
      else this.#events[place] = { type: unread.type, node: event.node };
    });
    this.#end = () => {
      this.#ended = true;
      off();
      signal.removeEventListener("abort", this.#end);
      this.#events = [];
      for (const next of this.#waiting.splice(0)) next({ done: true, value: undefined });
    };
    if (signal.aborted) this.#end();
    else signal.addEventListener("abort", this.#end);
  }

  next(): Promise<IteratorResult<NodeChange>> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<NodeChange>> {
    if (!this.#ended) this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

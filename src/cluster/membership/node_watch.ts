/** What `app.watchNodes()` returns: the changes of a membership as an async iterator. */
import type { NodeEvent } from "../../contract/node_info.ts";

/** Iterates over the changes since it was made, until `return` is called or the signal aborts. */
export class NodeWatch implements AsyncIterableIterator<NodeEvent> {
  #events: NodeEvent[] = [];
  #waiting: ((result: IteratorResult<NodeEvent>) => void)[] = [];
  readonly #end: () => void;
  #ended = false;

  /** `watch` calls back at every change, until the function that it returns is called. */
  constructor(watch: (onEvent: (event: NodeEvent) => void) => () => void, signal: AbortSignal) {
    const off = watch((event) => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#events.push(event);
      else next({ done: false, value: event });
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

  next(): Promise<IteratorResult<NodeEvent>> {
    const event = this.#events.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<NodeEvent>> {
    if (!this.#ended) this.#end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Iterators that an app returns at once, before their source is opened, or although there is none. */
import type { EventFollower } from "../contract/calls/durable_messages.ts";
import type { NodeChange } from "../contract/nodes/node_info.ts";
import { aborted } from "../ports/clock.ts";

/**
 * Returns an iterator that `make` makes when a method is first called. `draining`: signal for HTTP responses made of
 * the iterator (`src/http`).
 * @decides `stream`, `follow` and `watchNodes` return at once, before their source is open
 */
export function lazyReading(
  make: () => Promise<AsyncIterableIterator<unknown>>,
  draining: AbortSignal,
): AsyncIterableIterator<unknown> & { readonly "~draining": AbortSignal } {
  let making: Promise<AsyncIterableIterator<unknown>> | undefined;
  let made: AsyncIterableIterator<unknown> | undefined;
  let over = false;
  let iterated = false;
  return {
    "~draining": draining,
    next() {
      if (made !== undefined) return made.next();
      if (over) return Promise.resolve({ done: true, value: undefined });
      return (making ??= make().then((reading) => made = reading)).then((reading) => reading.next());
    },
    async return(value) {
      over = true;
      await (await making)?.return?.();
      return { done: true, value };
    },
    [Symbol.asyncIterator]() {
      // the stream refuses a second iteration if the first has ended; reading by `next()` alone is no iteration
      if (iterated) made?.[Symbol.asyncIterator]();
      iterated = true;
      return this;
    },
  };
}

/**
 * Returns a follower of events at once, while `beginning` is still pending: its `next` waits for `beginning`, and
 * rejects if `beginning` rejects.
 */
export function begunFollower(beginning: Promise<EventFollower<unknown>>): EventFollower<unknown> {
  let begun: EventFollower<unknown> | undefined;
  beginning.then((follower) => begun = follower, () => {}); // `next` rejects with the same error
  return {
    get position() {
      return begun?.position;
    },
    next: () => begun?.next() ?? beginning.then((follower) => follower.next()),
    return: () => begun?.return?.() ?? beginning.then((follower) => follower.return!()),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/**
 * Returns the membership changes of an app in memory, which is its only node: there are none, so the iterator only
 * waits for its end. Not a generator, whose `return` would wait for a pending `next`. `closed`: settles when the app
 * has stopped.
 */
export function noChanges(
  signal: AbortSignal | undefined,
  closed: Promise<void>,
): AsyncIterableIterator<NodeChange> {
  const returned = Promise.withResolvers<void>();
  const end = Promise.race([returned.promise, aborted(signal), closed.catch(() => {})]);
  const next = () => end.then(() => ({ done: true, value: undefined } as const));
  return {
    next,
    return: () => (returned.resolve(), next()),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

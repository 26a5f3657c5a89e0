/**
 * The body of an HTTP response of server-sent events, for streams, and for durable events that clients of an edge
 * follow. Items are read no faster than the client takes them, a comment keeps the connection alive while no item
 * comes, and a response that nobody reads has no timer. An error of an item, or of the stream, is sent as the last
 * event. `edge_events.ts` encodes the events of an edge.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { logThrown } from "../data/cause_text.ts";
import { encode } from "../data/utf8.ts";
import { toJson, toText } from "../data/encoding.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { onAbort, systemClock, type Timer } from "../ports/clock.ts";
import { problemValue } from "./problem_value.ts";
import { failureStatus, problem } from "./respond.ts";

/** Parts from which the body of a response of server-sent events is made. */
export interface EventStream<T> {
  readonly items: AsyncIterator<T>;
  /** Signals, each of which ends the body without a further event. */
  readonly signals: readonly AbortSource[];
  /** Interval at which the bytes of `idle` are sent while no item comes, in ms. */
  readonly keepAlive: number;
  /** A comment that is sent at once, so that the client gets the headers. */
  readonly first: Uint8Array;
  /** Encodes the event for an item. If it throws, `failed` is called with the error. */
  event(item: T): Uint8Array;
  /**
   * Returns the bytes to send while no item comes.
   * @decides the sign of life of an open stream of the edge
   */
  idle(): Uint8Array;
  /** The event that is sent after the last item; `undefined`: none, so that the client reconnects. */
  readonly end: Uint8Array | undefined;
  /** Returns the event that is sent after an error; `undefined`: none, so that the client reconnects. */
  failed(thrown: unknown): Uint8Array | undefined;
}

/**
 * Registers a callback for an abort, which is called at once if the abort has happened before. Returns a function that
 * removes the callback.
 */
export type AbortSource = (callback: () => void) => () => void;

/** Makes a function that registers callbacks for the abort of a signal; all share one listener. */
export function sharedAbort(signal: AbortSignal): AbortSource {
  const callbacks = new Set<() => void>();
  onAbort(signal, () => {
    for (const callback of [...callbacks]) callback();
  });
  return (callback) => {
    if (signal.aborted) callback();
    else callbacks.add(callback);
    return () => callbacks.delete(callback);
  };
}

/** Makes a function that registers callbacks for the abort of a signal, with a listener for each callback. */
export function ownAbort(signal: AbortSignal): AbortSource {
  return (callback) => onAbort(signal, callback);
}

/** Headers of an HTTP response of server-sent events. */
export const EVENT_STREAM_HEADERS = [
  ["content-type", "text/event-stream"],
  ["cache-control", "no-cache, no-transform"],
  ["x-accel-buffering", "no"], // tells nginx not to buffer the response
] as const;
/** An event without content (a comment), which keeps a connection alive. */
export const COMMENT: Uint8Array = encode(":\n\n");
/** The event that is sent when a stream has ended. */
export const END: Uint8Array = encode("event: end\ndata:\n\n");

/** First pause before a comment, in ms. */
const FIRST_PAUSE = 2;

/** Makes the body of an HTTP response of server-sent events. */
export function eventStreamBody<T>(stream: EventStream<T>): ReadableStream<Uint8Array> {
  const { items, signals, keepAlive } = stream;
  let keepAliveTimer: Timer | undefined;
  const removals: (() => void)[] = [];
  let hasEnded = false;
  /**
   * Pause before the next comment, in ms; it grows. It is short at first, because a comment also tells the client after
   * which item it can continue, which a client needs that soon loses its connection.
   */
  let pause = FIRST_PAUSE;

  const end = () => {
    if (hasEnded) return;
    hasEnded = true;
    keepAliveTimer?.cancel();
    for (const remove of removals) remove();
    (async () => await items.return?.())().catch(() => {}); // no caller is left who could get the error
  };
  const keepAliveWhileIdle = (to: ReadableStreamDefaultController<Uint8Array>) => {
    keepAliveTimer = systemClock.after(Math.min(pause, keepAlive), () => {
      pause *= 2;
      // no comment is sent while the client reads more slowly than items come: the waiting items keep the connection
      // alive
      if ((to.desiredSize ?? 0) > 0) to.enqueue(stream.idle());
      keepAliveWhileIdle(to);
    });
  };
  return new ReadableStream<Uint8Array>({
    start(to) {
      to.enqueue(stream.first);
      const close = () => {
        if (hasEnded) return;
        end();
        to.close();
      };
      for (const onAborted of signals) {
        // a signal that has aborted before has ended the body: a callback for the next one would never be removed
        if (hasEnded) break;
        removals.push(onAborted(close));
      }
    },
    /** Comments are sent only during a pull, so that a response that nobody reads has no timer. */
    // bound, because a server reads a body in another async context than that of the request, or in none
    pull: AsyncLocalStorage.bind(async (to: ReadableStreamDefaultController<Uint8Array>) => {
      keepAliveWhileIdle(to);
      let event: Uint8Array | undefined;
      let last = true;
      try {
        const { done, value } = await items.next();
        event = done ? stream.end : stream.event(value);
        last = done === true;
      } catch (thrown) {
        event = stream.failed(thrown);
      }
      keepAliveTimer?.cancel();
      if (hasEnded) return;
      if (event !== undefined) to.enqueue(event);
      if (!last) return;
      end();
      to.close();
    }),
    cancel: end,
  }, { highWaterMark: 1 });
}

/**
 * Returns an item as text. `values`: with tags (for Catga's client), not as JSON. The error for an item that
 * cannot be sent is logged here, because no node has logged it, and the client gets only a code.
 */
export function itemText(item: unknown, values = false): string {
  try {
    return (values ? toText : toJson)(item, "INVALID_RESPONSE", "an item");
  } catch (error) {
    logThrown("events:", error);
    throw error;
  }
}

/**
 * Encodes the event for an error that a stream threw, as problem details. An error that is not a `CatgaError` is
 * logged, too, and the client gets only its code. `values`: as for {@link itemText}.
 */
export function failureEvent(thrown: unknown, values = false): Uint8Array {
  return encode(`event: failure\ndata: ${failureText(thrown, values)}\n\n`);
}

function failureText(thrown: unknown, values: boolean): string {
  const textOf = (error: CatgaError) => (values ? problemValue : problem)(error, failureStatus(error.code));
  try {
    if (isCatgaError(thrown)) return textOf(thrown);
  } catch {
    // the thrown value cannot be read, so a general failure is sent
  }
  logThrown("events: the stream, or the function id, threw:", thrown); // logged, because no caller is left
  return textOf(new CatgaError("HANDLER_FAILED", "the stream failed"));
}

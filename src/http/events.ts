/** HTTP responses of server-sent events, made of streams. */
import { checkFunction, checkKnown, checkNumber, checkSignal, disown, MAX_TIMEOUT, show } from "../data/checks.ts";
import { encode } from "../data/utf8.ts";
import { COMMENT, END, EVENT_STREAM_HEADERS, eventStreamBody, failureEvent, itemText, ownAbort } from "./sse_body.ts";

/** Options of {@link events}, which sends a stream's items as server-sent events. */
export interface EventsOptions<T> {
  /**
   * The signal of the HTTP request: when it aborts, the stream ends. The stream also ends when the client closes the
   * response. Default: none.
   */
  signal?: AbortSignal | undefined;
  /**
   * Returns the id of an item, which a browser that reconnects sends as `Last-Event-ID`. Default: the number of the
   * item, from 1.
   */
  id?: ((item: T, n: number) => string | number) | undefined;
  /**
   * Interval of the comments that keep the connection alive while no item comes, in ms, 1 to 2^31 - 1. Default: 5,000.
   */
  keepAlive?: number | undefined;
  /** Further headers of the response. Default: none. */
  headers?: ResponseInit["headers"] | undefined;
}

/**
 * Returns a response of server-sent events, one for each item, as JSON, with an `id`. After the last item an event
 * `end` follows, or an event `failure` with problem details: otherwise a browser would reconnect. Items that JSON
 * cannot hold, and errors of the stream or of `id` that are no `CatgaError`, are logged to the console. Items are read
 * no faster than the client takes them; when the client leaves, the stream ends. When the app of a stream that
 * `app.stream` returned drains, the response ends without `end`, so that a browser reconnects to another gateway.
 *
 * @example
 * ```ts
 * import { events } from "@catga/catga/http";
 *
 * const response = events((async function* () {
 *   yield { tea: "assam" };
 * })());
 * console.log((await response.text()).includes('id: 1\ndata: {"tea":"assam"}')); // true
 * ```
 */
export function events<T>(stream: AsyncIterable<T>, options: EventsOptions<T> = {}): Response {
  if (typeof stream?.[Symbol.asyncIterator] !== "function") {
    throw new TypeError(`events takes what app.stream(…) gives; got ${show(stream)}`);
  }
  checkKnown("events", options, EVENTS_OPTIONS);
  const { signal, id = (_: T, n: number) => n, keepAlive = KEEP_ALIVE } = options;
  checkSignal("events", signal);
  checkFunction("events: id", id);
  checkNumber("events: keepAlive", keepAlive, 1, MAX_TIMEOUT, "ms");
  const headers = new Headers(options.headers);
  for (const [name, value] of EVENT_STREAM_HEADERS) if (!headers.has(name)) headers.set(name, value);
  const draining = (stream as { readonly "~draining"?: AbortSignal })["~draining"];
  let count = 0;
  const body = eventStreamBody({
    items: stream[Symbol.asyncIterator](),
    signals: [signal, draining].flatMap((each) => each === undefined ? [] : [ownAbort(each)]),
    keepAlive,
    first: COMMENT,
    event: (item: T) => encode(`id: ${line(id(item, ++count))}\ndata: ${itemText(item)}\n\n`),
    idle: () => COMMENT,
    end: END,
    failed: (thrown) => failureEvent(thrown),
  });
  return new Response(body, { headers });
}

/**
 * Default interval of the comments that keep a response alive, in ms: `Bun.serve` ends a response that is silent for 10
 * s, and checks every 4 s.
 */
export const KEEP_ALIVE = 5_000;
const EVENTS_OPTIONS = new Set(["signal", "id", "keepAlive", "headers"] satisfies (keyof EventsOptions<unknown>)[]);
/** Returns the id of an event as one line of text. Throws a `TypeError` if the value is not a valid id. */
function line(id: string | number): string {
  if (typeof id !== "string" && !Number.isFinite(id)) {
    disown(id);
    throw new TypeError(`events: id must return a string or a finite number; got ${show(id)}`);
  }
  return String(id).replace(/[\r\n\0]/g, " ");
}

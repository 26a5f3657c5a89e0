/** Streams as server-sent events. */
import { checkFunction, checkKnown, checkNumber, checkSignal, disown, MAX_TIMEOUT, show } from "../data/checks.ts";
import { toJson } from "../data/encoding.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { onAbort, systemClock, type Timer } from "../ports/clock.ts";
import { httpStatus, problem } from "./respond.ts";

/** Options of {@link events}. */
export interface EventsOptions<T> {
  /** The request's: the stream ends when it aborts. The stream ends in any case when the client leaves. None. */
  signal?: AbortSignal | undefined;
  /**
   * The id of an item, which a browser sends as `Last-Event-ID` when it comes again; the number of the item, from 1.
   */
  id?: ((item: T, n: number) => string | number) | undefined;
  /** How often a comment keeps the connection alive while no item comes, in ms: 1 to 2^31 - 1; 5,000. */
  keepAlive?: number | undefined;
  /** Further headers; none. */
  headers?: ResponseInit["headers"] | undefined;
}

/**
 * A response of server-sent events, one for each item, as JSON, with an `id`. After the last one comes an event `end`,
 * or `failure` with problem details; a browser would come again otherwise. Items that JSON cannot hold, and errors of
 * the stream or of `id` that are no `CatgaError`, are logged to the console. Items are read no faster than the client
 * takes them; when it leaves, the stream ends. When the app of a stream that `app.stream` returned drains, the response
 * ends without `end`, so that a browser comes again, to another gateway.
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
  for (const [name, value] of HEADERS) if (!headers.has(name)) headers.set(name, value);
  const ends = [signal, (stream as { readonly "~draining"?: AbortSignal })["~draining"]].filter((each) =>
    each !== undefined
  );
  const body = new ReadableStream(bodyOf(stream, ends, id, keepAlive), { highWaterMark: 1 });
  return new Response(body, { headers });
}

/** In ms; `Bun.serve` ends a response that is silent for 10 s, and looks every 4 s. */
export const KEEP_ALIVE = 5_000;
const EVENTS_OPTIONS = new Set(["signal", "id", "keepAlive", "headers"] satisfies (keyof EventsOptions<unknown>)[]);
const HEADERS = [
  ["content-type", "text/event-stream"],
  ["cache-control", "no-cache, no-transform"],
  ["x-accel-buffering", "no"], // nginx
] as const;

/** The body of a response of events. */
function bodyOf<T>(
  stream: AsyncIterable<T>,
  ends: readonly AbortSignal[],
  id: (item: T, n: number) => string | number,
  keepAlive: number,
): UnderlyingDefaultSource<Uint8Array> {
  const items = stream[Symbol.asyncIterator]();
  let count = 0;
  let alive: Timer | undefined;
  let offs: readonly (() => void)[] = [];
  let over = false;

  const end = () => {
    if (over) return;
    over = true;
    alive?.cancel();
    for (const off of offs) off();
    (async () => await items.return?.())().catch(() => {}); // nobody is left who could be told
  };
  const comment = (to: ReadableStreamDefaultController<Uint8Array>) => {
    alive = systemClock.after(keepAlive, () => {
      // not while it waits for the client
      if ((to.desiredSize ?? 0) > 0) to.enqueue(encoder.encode(COMMENT));
      comment(to);
    });
  };
  return {
    start(to) {
      to.enqueue(encoder.encode(COMMENT)); // so that the client has the headers
      offs = ends.map((signal) =>
        onAbort(signal, () => {
          if (over) return;
          end();
          to.close();
        })
      );
    },
    /** Comments come only meanwhile: a response that nobody reads has no timer. */
    async pull(to) {
      comment(to);
      let text: string;
      let last = true;
      try {
        const { done, value } = await items.next();
        last = done === true;
        text = last ? "event: end\ndata:\n\n" : `id: ${line(id(value, ++count))}\ndata: ${dataOf(value)}\n\n`;
      } catch (thrown) {
        last = true;
        text = `event: failure\ndata: ${failureText(thrown)}\n\n`;
      }
      alive?.cancel();
      if (over) return;
      to.enqueue(encoder.encode(text));
      if (!last) return;
      end();
      to.close();
    },
    cancel: end,
  };
}

/** An item as JSON. One that cannot be sent is logged here: no node has logged it, and the client gets only a code. */
function dataOf(item: unknown): string {
  try {
    return toJson(item, "INVALID_RESPONSE", "an item");
  } catch (error) {
    console.error("events:", error);
    throw error;
  }
}

/** What a stream threw, as problem details. */
function failureText(thrown: unknown): string {
  try {
    if (isCatgaError(thrown)) return problem(thrown, httpStatus(thrown));
  } catch {
    // it cannot be read
  }
  console.error("events: the stream, or the function id, threw:", thrown); // no caller is left
  const error = new CatgaError("HANDLER_FAILED", "the stream failed");
  return problem(error, httpStatus(error));
}

/** An id on one line. Throws a `TypeError` for a value that is none. */
function line(id: string | number): string {
  if (typeof id !== "string" && !Number.isFinite(id)) {
    disown(id);
    throw new TypeError(`events: id must return a string or a finite number; got ${show(id)}`);
  }
  return String(id).replace(/[\r\n\0]/g, " ");
}

const encoder = new TextEncoder();
const COMMENT = ":\n\n";

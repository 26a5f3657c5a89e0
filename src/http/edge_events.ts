/**
 * Server-sent events of an edge: items of streams, and events of tails. Each has an id, by which a client that comes
 * again goes on behind it. After the last one comes `end`, or `failure` with problem details; a response that just ends
 * was cut off, or its node drains: the client comes again.
 */
import { encodeValue, toJson } from "../data/encoding.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { onAbort, systemClock, type Timer } from "../ports/clock.ts";
import { problemValue } from "./edge_answer.ts";
import { httpStatus, problem } from "./respond.ts";

/** What is sent as server-sent events. */
export interface EventSource<T> {
  readonly items: AsyncIterator<T>;
  /** The text of an item, as JSON or as a value with tags. */
  data(item: T): Uint8Array;
  /** The place from which a client that comes again goes on, if no item is there; `undefined`: none is known. */
  readonly place: string | undefined;
  /** Each ends it, without an event. */
  readonly signals: readonly AbortSignal[];
  /** True if the end of the items is the end of the response for the client, too. */
  readonly finite: boolean;
  readonly keepAlive: number;
}

/** A response of server-sent events. Items are read no faster than the client takes them. */
export function eventsResponse<T>(source: EventSource<T>, values: boolean, headers: Headers): Response {
  headers.set("content-type", "text/event-stream");
  headers.set("cache-control", "no-cache, no-transform");
  headers.set("x-accel-buffering", "no"); // nginx
  const { items, signals, keepAlive } = source;
  let alive: Timer | undefined;
  let over = false;
  let offs: readonly (() => void)[] = [];
  const end = () => {
    if (over) return;
    over = true;
    alive?.cancel();
    for (const off of offs) off();
    (async () => await items.return?.())().catch(() => {}); // nobody is left who could be told
  };
  const body = new ReadableStream<Uint8Array>({
    start(to) {
      to.enqueue(COMMENT); // so that the client has the headers
      offs = signals.map((signal) =>
        onAbort(signal, () => {
          if (over) return;
          end();
          to.close();
        })
      );
    },
    async pull(to) {
      const wait = () => {
        alive = systemClock.after(keepAlive, () => {
          // not while it waits for the client
          if ((to.desiredSize ?? 0) > 0) to.enqueue(source.place === undefined ? COMMENT : idOnly(source.place));
          wait();
        });
      };
      wait();
      let bytes: Uint8Array | undefined;
      let last = true;
      try {
        const { done, value } = await items.next();
        last = done === true;
        bytes = last ? (source.finite ? END : undefined) : source.data(value);
      } catch (thrown) {
        bytes = isDraining(thrown)
          ? undefined
          : encoder.encode(`event: failure\ndata: ${failureText(thrown, values)}\n\n`);
      }
      alive?.cancel();
      if (over) return;
      if (bytes !== undefined) to.enqueue(bytes);
      if (!last) return;
      end();
      to.close();
    },
    cancel: end,
  }, { highWaterMark: 1 });
  return new Response(body, { headers });
}

/** An event with an id, for {@link EventSource.data}. `id`: undefined for an item at which nobody can go on. */
export function eventBytes(id: string | number | undefined, item: unknown, values: boolean): Uint8Array {
  const text = values ? encodeValue(item, "item") : toJson(item, "INVALID_RESPONSE", "an item");
  return encoder.encode(`${id === undefined ? "" : `id: ${id}\n`}data: ${text}\n\n`);
}

/** The node of the stream, or of this response, stops: the client goes on at another one. */
function isDraining(thrown: unknown): boolean {
  return isCatgaError(thrown) && (thrown.code === "CLOSED" || thrown.code === "DRAINING");
}

/** An id without data: a client notes it, and sees no event. */
function idOnly(id: string): Uint8Array {
  return encoder.encode(`id: ${id}\n\n`);
}

function failureText(thrown: unknown, values: boolean): string {
  let error: CatgaError = new CatgaError("HANDLER_FAILED", "the stream failed");
  if (isCatgaError(thrown)) error = thrown;
  else console.error("edge: a stream threw:", thrown); // no caller is left
  const status = httpStatus(error);
  return values ? problemValue(error, status) : problem(error, status);
}

const encoder = new TextEncoder();
const COMMENT = encoder.encode(":\n\n");
const END = encoder.encode("event: end\ndata:\n\n");

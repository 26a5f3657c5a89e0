/**
 * Server-sent events of an edge: items of streams, and events of tails. Each has an id, by which a client that comes
 * again goes on behind it. After the last one comes `end`, or `failure` with problem details; a response that just ends
 * was cut off, or its node drains: the client comes again.
 */
import { encode } from "../data/utf8.ts";
import { isCatgaError } from "../error.ts";
import {
  COMMENT,
  END,
  EVENT_STREAM_HEADERS,
  type EventStream,
  eventStreamBody,
  failureEvent,
  itemText,
} from "./sse_body.ts";

/** What is sent as server-sent events. */
export interface EdgeEvents<T> extends Pick<EventStream<T>, "items" | "signals" | "keepAlive" | "event"> {
  /** The place from which a client that comes again goes on, if no item is there; `undefined`: none is known. */
  readonly place: string | undefined;
  /** True if the end of the items is the end of the response for the client, too. */
  readonly finite: boolean;
}

/** A response of server-sent events. */
export function eventsResponse<T>(source: EdgeEvents<T>, values: boolean): Response {
  const { items, signals, keepAlive, finite } = source;
  const body = eventStreamBody<T>({
    ...{ items, signals, keepAlive },
    event: (item) => source.event(item),
    // an id without data: a client notes it, and sees no event
    idle: () => source.place === undefined ? COMMENT : encode(`id: ${source.place}\n\n`),
    end: finite ? END : undefined,
    failed: (thrown) => isDraining(thrown) ? undefined : failureEvent(thrown, values),
  });
  return new Response(body, { headers: Object.fromEntries(EVENT_STREAM_HEADERS) });
}

/** An event with an id, for {@link EdgeEvents.event}. `id`: undefined for an item at which nobody can go on. */
export function eventBytes(id: string | number | undefined, item: unknown, values: boolean): Uint8Array {
  return encode(`${id === undefined ? "" : `id: ${id}\n`}data: ${itemText(item, values)}\n\n`);
}

/** The node of the stream, or of this response, stops: the client goes on at another one. */
function isDraining(thrown: unknown): boolean {
  return isCatgaError(thrown) && (thrown.code === "CLOSED" || thrown.code === "DRAINING");
}

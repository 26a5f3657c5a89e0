/**
 * Server-sent events of an edge: items of streams, and events of tails. Each has an id, after which a client that
 * reconnects continues. The last event is followed by `end`, or by `failure` with problem details. A response that ends
 * without either was cut off, or its node drains: the client reconnects.
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

/** Source of a response of server-sent events. */
export interface EdgeEvents<T> extends Pick<EventStream<T>, "items" | "signals" | "keepAlive" | "event"> {
  /** Place from which a client that reconnects continues if it has received no item; `undefined`: unknown. */
  readonly place: string | undefined;
  /** True if the end of the items also ends the response for the client, which does not reconnect. */
  readonly finite: boolean;
}

/** Makes a response of server-sent events. */
export function eventsResponse<T>(source: EdgeEvents<T>, values: boolean): Response {
  const { items, signals, keepAlive, finite } = source;
  const body = eventStreamBody<T>({
    ...{ items, signals, keepAlive },
    event: (item) => source.event(item),
    // an id without data: a client stores it, and dispatches no event
    idle: () => source.place === undefined ? COMMENT : encode(`id: ${source.place}\n\n`),
    end: finite ? END : undefined,
    failed: (thrown) => isDraining(thrown) ? undefined : failureEvent(thrown, values),
  });
  return new Response(body, { headers: Object.fromEntries(EVENT_STREAM_HEADERS) });
}

/** Encodes an event, for {@link EdgeEvents.event}. `id`: `undefined` if no client can continue after the item. */
export function eventBytes(id: string | number | undefined, item: unknown, values: boolean): Uint8Array {
  return encode(`${id === undefined ? "" : `id: ${id}\n`}data: ${itemText(item, values)}\n\n`);
}

/** Returns true if the node of the stream, or of this response, stops: the client continues at another node. */
function isDraining(thrown: unknown): boolean {
  return isCatgaError(thrown) && (thrown.code === "CLOSED" || thrown.code === "DRAINING");
}

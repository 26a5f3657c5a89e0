/**
 * Server-sent events of an edge: items of streams, and durable events that a client follows. Each has an id; a client
 * that reconnects continues after the last id that it got. The last event is followed by `end`, or by `failure` with
 * problem details. A response that ends without `end` and without `failure` was cut off, or its node drains: the client
 * reconnects.
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

/** Source of the events of one HTTP response. */
export interface EdgeEvents<T> extends Pick<EventStream<T>, "items" | "signals" | "keepAlive" | "event"> {
  /** Place from which a client that reconnects before it has received an item continues; `undefined`: not known. */
  readonly place: string | undefined;
  /** True if the client has got everything when the items end, so that it does not reconnect. */
  readonly finite: boolean;
}

/** Makes an HTTP response of server-sent events. */
export function eventsResponse<T>(source: EdgeEvents<T>, values: boolean): Response {
  const { items, signals, keepAlive, finite } = source;
  const body = eventStreamBody<T>({
    ...{ items, signals, keepAlive },
    // the interval of the comments, by which Catga's client notices a connection that was lost without an end
    first: encode(`:${keepAlive}\n\n`),
    event: (item) => source.event(item),
    // while no item comes, an id without data is sent: a client stores the id, and gets no event
    idle: () => source.place === undefined ? COMMENT : encode(`id: ${source.place}\n\n`),
    end: finite ? END : undefined,
    failed: (thrown) => isDraining(thrown) ? undefined : failureEvent(thrown, values),
  });
  return new Response(body, { headers: Object.fromEntries(EVENT_STREAM_HEADERS) });
}

/**
 * Encodes the event for an item. `id`: the place of the item; `undefined` if no client can continue after it. `name`:
 * name of the event; default: none.
 * @decides the bytes of an event of a stream or tail; `sse_body.ts` sends them
 */
export function eventBytes(
  id: string | number | undefined,
  item: unknown,
  values: boolean,
  name?: string,
): Uint8Array {
  const named = name === undefined ? "" : `event: ${name}\n`;
  return encode(`${named}${id === undefined ? "" : `id: ${id}\n`}data: ${itemText(item, values)}\n\n`);
}

/**
 * Returns true if the thrown error says that a node shuts down: the node that sends the stream's items, or the node
 * that sends this response. The client then continues on another node.
 */
function isDraining(thrown: unknown): boolean {
  return isCatgaError(thrown) && (thrown.code === "CLOSED" || thrown.code === "DRAINING");
}

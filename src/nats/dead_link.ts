/** What nats.js leaves undone about a link that is dead. */
import type { NatsConnection } from "@nats-io/nats-core";
import { systemClock } from "../ports/clock.ts";

/**
 * Ends the socket under a connection. When nats.js finds a link dead it first waits until its buffers are written, which
 * they never are once the system's are full: it then hangs for a quarter of an hour (measured: transport-node 3.4.0 with
 * 20 MB published into a dead link; transport-deno waits alike).
 */
export function destroySocket(connection: NatsConnection): void {
  // there is no public way to it
  const { protocol } = connection as {
    protocol?: { transport?: { socket?: { destroy(): void }; conn?: { close(): void } } };
  };
  try {
    protocol?.transport?.socket?.destroy();
    protocol?.transport?.conn?.close();
  } catch {
    // closed in between
  }
}

/**
 * Has a connection dial although the wall clock was put back. By that clock nats.js (3.4.0) waits between two dials of a
 * server: put back by an hour, it does not dial for an hour (seen).
 */
export function dialWhenClockWasPutBack(connection: NatsConnection): void {
  // there is no public way to it
  const { protocol } = connection as {
    protocol?: {
      options?: { reconnectDelayHandler?: () => number };
      servers?: { servers?: { lastConnect: number }[] };
    };
  };
  const { options, servers } = protocol ?? {};
  const delay = options?.reconnectDelayHandler;
  if (options === undefined || delay === undefined) return;
  // it is asked each time before the last dials are looked at
  options.reconnectDelayHandler = () => {
    const now = systemClock.now();
    for (const server of servers?.servers ?? []) if (server.lastConnect > now) server.lastConnect = 0;
    return delay();
  };
}

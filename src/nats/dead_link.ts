/** Helps nats.js in three cases in which it does not recover from a dead link by itself. */
import type { NatsConnection } from "@nats-io/nats-core";
import { type Clock, systemClock } from "../ports/clock.ts";
import { protocolOf } from "./private.ts";

/**
 * Destroys the socket of a connection. When nats.js finds a link dead, it first waits until its buffers are written,
 * which never happens if the system's buffers are full: it then hangs for a quarter of an hour, also over
 * transport-deno (docs/internals/packages.md, row `core-dead-link`).
 */
export function destroySocket(connection: NatsConnection): void {
  const transport = protocolOf(connection)?.transport;
  try {
    transport?.socket?.destroy();
    transport?.conn?.close();
  } catch {
    // nothing to do: the socket is closed already
  }
}

/**
 * Makes a connection dial at once after the wall clock was set back. nats.js measures the wait between two attempts
 * to connect by that clock: after it was set back by an hour, nats.js does not dial for an hour
 * (docs/internals/packages.md, row `core-clock`).
 */
export function dialWhenClockWasPutBack(connection: NatsConnection): void {
  const { options, servers } = protocolOf(connection) ?? {};
  const delay = options?.reconnectDelayHandler;
  if (options === undefined || delay === undefined) return;
  // nats.js calls this handler before it reads `lastConnect`
  options.reconnectDelayHandler = () => {
    const now = systemClock.now();
    for (const server of servers?.servers ?? []) if (server.lastConnect > now) server.lastConnect = 0;
    return delay();
  };
}

/**
 * Makes a connection dial again if its link was lost at the moment at which an attempt to connect succeeded, and
 * returns true in that case. nats.js treats such a loss as part of the attempt, reports a reconnect, and never dials
 * again (observed over Deno's transports on a busy machine with a server that was restarted twice in a second; not
 * over transport-node).
 */
export function dialWhenLostAtOnce(connection: NatsConnection, clock: Clock): boolean {
  const protocol = protocolOf(connection);
  const lost = () => !connection.isClosed() && protocol?.transport?.isClosed === true;
  if (!lost()) return false;
  // the link is checked in a later turn of the event loop, because nats.js may have begun to dial by itself until then
  clock.soon(() => lost() && protocol?.connectPromise === null && void protocol.disconnected?.());
  return true;
}

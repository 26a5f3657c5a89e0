/** Three cases in which nats.js does not recover from a dead link by itself. */
import type { NatsConnection } from "@nats-io/nats-core";
import { type Clock, systemClock } from "../ports/clock.ts";
import { protocolOf } from "./private.ts";

/**
 * Destroys the socket of a connection. When nats.js finds a link dead it first waits until its buffers are written,
 * which never happens once the system's buffers are full: it hangs for a quarter of an hour, over transport-deno too
 * (docs/internals/packages.md, row `core-dead-link`).
 */
export function destroySocket(connection: NatsConnection): void {
  const transport = protocolOf(connection)?.transport;
  try {
    transport?.socket?.destroy();
    transport?.conn?.close();
  } catch {
    // closed meanwhile
  }
}

/**
 * Makes a connection dial at once although the wall clock was set back: nats.js measures the wait between two dials by
 * that clock, and does not dial for an hour after it was set back by an hour (docs/internals/packages.md, row
 * `core-clock`).
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
 * If a link was lost at the moment at which a dial succeeded, makes the connection dial again and returns true. nats.js
 * treats that loss as part of the dial, reports a reconnect, and never dials again (observed over Deno's transports on
 * a busy machine with a server that was restarted twice in a second; not over transport-node).
 */
export function dialWhenLostAtOnce(connection: NatsConnection, clock: Clock): boolean {
  const protocol = protocolOf(connection);
  const lost = () => !connection.isClosed() && protocol?.transport?.isClosed === true;
  if (!lost()) return false;
  // unless nats.js dials by itself
  clock.soon(() => lost() && protocol?.connectPromise === null && void protocol.disconnected?.());
  return true;
}

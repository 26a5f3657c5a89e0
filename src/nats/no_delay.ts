/**
 * Turns Nagle's algorithm off where a client of nats.js leaves it on, as transport-deno does: a small frame behind an
 * unacknowledged one waits for the server's delayed acknowledgement, 40 ms (docs/internals/packages.md, row
 * `transport-deno`).
 */
import type { NatsConnection } from "@nats-io/nats-core";
import { protocolOf } from "./private.ts";

/**
 * Makes the present socket of a connection send each frame at once; nats.js opens another socket at each dial. Does
 * nothing over TLS and WebSocket, whose sockets in Deno have no such option.
 */
export function sendWithoutDelay(connection: NatsConnection): void {
  try {
    protocolOf(connection)?.transport?.conn?.setNoDelay?.(true);
  } catch {
    // nothing to do: the socket is closed already
  }
}

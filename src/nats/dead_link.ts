/** What nats.js leaves undone about a link that is dead. */
import type { NatsConnection } from "@nats-io/nats-core";

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

/** The driver for Bun and Node, and for CAs and client certificates in Deno: `@nats-io/transport-node`. */
import {
  type ConnectionOptions,
  type NatsConnection,
  NatsConnectionImpl,
  setTransportFactory,
} from "@nats-io/transport-node";
import { nodeResolveHost, NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";
export { createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/transport-node";

/** Opens a connection over TCP or TLS. */
export function connect(options: ConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new ClosingTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}

/**
 * Closes the socket of a dial that got no answer in time: nats.js (3.4.0) leaves it open, and the process cannot end
 * (observed: a server that was stopped by SIGSTOP).
 */
class ClosingTransport extends NodeTransport {
  override close(error?: Error): Promise<void> {
    if (!this.connected) this.discard();
    return super.close(error);
  }
}

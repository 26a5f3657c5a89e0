/** NATS by nats-core over a transport of our own, the driver for Deno. The same names as `driver_node.ts`. */
import { type ConnectionOptions, type NatsConnection, NatsConnectionImpl } from "@nats-io/nats-core/internal";
import { useDenoTransport } from "./deno_transport.ts";
export { createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/nats-core/internal";

/** Opens a connection over TCP or TLS. */
export function connect(options: ConnectionOptions): Promise<NatsConnection> {
  useDenoTransport();
  return NatsConnectionImpl.connect(options);
}

/** The driver for Deno: nats-core over `deno_transport.ts`. The same exports as `driver_node.ts`. */
import { type ConnectionOptions, type NatsConnection, NatsConnectionImpl } from "@nats-io/nats-core/internal";
import { useDenoTransport } from "./deno_transport.ts";
export { createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/nats-core/internal";

/** Opens a connection over TCP or TLS. */
export function connect(options: ConnectionOptions): Promise<NatsConnection> {
  useDenoTransport();
  return NatsConnectionImpl.connect(options);
}

/** The driver for Bun and Node, and for CAs and client certificates in Deno: `@nats-io/transport-node`. */
import * as node from "@nats-io/transport-node";
import { createConnection, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { openOnce } from "../ports/clock.ts";
export { createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/transport-node";

// no part of its interface: a version that has this file elsewhere keeps its own transport, for connections without TLS
const loadFactory = openOnce(() =>
  import("@nats-io/transport-node/lib/node_transport.js").then(factoryOf, () => undefined)
);

/** Opens a connection over TCP or TLS. */
export async function connect(options: node.ConnectionOptions): Promise<node.NatsConnection> {
  const factory = await loadFactory();
  if (factory === undefined) {
    if (options.tls === undefined || options.tls === null) return await node.connect(options);
    throw new TypeError("nats.tls: this version of @nats-io/transport-node does not check IP addresses; use its 3.4");
  }
  node.setTransportFactory(factory);
  return await node.NatsConnectionImpl.connect(options);
}

/**
 * Makes transports that close the socket of a dial that got no answer in time, and that compare an IP address with the
 * server's certificate. That of nats.js (3.4.0) leaves the socket open, and the process cannot end (observed: a server
 * that was stopped by SIGSTOP, and in Bun one behind a firewall, until the system gives it up after some two minutes).
 */
function factoryOf(
  { NodeTransport, nodeResolveHost }: typeof import("@nats-io/transport-node/lib/node_transport.js"),
): node.TransportFactory {
  class CarefulTransport extends NodeTransport {
    #address = "";
    #dialled: Socket | undefined;

    override dial({ hostname, port }: { hostname: string; port: number }): Promise<Socket> {
      this.#address = hostname;
      const socket = this.#dialled = createConnection(port, hostname);
      return new Promise((resolve, reject) => {
        let failure: unknown;
        socket.setNoDelay(true);
        socket.on("error", (error) => failure = error);
        socket.on("close", () => reject(failure));
        socket.on("connect", () => resolve(socket.removeAllListeners()));
      });
    }

    override startTLS(): Promise<TLSSocket> {
      // nats.js passes it on to node:tls
      const tls = { ...this.options.tls, host: this.#address };
      if (this.tlsName === "") this.options = { ...this.options, tls };
      return super.startTLS();
    }

    override close(error?: Error): Promise<void> {
      if (!this.connected) {
        this.#dialled?.destroy();
        this.discard();
      }
      return super.close(error);
    }
  }
  return { factory: () => new CarefulTransport(), dnsResolveFn: nodeResolveHost };
}

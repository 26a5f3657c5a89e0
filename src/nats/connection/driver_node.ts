/**
 * The driver for Bun and Node, and for CAs and client certificates in Deno: `@nats-io/transport-node`. The package's
 * types are written out here, because Deno would download the package for a type, too.
 */
import type * as core from "@nats-io/nats-core";
import { createConnection, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { importNodeClient, importNodeTransport } from "./client_packages.ts";

/** A client that opens a connection over TCP or TLS. */
interface Connects {
  connect(options: core.ConnectionOptions): Promise<core.NatsConnection>;
}

type Shared = Pick<typeof core, "createInbox" | "credsAuthenticator" | "headers" | "nkeyAuthenticator">;

/** The members of `@nats-io/transport-node` that this file uses. */
interface NodeClient extends Shared, Connects {
  setTransportFactory(factory: NodeTransportFactory): void;
  readonly NatsConnectionImpl: Connects;
}

interface NodeTransportFactory {
  factory(): unknown;
  readonly dnsResolveFn: unknown;
}

/** The file of `@nats-io/transport-node` with its class for a TCP connection, which the package does not export. */
interface NodeTransportFile {
  readonly NodeTransport: new () => {
    readonly connected: boolean;
    readonly tlsName: string;
    options: core.ConnectionOptions;
    dial(server: { hostname: string; port: number }): Promise<Socket>;
    startTLS(): Promise<TLSSocket>;
    close(error?: Error): Promise<void>;
    discard(): void;
  };
  readonly nodeResolveHost: unknown;
}

/**
 * Loads the driver. If the installed version lacks the file of the TCP connection, the package's own transport is used
 * for connections without TLS.
 */
export async function loadNodeDriver(): Promise<Shared & Connects> {
  const [client, file] = await Promise.all([importNodeClient(), importNodeTransport()]) as [
    NodeClient,
    NodeTransportFile | undefined,
  ];
  const { createInbox, credsAuthenticator, headers, nkeyAuthenticator } = client;
  const factory = file === undefined ? undefined : factoryOf(file);
  return {
    ...{ createInbox, credsAuthenticator, headers, nkeyAuthenticator },
    async connect(options) {
      if (factory === undefined) {
        if (options.tls === undefined || options.tls === null) return await client.connect(options);
        throw new TypeError(
          "nats.tls: this version of @nats-io/transport-node does not check IP addresses; use its 3.4",
        );
      }
      client.setTransportFactory(factory);
      return await client.NatsConnectionImpl.connect(options);
    },
  };
}

/**
 * Makes a factory of transports that close the socket of an attempt to connect that gets no answer, and that compare
 * an IP address with the server's certificate. The transport of nats.js leaves the socket open
 * (docs/internals/packages.md, row `node-dial`), so that the process cannot end: a server that was stopped by
 * SIGSTOP, or in Bun one behind a firewall, keeps the socket until the system gives up after some two minutes.
 */
function factoryOf({ NodeTransport, nodeResolveHost }: NodeTransportFile): NodeTransportFactory {
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
      // nats.js passes `host` on to node:tls, which checks the certificate for it
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

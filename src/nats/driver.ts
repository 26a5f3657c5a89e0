/** The choice between two clients of nats.js. A client is loaded when it is chosen, not before. */
import type { Authenticator, ConnectionOptions, MsgHdrs, NatsConnection } from "@nats-io/nats-core";

/** The part of nats.js that Catga uses. JetStream and KV are used through its requests: see `jetstream.ts`. */
export interface Driver {
  /** Opens a connection. */
  connect(options: ConnectionOptions): Promise<NatsConnection>;
  /** An empty set of headers. */
  headers(): MsgHdrs;
  /** A unique subject. */
  createInbox(prefix?: string): string;
  /** Signs in with the text of a `.creds` file. */
  credsAuthenticator(creds: Uint8Array): Authenticator;
  /** Signs in with the seed of an nkey. */
  nkeyAuthenticator(seed: Uint8Array): Authenticator;
}

/** The name of a driver. */
export type DriverName = "deno" | "node";

/**
 * Loads a driver: the one that is named, else the runtime's own. With a CA or a client certificate the default is
 * `node`: Deno cannot present a certificate after the server's INFO, and trusts its built-in CAs as well as the given
 * one.
 */
export async function loadDriver(name: DriverName | undefined, tls?: ConnectionOptions["tls"]): Promise<Driver> {
  if (name !== undefined && name !== "deno" && name !== "node") {
    throw new TypeError(`transport must be "deno" or "node"; got ${JSON.stringify(name)}`);
  }
  if (name === "deno" && !("Deno" in globalThis)) {
    throw new TypeError('transport "deno" runs in Deno only; leave the option out');
  }
  const certificates = tls?.ca ?? tls?.cert ?? tls?.certFile ?? tls?.key ?? tls?.keyFile;
  const picked = name ?? ("Deno" in globalThis && certificates === undefined ? "deno" : "node");
  // each may have its own copy of nats-core, from another registry: their types are alike, not the same
  return await (picked === "deno" ? import("./driver_deno.ts") : import("./driver_node.ts")) as Driver;
}

/** Which of the two clients of nats.js is taken. Neither is loaded before it is asked for. */
import type { Authenticator, ConnectionOptions, MsgHdrs, NatsConnection } from "@nats-io/nats-core";

/** What Catga uses of nats.js. JetStream and KV are spoken over its requests, see `jetstream.ts`. */
export interface Driver {
  /** Opens a connection. */
  connect(options: ConnectionOptions): Promise<NatsConnection>;
  /** An empty set of headers. */
  headers(): MsgHdrs;
  /** A subject that nobody else has. */
  createInbox(prefix?: string): string;
  /** Signs in with the text of a `.creds` file. */
  credsAuthenticator(creds: Uint8Array): Authenticator;
  /** Signs in with the seed of an nkey. */
  nkeyAuthenticator(seed: Uint8Array): Authenticator;
}

/** The name of a driver. */
export type DriverName = "deno" | "node";

/**
 * Loads a driver: the one that is named, else the runtime's own. A connection with a CA or a certificate of its own takes
 * `node` by itself: Deno cannot show a certificate once the server has spoken, and trusts a CA beside those it has built in.
 */
export async function loadDriver(name: DriverName | undefined, tls?: ConnectionOptions["tls"]): Promise<Driver> {
  if (name !== undefined && name !== "deno" && name !== "node") {
    throw new TypeError(`transport must be "deno" or "node"; got ${JSON.stringify(name)}`);
  }
  if (name === "deno" && !("Deno" in globalThis)) {
    throw new TypeError('transport "deno" runs in Deno only; leave the option out to take this runtime\'s own');
  }
  const certificates = tls?.ca ?? tls?.cert ?? tls?.certFile ?? tls?.key ?? tls?.keyFile;
  const picked = name ?? ("Deno" in globalThis && certificates === undefined ? "deno" : "node");
  // each has its own copy of nats-core when they come from different registries: their types are alike, not the same
  return await (picked === "deno" ? import("./driver_deno.ts") : import("./driver_node.ts")) as Driver;
}

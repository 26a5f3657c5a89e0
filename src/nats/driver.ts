/** The choice between the clients of nats.js. A client is loaded when it is chosen, not before. */
import type { Authenticator, ConnectionOptions, MsgHdrs, NatsConnection } from "@nats-io/nats-core";

/** The part of nats.js that Catga uses of a client. */
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
export type DriverName = keyof typeof DRIVERS;

const DRIVERS = {
  // stands in for "official": docs/internals/packages.md, row `transport-deno`
  deno: () => import("./deno_transport.ts"),
  node: async () => (await import("./driver_node.ts")).loadNodeDriver(),
  official: async () => (await import("./client_packages.ts")).importDenoClient(),
};

/** Those that run in Deno alone. */
const OF_DENO: ReadonlySet<string> = new Set<DriverName>(["deno", "official"]);

/**
 * Loads a driver: the one that is named, else the runtime's own. With a CA or a client certificate the default is
 * `node`: Deno cannot present a certificate after the server's INFO, and trusts its built-in CAs as well as the given
 * one.
 */
export async function loadDriver(name: DriverName | undefined, tls?: ConnectionOptions["tls"]): Promise<Driver> {
  if (name !== undefined && !Object.hasOwn(DRIVERS, name)) {
    throw new TypeError(`transport must be "deno", "node" or "official"; got ${JSON.stringify(name)}`);
  }
  if (name !== undefined && OF_DENO.has(name) && !("Deno" in globalThis)) {
    throw new TypeError(`transport "${name}" runs in Deno only; leave the option out`);
  }
  const certificates = tls?.ca ?? tls?.cert ?? tls?.certFile ?? tls?.key ?? tls?.keyFile;
  const picked = name ?? ("Deno" in globalThis && certificates === undefined ? "deno" : "node");
  // each may have its own copy of nats-core, from another registry: their types are alike, not the same
  return await DRIVERS[picked]() as Driver;
}

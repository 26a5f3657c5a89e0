/**
 * Chooses a driver: one of the clients of nats.js, with the packages that fit it. A client is loaded when chosen;
 * JetStream and KV when used, with the client's own copy of nats-core.
 */
import type * as jetstreamPackage from "@nats-io/jetstream";
import type * as kvPackage from "@nats-io/kv";
import type { Authenticator, ConnectionOptions, MsgHdrs, NatsConnection } from "@nats-io/nats-core";

/** A client of nats.js, as far as Catga uses it, and the packages that fit it. */
export interface Driver extends ClientPackage {
  /** Name of the driver. */
  readonly name: DriverName;
  /** Loads the fitting copy of `@nats-io/jetstream`. */
  jetstream(): Promise<Pick<typeof jetstreamPackage, "jetstream">>;
  /** Loads the fitting copy of `@nats-io/kv`. */
  kv(): Promise<Pick<typeof kvPackage, "Kvm">>;
}

/** The members of a nats.js client that Catga uses. */
interface ClientPackage {
  /** Opens a connection to a server. */
  connect(options: ConnectionOptions): Promise<NatsConnection>;
  /** Makes an empty set of headers. */
  headers(): MsgHdrs;
  /** Makes a unique subject for answers. */
  createInbox(prefix?: string): string;
  /** Makes an authenticator from the text of a `.creds` file. */
  credsAuthenticator(creds: Uint8Array): Authenticator;
  /** Makes an authenticator from the seed of an nkey. */
  nkeyAuthenticator(seed: Uint8Array): Authenticator;
}

/** Name of a driver: of a client of nats.js. */
export type DriverName = keyof typeof DRIVERS;

const DRIVERS = {
  deno: () => import("./deno_transport.ts"),
  node: async () => (await import("./driver_node.ts")).loadNodeDriver(),
  official: async () => (await import("./client_packages.ts")).importDenoClient(),
};

/** Loads JetStream and KV from JSR, for the clients of Deno. */
const OF_JSR: Pick<Driver, "jetstream" | "kv"> = {
  jetstream: () => import("@nats-io/jetstream"),
  kv: () => import("@nats-io/kv"),
};

/**
 * Default driver in Deno. It replaces `official`, for the reasons in docs/internals/packages.md, row
 * `transport-deno`.
 */
const DEFAULT_IN_DENO: DriverName = "deno";

/** Drivers that work only in Deno. */
const OF_DENO: ReadonlySet<string> = new Set<DriverName>(["deno", "official"]);

/**
 * Loads the named driver; without a name, the default of the runtime. With a CA or a client certificate the default
 * is `node`: Deno cannot present a certificate after the server's INFO, and trusts its built-in CAs besides the given
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
  const picked = name ?? ("Deno" in globalThis && certificates === undefined ? DEFAULT_IN_DENO : "node");
  // cast: drivers may have copies of nats-core from different registries, whose types are alike, not the same
  const client = await DRIVERS[picked]() as ClientPackage;
  return { ...client, name: picked, ...(picked === "node" ? await ofNode() : OF_JSR) };
}

async function ofNode(): Promise<Pick<Driver, "jetstream" | "kv">> {
  const { importNodeJetStream, importNodeKv } = await import("./client_packages.ts");
  return { jetstream: importNodeJetStream, kv: importNodeKv } as Pick<Driver, "jetstream" | "kv">;
}

/** From the option `nats` to an open connection that reconnects for ever. */
import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";
import { show } from "../data/checks.ts";
import { isPlain } from "../data/is_plain.ts";
import { CatgaError } from "../error.ts";
import { dialWhenClockWasPutBack } from "./dead_link.ts";
import { type Driver, type DriverName, loadDriver } from "./driver.ts";
import { firstConnect, type Unreachable } from "./first_connect.ts";

/** The option `nats`: a URL, several URLs, nats.js options, or an open connection. */
export type NatsAddress = string | readonly string[] | ConnectionOptions | NatsConnection;

/** Options of {@link connectNats}. */
export interface ConnectNatsOptions {
  /** The name that the server shows for this connection. */
  name?: string;
  /** The client of nats.js to use; that of the runtime. */
  transport?: DriverName;
  /** Called while `waitOnFirstConnect` waits: at the first failure, and then once a minute. */
  onUnreachable?: (failure: Unreachable) => void;
}

/** An open connection, and whether Catga has to close it. */
export interface NatsLink {
  readonly connection: NatsConnection;
  readonly driver: Driver;
  /** `false` for a connection that the user opened. */
  readonly owned: boolean;
}

/** The oldest nats-server with a ttl for single keys, and with markers of their expiry. */
const OLDEST = [2, 11] as const;

/**
 * A dead link is noticed within 15 s (default of nats.js: 6 min), dialled again every 250 ms (2 s), for ever (20 s),
 * also after refused credentials, which may be rotated.
 */
const DEFAULTS = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 250,
  pingInterval: 5_000,
  maxPingOut: 2,
  ignoreAuthErrorAbort: true,
  timeout: 5_000,
  // capturing a stack for every request halves their rate (measured)
  noAsyncTraces: true,
  // bytes at which nats.js writes within a turn of the event loop: the server works on the first requests of a large
  // turn while the next are prepared (10 to 25 % more with 1,024 under way, measured; the default is 32,768)
  pendingLimit: 4_096,
} satisfies ConnectionOptions & { pendingLimit: number };

/**
 * Opens a connection, or takes over the given one. The user's {@link ConnectionOptions} have precedence; the defaults
 * make a connection reconnect for ever.
 *
 * Rejects with a `TypeError` for an invalid address, and with a `CatgaError` `UNAVAILABLE` when no server answers
 * within the connection's `timeout` (5 s; for ever with `waitOnFirstConnect`), refuses the credentials, or is older
 * than 2.11; `CLOSED` when the given connection is closed.
 */
export async function connectNats(nats: NatsAddress, options: ConnectNatsOptions = {}): Promise<NatsLink> {
  if (isConnection(nats)) {
    if (nats.isClosed()) throw new CatgaError("CLOSED", "the NatsConnection given as `nats` is closed");
    checkVersion(nats);
    return { connection: nats, driver: await loadDriver(options.transport), owned: false };
  }
  const given = connectionOptions(nats);
  const complete = { ...DEFAULTS, ...(options.name === undefined ? {} : { name: options.name }), ...given };
  const driver = await loadDriver(options.transport, complete.tls);
  const connection = await firstConnect(driver, complete, options.onUnreachable);
  try {
    checkVersion(connection);
  } catch (error) {
    await connection.close();
    throw error;
  }
  dialWhenClockWasPutBack(connection);
  return { connection, driver, owned: true };
}

function checkVersion(connection: NatsConnection): void {
  const version = connection.info?.version;
  // unknown while a given connection is reconnecting
  if (version === undefined) return;
  const [major, minor] = version.split(".").map(Number);
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return;
  throw new CatgaError(
    "UNAVAILABLE",
    `the nats-server at ${connection.getServer()} is version ${version}; Catga needs ${OLDEST.join(".")} or newer ` +
      "(expiry of single keys): install a newer nats-server",
    { details: { version } },
  );
}

/** By its methods, because it may come from another copy of nats.js. */
function isConnection(nats: unknown): nats is NatsConnection {
  const methods = ["publish", "subscribe", "request", "flush", "status", "isClosed", "close"];
  return typeof nats === "object" && nats !== null &&
    methods.every((method) => typeof (nats as Record<string, unknown>)[method] === "function");
}

function connectionOptions(nats: string | readonly string[] | ConnectionOptions): ConnectionOptions {
  if (typeof nats === "string" || Array.isArray(nats)) return withServers([nats].flat(), {});
  if (!isPlain(nats)) throw malformed(nats);
  // arrays returned above; TypeScript does not narrow readonly arrays
  const options = nats as ConnectionOptions;
  if (options.servers === undefined) {
    const mistaken = FOR_SERVERS.find((name) => (nats as Readonly<Record<string, unknown>>)[name] !== undefined);
    if (mistaken === undefined) return options;
    throw new TypeError(`nats: there is no option ${mistaken}, give the address as \`servers\``);
  }
  if (typeof options.servers !== "string" && !Array.isArray(options.servers)) throw malformed(options.servers);
  return withServers([options.servers].flat(), options);
}

/** What nats.js would ignore, and connect to this machine. */
const FOR_SERVERS = ["url", "urls", "server", "host", "hostname", "address"];

/** Addresses as nats.js accepts them; their credentials and `tls:`, which it would ignore, become options. */
function withServers(servers: readonly string[], options: ConnectionOptions): ConnectionOptions {
  if (servers.length === 0) throw malformed(servers);
  const found: ConnectionOptions = {};
  const hosts = servers.map((server) => {
    const url = parse(server);
    const [user, pass] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    if (user !== "" && pass !== "") Object.assign(found, { user, pass });
    else if (user !== "") found.token = user;
    if (url.protocol === "tls:") found.tls = {};
    return url.port === "" ? url.hostname : `${url.hostname}:${url.port}`;
  });
  return { ...found, ...options, servers: hosts };
}

function parse(server: unknown): URL {
  if (typeof server !== "string" || server.trim() !== server || server === "") throw malformed(server);
  const [, scheme, rest] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(server) ?? [];
  if (scheme !== undefined && !/^(nats|tls)$/i.test(scheme)) throw malformed(server);
  // `URL` has no default port for these schemes, so it keeps any port
  const text = `${(scheme ?? "nats").toLowerCase()}://${rest}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === "" || !["", "/"].includes(url.pathname) || url.search || url.hash) {
    throw malformed(server);
  }
  return url;
}

function malformed(value: unknown): TypeError {
  return new TypeError(
    `nats must be an address such as "nats://localhost:4222" (nats: or tls:), several of them, nats.js ConnectionOptions ` +
      `or an open NatsConnection; got ${typeof value === "string" ? JSON.stringify(hidden(value)) : describe(value)}`,
  );
}

/** An address with its credentials hidden. */
function hidden(address: string): string {
  return address.replace(/\/\/[^@/]*@/, "//…@");
}

function describe(value: unknown): string {
  if (Array.isArray(value)) {
    return value.length === 0 ? "an empty array" : "an array with a value that is not an address";
  }
  return show(value);
}

/**
 * Opens a connection that reconnects for ever, from the option `nats`: within its timeout, or, with
 * `waitOnFirstConnect`, as soon as there is a server. `ConnectionStatus` follows an open connection.
 * @decides the address, credentials and options of a connection
 */
import type { Auth, Authenticator, ConnectionOptions, NatsConnection, Status } from "@nats-io/nats-core";
import { thrownMessage } from "../../data/cause_text.ts";
import { checkNumber, isPlain, MAX_TIMEOUT, show } from "../../data/checks.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import { destroySocket, dialWhenClockWasPutBack, dialWhenLostAtOnce, optionsOf, sendWithoutDelay } from "./private.ts";
import { type Driver, type DriverName, loadDriver } from "./driver.ts";
import {
  type Clock,
  delay,
  elapsed,
  OnceAMinute,
  type Stamp,
  stamp,
  systemClock,
  type Timer,
} from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import type { TransportStatus } from "../../ports/transport.ts";

/** The option `nats`: a URL, several URLs, nats.js options, or an open connection. */
export type NatsAddress = string | readonly string[] | ConnectionOptions | NatsConnection;

/** Options of {@link connectNats}. */
export interface ConnectNatsOptions {
  /** Name of this connection, which the server shows to operators. */
  name?: string;
  /** Name of the nats.js client to use; default: the client for the runtime. */
  transport?: DriverName | undefined;
  /** Called while `waitOnFirstConnect` waits for a server: at the first failure, and then once a minute. */
  onUnreachable?: ((failure: Unreachable) => void) | undefined;
}

/** An open connection. `owned`: true if Catga must close it. */
export interface NatsLink {
  readonly connection: NatsConnection;
  readonly driver: Driver;
  /** `false` for a connection that the user has opened. */
  readonly owned: boolean;
}

/** Oldest supported version of nats-server: the first with a ttl for single keys, and with markers of their expiry. */
const OLDEST = [2, 11] as const;

/** Maximum pause between attempts to connect, and maximum jitter of a pause, in ms: a day. */
const LONGEST_PAUSE = 86_400_000;

/**
 * Defaults that differ from those of nats.js (in parentheses): a dead link is noticed within 15 s (6 min), and
 * dialled again every 250 ms (2 s), for ever (20 s), also after refused credentials, which may be rotated.
 */
const DEFAULTS = {
  maxReconnectAttempts: -1,
  reconnectTimeWait: 250,
  pingInterval: 5_000,
  maxPingOut: 2,
  ignoreAuthErrorAbort: true,
  timeout: 5_000,
  // traces are off, because capturing a stack for every request halves their rate (measured)
  noAsyncTraces: true,
  // number of waiting bytes at which nats.js writes before the turn of the event loop ends (its default: 32,768): the
  // server then works on the first requests of a large turn while the next ones are prepared, so that 10 to 25 % more
  // requests a second are handled with 1,024 under way (measured)
  pendingLimit: 4_096,
} satisfies ConnectionOptions & { pendingLimit: number };

/**
 * Defaults for transport-deno. Its limit `pendingLimit` is larger, because transport-deno waits for each write before
 * the next: docs/internals/packages.md, row `transport-deno`.
 */
const OFFICIAL_DEFAULTS = { ...DEFAULTS, pendingLimit: 32_768 };

/**
 * Opens a connection to NATS, or takes over the given one. The user's {@link ConnectionOptions} have precedence; the
 * defaults make a connection reconnect for ever.
 *
 * Rejects with a `TypeError` or `RangeError` for an invalid address or number, and with a `CatgaError` `UNAVAILABLE`
 * when no server answers within the connection's `timeout` (5 s; for ever with `waitOnFirstConnect`), refuses the
 * credentials, or is older than 2.11; `CLOSED` when the given connection is closed.
 */
export async function connectNats(nats: NatsAddress, options: ConnectNatsOptions = {}): Promise<NatsLink> {
  if (isConnection(nats)) {
    if (nats.isClosed()) throw new CatgaError("CLOSED", "the NatsConnection given as `nats` is closed");
    checkVersion(nats);
    checkEcho(optionsOf(nats));
    return { connection: nats, driver: await loadDriver(options.transport), owned: false };
  }
  const given = connectionOptions(nats);
  const driver = await loadDriver(options.transport, given.tls);
  const defaults = driver.name === "official" ? OFFICIAL_DEFAULTS : DEFAULTS;
  const complete = { ...defaults, ...(options.name === undefined ? {} : { name: options.name }), ...given };
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
  // the server's version is not known while a connection that the user has opened is reconnecting
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

/**
 * Returns true if the value is an open connection. It is recognized by its methods, because it may come from another
 * copy of nats.js.
 */
function isConnection(nats: unknown): nats is NatsConnection {
  const methods = ["publish", "subscribe", "request", "flush", "status", "isClosed", "close"];
  return typeof nats === "object" && nats !== null &&
    methods.every((method) => typeof (nats as Record<string, unknown>)[method] === "function");
}

function connectionOptions(nats: string | readonly string[] | ConnectionOptions): ConnectionOptions {
  if (typeof nats === "string" || Array.isArray(nats)) return withServers([nats].flat(), {});
  if (!isPlain(nats)) throw malformed(nats);
  // cast: `nats` is no array any more, but TypeScript does not exclude readonly arrays by `Array.isArray`
  const given = nats as ConnectionOptions & Record<string, unknown>;
  const mistaken = Object.entries(MISTAKEN).find(([name]) => given[name] !== undefined);
  if (mistaken) throw new TypeError(`nats: there is no option ${mistaken[0]}; it is called \`${mistaken[1]}\``);
  for (const [name, [least, most, unit]] of Object.entries(NUMBERS)) {
    // cast: `checkNumber` throws if the value is not a number
    if (given[name] !== undefined) checkNumber(`nats.${name}`, given[name] as number, least, most, unit);
  }
  for (const name of TEXTS) {
    const type = typeof given[name];
    // the value is not shown, because it may be a password
    if (given[name] != null && type !== "string") throw new TypeError(`nats.${name} must be a string; got a ${type}`);
  }
  checkEcho(given);
  // members that are `undefined` are left out: nats.js would take them as values, not as "use the default"
  const options: ConnectionOptions = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  );
  if (options.authenticator !== undefined) options.authenticator = carefulAuthenticators(options.authenticator);
  if (options.servers === undefined) return options;
  if (typeof options.servers !== "string" && !Array.isArray(options.servers)) throw malformed(options.servers);
  return withServers([options.servers].flat(), options);
}

/**
 * Wraps authenticators (functions that sign in) so that their failures are reported: nats.js treats an exception in
 * one like an absent server, and signs in without the value of a promise.
 */
function carefulAuthenticators(given: Authenticator | Authenticator[]): Authenticator[] {
  return [given].flat().map((authenticator) => {
    if (typeof authenticator !== "function") {
      throw new TypeError(`nats.authenticator must be a function, or a list of them; got a ${typeof authenticator}`);
    }
    return (nonce) => {
      let auth: Auth;
      try {
        auth = authenticator(nonce);
      } catch (cause) {
        throw new CatgaError("UNAVAILABLE", `the authenticator in \`nats\` threw: ${thrownMessage(cause)}`, { cause });
      }
      if (!(auth instanceof Promise)) return auth;
      throw new TypeError("nats.authenticator must not be asynchronous: get what it needs before");
    };
  });
}

/**
 * Misspelled names of options, with the right names: nats.js would ignore them, and connect to this machine, or
 * without a user.
 */
const MISTAKEN = {
  ...{ url: "servers", urls: "servers", server: "servers", host: "servers", hostname: "servers", address: "servers" },
  ...{ username: "user", password: "pass" },
};

/**
 * Options that must be strings: nats-server closes a connection on which one of them has another type, and nats.js
 * would report that as a timeout.
 */
const TEXTS = ["user", "pass", "token", "name"] as const;

/**
 * Minimum and maximum of each option that is a number: with values outside nats.js would ping without a pause, or
 * never dial again.
 */
const NUMBERS: Readonly<Record<string, readonly [least: number, most: number, unit?: string]>> = {
  maxPingOut: [1, Infinity],
  maxReconnectAttempts: [-1, Infinity],
  pendingLimit: [1, Infinity, "bytes"],
  pingInterval: [1, MAX_TIMEOUT, "ms"],
  port: [1, 65_535],
  reconnectJitter: [0, LONGEST_PAUSE, "ms"],
  reconnectJitterTLS: [0, LONGEST_PAUSE, "ms"],
  reconnectTimeWait: [0, LONGEST_PAUSE, "ms"],
  timeout: [1, MAX_TIMEOUT, "ms"],
};

/** Moves credentials and `tls:` from the addresses of servers, where nats.js would ignore them, into options. */
function withServers(servers: readonly string[], options: ConnectionOptions): ConnectionOptions {
  if (servers.length === 0) throw malformed(servers);
  const found: ConnectionOptions = {};
  let first: string | undefined;
  const hosts = servers.map((server) => {
    const url = parse(server);
    if (url.username !== "") {
      const credentials = `${url.username}:${url.password}`;
      if (credentials !== (first ??= credentials)) {
        throw new TypeError(
          "nats: the addresses have different credentials; a connection has the same for all servers",
        );
      }
      const [user, pass] = credentials.split(":").map((part) => decoded(part, server));
      if (pass === "") found.token = user;
      else Object.assign(found, { user, pass });
    } else if (url.password !== "") throw malformed(server);
    if (url.protocol === "tls:") found.tls = {};
    return url.port === "" ? url.hostname : `${url.hostname}:${url.port}`;
  });
  return { ...found, ...options, servers: hosts };
}

/** Throws if the option `noEcho` is set: a node needs its own events back from the server, for its handlers. */
function checkEcho(options: ConnectionOptions | undefined): void {
  if (options?.noEcho) {
    throw new TypeError("nats: noEcho must be off: a node would not get the events that it publishes");
  }
}

function decoded(part: string, server: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    // the address has a "%" that is not written as "%25"
    throw malformed(server);
  }
}

function parse(server: unknown): URL {
  if (typeof server !== "string" || server.trim() !== server || server === "") throw malformed(server);
  const [, scheme, rest] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/is.exec(server) ?? [];
  if (scheme !== undefined && !/^(nats|tls)$/i.test(scheme)) throw malformed(server);
  // `URL` knows no default port for the schemes nats and tls, so it keeps any port
  const text = `${(scheme ?? "nats").toLowerCase()}://${rest}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === "" || !["", "/"].includes(url.pathname) || url.search || url.hash) {
    throw malformed(server);
  }
  return url;
}

function malformed(value: unknown): TypeError {
  return new TypeError(
    `nats must be an address such as "nats://localhost:4222" (nats: or tls:), an array of these, nats.js ConnectionOptions ` +
      `or an open NatsConnection; got ${describe(value)}`,
  );
}

function describe(value: unknown): string {
  // the part before "@" is left out: it may contain a password, with any character
  if (typeof value === "string") return JSON.stringify(value.replace(/^.*@/s, "…@"));
  if (Array.isArray(value)) {
    return value.length === 0 ? "an empty array" : "an array with a value that is not an address";
  }
  return show(value);
}

/** Time that nats.js gets to end a link that it has found dead, in ms. */
const STALE_LIMIT = 1_000;

/**
 * The status of one connection, from its opening to its end, by the events of nats.js. A dead link is `disconnected` as
 * soon as nats.js finds it dead; each reconnect begins a new generation; `closed` is final. Works around three faults
 * of nats.js: a socket that it cannot end is destroyed after 1 s, a link that was lost just as an attempt to connect
 * succeeded is dialled again, and the socket of each dial sends without a delay (`private.ts`).
 */
export class ConnectionStatus {
  /** The present status, as a frozen object. Only this class writes it. */
  current: TransportStatus = Object.freeze({ state: "connected", generation: 1 });
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  readonly #events: AsyncIterable<Status>;
  #staleTimer: Timer | undefined;
  /** `undefined`: a connection of the user's, which says itself how soon a dead link is noticed. */
  readonly #afterStandstill: AfterStandstill | undefined;

  /**
   * `owned`: true if Catga opened the connection. `onError` is called with errors that the server reports; `onFailure`
   * with errors that a listener of the status throws.
   */
  constructor(
    { connection, owned }: { connection: NatsConnection; owned: boolean },
    clock: Clock,
    { onError, onFailure }: { onError: (error: Error) => void; onFailure: (error: unknown) => void },
  ) {
    this.#connection = connection;
    this.#clock = clock;
    this.#events = connection.status();
    this.#follow(onError).catch(onFailure);
    sendWithoutDelay(connection);
    if (dialWhenLostAtOnce(connection, clock)) this.#move("disconnected");
    connection.closed().then((error) => this.#move("closed", error ?? undefined), onFailure);
    if (owned) {
      this.#afterStandstill = new AfterStandstill(connection, clock, () => {
        return this.current.state === "connected" ? this.current.generation : undefined;
      });
    }
    // a connection given by the user may be reconnecting already; only a ping shows that
    if (!owned) {
      connection.rtt().catch(() => {
        if (this.current.generation === 1) this.#move("disconnected");
      });
    }
  }

  /** Calls the listener at each change of the status, until the returned function is called. */
  onChange(listener: (status: TransportStatus) => void): () => void {
    // a new function for each call, so that the same listener may be added twice
    const own = (status: TransportStatus) => listener(status);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  /** Sets the final status `closed`, also if the connection itself stays open. */
  close(): void {
    // cast: the iterator of nats.js has `stop`, but its type lacks it
    (this.#events as { stop?(): void }).stop?.();
    this.#move("closed");
  }

  async #follow(onError: (error: Error) => void): Promise<void> {
    for await (const event of this.#events) {
      switch (event.type) {
        case "staleConnection":
          this.#move("disconnected");
          this.#staleTimer = this.#clock.after(STALE_LIMIT, () => destroySocket(this.#connection), {
            background: true,
          });
          break;
        case "disconnect":
        case "forceReconnect":
        // nats.js emits "reconnecting" at each attempt to connect; the event makes up for a missed "disconnect"
        case "reconnecting":
          this.#staleTimer?.cancel();
          this.#move("disconnected");
          break;
        case "reconnect":
          sendWithoutDelay(this.#connection);
          if (!dialWhenLostAtOnce(this.#connection, this.#clock)) this.#move("connected");
          break;
        case "error":
          onError(event.error);
          break;
      }
    }
  }

  /** Changes the status; every change goes through this method. */
  #move(state: TransportStatus["state"], error?: Error): void {
    const before = this.current;
    // a repeated state is ignored: nats.js emits "reconnect" twice if a connection was lost during an attempt to
    // connect
    if (before.state === state || before.state === "closed") return;
    if (state === "closed") {
      this.#staleTimer?.cancel();
      this.#afterStandstill?.close();
    }
    const generation = state === "connected" ? before.generation + 1 : before.generation;
    this.current = Object.freeze({ state, generation, ...(error === undefined ? {} : { error }) });
    for (const listener of [...this.#listeners]) listener(this.current);
  }
}

/**
 * Asks a connection for an answer as soon as this process goes on after it stood still, as on a machine that slept. A
 * firewall or NAT on the way may have forgotten the link meanwhile, and drops all that is sent on it, in silence: the
 * pings of nats.js notice that after three intervals (15 s). A link without an answer is ended, so that nats.js dials.
 */
class AfterStandstill {
  readonly #connection: NatsConnection;
  readonly #clock: Clock;
  readonly #generation: () => number | undefined;
  #looked: Stamp;
  #watching: Timer | undefined;
  #limit: Timer | undefined;
  #closed = false;

  /**
   * `generation`: returns the number of the present link, which is another one after a reconnect; `undefined`: there is
   * no link.
   */
  constructor(connection: NatsConnection, clock: Clock, generation: () => number | undefined) {
    this.#connection = connection;
    this.#clock = clock;
    this.#generation = generation;
    this.#looked = stamp(clock);
    this.#watch();
  }

  close(): void {
    this.#closed = true;
    this.#watching?.cancel();
    this.#limit?.cancel();
  }

  #watch(): void {
    this.#watching = this.#clock.after(LOOK_INTERVAL, () => {
      const passed = elapsed(this.#clock, this.#looked);
      this.#looked = stamp(this.#clock);
      if (passed >= LOOK_INTERVAL + STANDSTILL) this.#ask();
      this.#watch();
    }, { background: true });
  }

  #ask(): void {
    const asked = this.#generation();
    if (asked === undefined) return;
    let isOver = false;
    const over = () => {
      isOver = true;
    };
    // a link that is lost is dialled anyway
    this.#connection.rtt().then(over, over);
    const wait = () => {
      const due = this.#clock.monotonic() + ANSWER_LIMIT;
      this.#limit?.cancel();
      this.#limit = this.#clock.after(ANSWER_LIMIT, () => {
        if (isOver || this.#closed || this.#generation() !== asked) return;
        // the answer may lie unread in the socket, if this process stood still once more
        if (stoodStill(this.#clock.monotonic(), due)) return wait();
        destroySocket(this.#connection);
      }, { background: true });
    };
    wait();
  }
}

/** Interval between two looks, in ms. */
const LOOK_INTERVAL = 4_000;
/** Duration of a standstill after which the connection is asked, in ms: no NAT forgets a link sooner. */
const STANDSTILL = 10_000;
/** Time for the answer, in ms. */
const ANSWER_LIMIT = 3_000;

/** Reason why the first connection does not exist yet. */
export interface Unreachable {
  /** The addresses that are tried, without credentials. */
  readonly address: string;
  /** Error text of the last attempt. */
  readonly reason: string;
}

/**
 * Options of {@link firstConnect}: the options of nats.js, with the timeout of an attempt to connect and the pause
 * after the attempt, in ms.
 */
type FirstConnectOptions = ConnectionOptions & { readonly timeout: number; readonly reconnectTimeWait: number };

/**
 * Opens the first connection. Without `waitOnFirstConnect`, rejects with `UNAVAILABLE` if no server answers in time or
 * one refuses the credentials. With it, waits as long as needed, and calls `onUnreachable` at the first failure and
 * then once a minute (nats.js waits in silence).
 */
export async function firstConnect(
  driver: Pick<Driver, "connect">,
  options: FirstConnectOptions,
  onUnreachable: (failure: Unreachable) => void = () => {},
  clock: Clock = systemClock,
): Promise<NatsConnection> {
  if (!options.waitOnFirstConnect) {
    return await connectOnce(driver, options).catch((error) => {
      throw unreachable(error, options);
    });
  }
  const reports = new OnceAMinute(clock);
  while (true) {
    try {
      return await connectOnce(driver, { ...options, waitOnFirstConnect: false });
    } catch (error) {
      const failure = unreachable(error as Error, options);
      if (!isCatgaError(failure)) throw failure;
      if (reports.due()) onUnreachable({ address: addressOf(options), reason: reasonOf(error as Error, options) });
      await delay(clock, options.reconnectDelayHandler?.() ?? options.reconnectTimeWait);
    }
  }
}

async function connectOnce(driver: Pick<Driver, "connect">, options: FirstConnectOptions): Promise<NatsConnection> {
  const connecting = driver.connect(options);
  // nats.js gives each address its own timeout, so the limit is their sum
  const limit = options.timeout * Math.max(1, [options.servers ?? ""].flat().length) + 1_000;
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = systemClock.after(limit, () => reject(new Error(`no answer within ${limit} ms`)));
  });
  try {
    const connection = await Promise.race([connecting, late]);
    restoreServers(connection, [options.servers ?? []].flat());
    return connection;
  } catch (error) {
    // close a connection that opens after the limit
    connecting.then((connection) => connection.close(), () => {});
    throw error;
  } finally {
    timer?.cancel();
  }
}

/**
 * Adds the servers again that nats.js (3.4) has removed from its list because they did not answer before the first
 * connection; nats.js would never try them again (docs/internals/packages.md, row `core-servers`).
 */
function restoreServers(connection: NatsConnection, given: readonly string[]): void {
  if (given.length < 2) return;
  const known = connection.getServers().map(({ listen }) => listen);
  const missing = given.map((host) => /:\d+$/.test(host) ? host : `${host}:4222`).filter((host) =>
    !known.includes(host)
  );
  if (missing.length > 0) connection.setServers([...known, ...new Set(missing)]);
}

/**
 * Makes the error for a program that could not connect: a `TypeError` for options that nats.js does not accept, else
 * `UNAVAILABLE` with advice.
 */
function unreachable(error: Error, options: FirstConnectOptions): Error {
  if (isCatgaError(error) || error.name === "InvalidArgumentError" || error instanceof TypeError) {
    return error.name === "InvalidArgumentError" ? new TypeError(`nats: ${error.message}`, { cause: error }) : error;
  }
  const where = addressOf(options);
  const unavailable = (message: string, options: { retryable?: boolean } = {}) =>
    new CatgaError("UNAVAILABLE", message, { ...options, cause: error });
  if (/authentication timeout/i.test(error.message)) {
    return unavailable(
      `NATS at ${where} did not get the credentials in time (${error.message}): is this process or its machine too busy? ` +
        "`timeout` in the server's `authorization` gives it longer",
      { retryable: true },
    );
  }
  if (error.name === "AuthorizationError" || /authorization violation|authentication/i.test(error.message)) {
    return unavailable(
      `NATS at ${where} refused the credentials (${error.message}): check user and pass, token or authenticator in \`nats\``,
    );
  }
  // matches the error texts of Deno's own sockets, and of Deno's name lookups on behalf of Node's client
  if (/requires net access|getaddrinfo EPERM/i.test(error.message)) {
    return unavailable(`Deno does not let the node connect to NATS at ${where}: run it with --allow-net`);
  }
  const reason = reasonOf(error, options);
  if (TLS.test(error.message)) return unavailable(`no TLS with NATS at ${where}: ${reason}: check \`tls\` in \`nats\``);
  return unavailable(
    `cannot connect to NATS at ${where}: ${reason}. Is a server running there (\`nats-server -js\`)? ` +
      "With `waitOnFirstConnect: true` in `nats` Catga waits for it",
    { retryable: true },
  );
}

/** Matches the texts of Deno, Node and Bun for errors about TLS, or about the files that the TLS options name. */
const TLS = /certificate|\bTLS\b|\bSSL\b|\bCA\b|no such file|doesn't exist/i;

function addressOf({ servers, port }: ConnectionOptions): string {
  return [servers ?? `127.0.0.1:${port ?? 4222}`].flat().join(", ");
}

function reasonOf(error: Error, { timeout, tls }: FirstConnectOptions): string {
  const silent = tls === undefined
    ? "with `max_connections` clients, or with `handshake_first`,"
    : "that requires another certificate";
  if (error.name === "TimeoutError") return `no answer within ${timeout} ms (a server ${silent} does not answer)`;
  return error.message.replace(/ \(os error \d+\)/, "") || error.name; // Deno adds this suffix to the text
}

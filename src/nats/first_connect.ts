/**
 * Opens the first connection to NATS: within its timeout, or, with `waitOnFirstConnect`, as soon as there is a
 * server. Also makes the error for a program that starts without a server, or with refused credentials.
 */
import type { ConnectionOptions, NatsConnection } from "@nats-io/nats-core";
import { CatgaError, isCatgaError } from "../error.ts";
import { type Clock, delay, OnceAMinute, systemClock, type Timer } from "../ports/clock.ts";
import type { Driver } from "./driver.ts";

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
 * Opens the first connection. Without `waitOnFirstConnect`, rejects with `UNAVAILABLE` if no server answers in time
 * or one refuses the credentials. With it, waits as long as needed, and calls `onUnreachable` at the first failure
 * and then once a minute (nats.js waits in silence).
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

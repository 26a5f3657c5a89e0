/**
 * Meanings of errors of a database: it is away, that the transaction is to be run again, or that the tables are
 * missing. It is told by SQLSTATE and the like, not by texts, wherever the driver gives one.
 */

/** The members of errors of drivers that are read. */
interface DriverError {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly errcode?: unknown;
  readonly message?: unknown;
  readonly constraint?: unknown;
  readonly constraint_name?: unknown;
  readonly cause?: unknown;
  /** The error that an adapter of Prisma has thrown. */
  readonly meta?: { readonly driverAdapterError?: { readonly cause?: unknown } };
  /** Members of what an adapter of Prisma has thrown. */
  readonly originalCode?: unknown;
  readonly originalMessage?: unknown;
  readonly kind?: unknown;
}

/** Returns the error that an error was made of; `undefined`: none. */
function causeOf({ cause, meta }: DriverError): unknown {
  return cause ?? meta?.driverAdapterError?.cause;
}

/** Returns the SQLSTATE of an error, or of its cause, as of ORMs; `undefined`: it has none. */
export function sqlState(error: unknown): string | undefined {
  const { code, errno, originalCode } = (error ?? {}) as DriverError;
  const cause = causeOf((error ?? {}) as DriverError);
  // Bun.sql has the SQLSTATE in `errno`; Prisma has codes of its own, such as P2010
  const own = [errno, originalCode, code].find((each) =>
    typeof each === "string" && /^[0-9A-Z]{5}$/.test(each) && !/^P[1-6]/.test(each)
  );
  return typeof own === "string" ? own : cause === undefined ? undefined : sqlState(cause);
}

/** Returns true if the database did not answer, or is not ready: nothing is wrong with the transaction itself. */
export function isOutage(error: unknown): boolean {
  // 08: connection, 53: resources, 57P: operator intervention (shutdown, crash, cannot connect now)
  if (/^(08|53|57P)/.test(sqlState(error) ?? "")) return true;
  const { code, message, kind } = (error ?? {}) as DriverError;
  const cause = causeOf((error ?? {}) as DriverError);
  if (ADAPTER_OUTAGES.has(`${kind}`)) return true;
  if (/^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|CONNECT|ERR_POSTGRES_)/.test(`${code}`)) {
    // of Bun's own codes, those of connections alone
    if (!`${code}`.startsWith("ERR_POSTGRES_") || /CONNECTION|TIMEOUT|CLOSED/.test(`${code}`)) return true;
  }
  // pg gives these no code
  if (sqlState(error) === undefined && LOST.test(`${message}`)) return true;
  return cause !== undefined && isOutage(cause);
}

/** Kinds of errors of Prisma's adapters by which a connection was lost, or not had. */
const ADAPTER_OUTAGES = new Set(["DatabaseNotReachable", "ConnectionClosed", "SocketTimeout", "TooManyConnections"]);
const LOST =
  /connection (terminated|ended|closed)|terminated unexpectedly|not queryable|timeout exceeded when trying to connect|closed the connection/i;

/** Returns true if the same transaction may succeed when it is run again. */
export function isRerun(error: unknown): boolean {
  const state = sqlState(error);
  // serialization failure, deadlock
  if (state === "40001" || state === "40P01") return true;
  const { code, errno, errcode, message, constraint, constraint_name, originalMessage } = (error ?? {}) as DriverError;
  const cause = causeOf((error ?? {}) as DriverError);
  // another run has recorded the same id
  if (
    state === "23505" && /\bdone_pkey\b/.test(`${constraint ?? constraint_name ?? ""} ${message} ${originalMessage}`)
  ) return true;
  // SQLITE_BUSY, in the errors of node:sqlite and bun:sqlite
  if (code === "SQLITE_BUSY" || (code === "ERR_SQLITE_ERROR" && errcode === 5) || errno === 5) return true;
  return cause !== undefined && isRerun(cause);
}

/** Returns true if a table, or its schema, does not exist. */
export function isMissingTable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return state === "42P01" || state === "3F000";
  const { message } = (error ?? {}) as DriverError;
  const cause = causeOf((error ?? {}) as DriverError);
  return /no such table/.test(`${message}`) || (cause !== undefined && isMissingTable(cause));
}

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
}

/** Returns the SQLSTATE of an error, or of its cause, as of ORMs; `undefined`: it has none. */
export function sqlState(error: unknown): string | undefined {
  const { code, errno, cause } = (error ?? {}) as DriverError;
  // Bun.sql has the SQLSTATE in `errno`
  const own = [errno, code].find((each) => typeof each === "string" && /^[0-9A-Z]{5}$/.test(each));
  return typeof own === "string" ? own : cause === undefined ? undefined : sqlState(cause);
}

/** Returns true if the database did not answer, or is not ready: nothing is wrong with the transaction itself. */
export function isOutage(error: unknown): boolean {
  // 08: connection, 53: resources, 57P: operator intervention (shutdown, crash, cannot connect now)
  if (/^(08|53|57P)/.test(sqlState(error) ?? "")) return true;
  const { code, message, cause } = (error ?? {}) as DriverError;
  if (/^(ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|CONNECT|ERR_POSTGRES_)/.test(`${code}`)) {
    // of Bun's own codes, those of connections alone
    if (!`${code}`.startsWith("ERR_POSTGRES_") || /CONNECTION|TIMEOUT|CLOSED/.test(`${code}`)) return true;
  }
  // pg gives these no code
  if (sqlState(error) === undefined && LOST.test(`${message}`)) return true;
  return cause !== undefined && isOutage(cause);
}

const LOST =
  /connection (terminated|ended|closed)|terminated unexpectedly|not queryable|timeout exceeded when trying to connect|closed the connection/i;

/** Returns true if the same transaction may succeed when it is run again. */
export function isRerun(error: unknown): boolean {
  const state = sqlState(error);
  // serialization failure, deadlock
  if (state === "40001" || state === "40P01") return true;
  const { code, errno, errcode, message, constraint, constraint_name, cause } = (error ?? {}) as DriverError;
  // another run has recorded the same id
  if (state === "23505" && /\bdone_pkey\b/.test(`${constraint ?? constraint_name ?? ""} ${message}`)) return true;
  // SQLITE_BUSY, in the errors of node:sqlite and bun:sqlite
  if (code === "SQLITE_BUSY" || (code === "ERR_SQLITE_ERROR" && errcode === 5) || errno === 5) return true;
  return cause !== undefined && isRerun(cause);
}

/** Returns true if a table, or its schema, does not exist. */
export function isMissingTable(error: unknown): boolean {
  const state = sqlState(error);
  if (state !== undefined) return state === "42P01" || state === "3F000";
  const { message, cause } = (error ?? {}) as DriverError;
  return /no such table/.test(`${message}`) || (cause !== undefined && isMissingTable(cause));
}

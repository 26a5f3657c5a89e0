/**
 * One process owns a file. The lock is a file of its own beside it, with a transaction of SQLite that stays open: the
 * operating system ends it with the process, also after SIGKILL. Nothing in this process may read the lock file: by
 * POSIX, closing any descriptor of a file drops the process's locks on it.
 */
import { CatgaError } from "../error.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { type Clock, delay } from "../ports/clock.ts";
import { type Database, type FileDriver, SQLITE_BUSY, sqliteCode } from "./driver.ts";

/** A held lock; the file belongs to this process until it is closed. */
export interface Ownership {
  readonly lockPath: string;
  close(): void;
}

/**
 * Takes a file for this process. Rejects with `UNAVAILABLE`, naming the process that has it, if that is not over within
 * a second: the lock of a process that was killed lasted up to 50 ms longer (Deno 2.9.6, Linux).
 */
export async function takeFile(path: string, driver: FileDriver, clock: Clock): Promise<Ownership> {
  const until = clock.monotonic() + PATIENCE;
  for (;;) {
    const ownership = takeAtOnce(path, driver);
    if (ownership !== undefined) return ownership;
    if (clock.monotonic() >= until) throw taken(path, driver);
    await delay(clock, PAUSE);
  }
}

/** Takes a file for this process; `undefined`: another one has it. Throws `UNAVAILABLE` without a lock file. */
export function takeAtOnce(path: string, driver: FileDriver): Ownership | undefined {
  const lockPath = `${path}-lock`;
  let lock: Database | undefined;
  try {
    lock = driver.open(lockPath);
    lock.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    const held = lock;
    return { lockPath, close: () => held.close() };
  } catch (error) {
    lock?.close();
    if (sqliteCode(error) === SQLITE_BUSY) return undefined;
    throw unopenable(path, error);
  }
}

/**
 * Removes the empty log that a reader has left beside a file which no process uses: SQLite then does so when it closes
 * the file. With the log, a file that was copied without its own would seem to have it.
 */
export function tidy(path: string, driver: FileDriver): void {
  const own = takeAtOnce(path, driver);
  if (own === undefined) return;
  try {
    if (driver.status(`${path}-wal`)?.size !== 0) return;
    const database = driver.open(path);
    try {
      database.prepare("SELECT count(*) FROM sqlite_schema").get();
    } finally {
      database.close();
    }
  } finally {
    own.close();
  }
}

/** The process that owns a file. */
export interface FileOwner {
  readonly pid: number;
  /** When it took the file, in ms since 1970. */
  readonly started: number;
}

/** Reads which process took a file last. The process may have ended. */
export function ownerOf(path: string, driver: FileDriver): FileOwner | undefined {
  try {
    const database = driver.open(path, { readOnly: true });
    try {
      const value = (key: string) => Number(database.prepare("SELECT value FROM meta WHERE key = ?").get(key)?.value);
      const holder = { pid: value("pid"), started: value("started") };
      return Number.isNaN(holder.pid) ? undefined : holder;
    } finally {
      database.close();
    }
  } catch {
    // the holder is about to make the file: the error then has no name
    return undefined;
  }
}

/** Makes the error for a file that another process uses. */
export function taken(path: string, driver: FileDriver): CatgaError {
  const holder = ownerOf(path, driver);
  const who = holder && `process ${holder.pid}, which started ${new Date(holder.started).toISOString()}`;
  const message = `the file ${path} is in use by ${who ?? "another process"}: one process at a time uses a file. ` +
    'End that process, or give this one a file of its own; several processes share NATS: { nats: "nats://…" }';
  return new CatgaError("UNAVAILABLE", message, { details: { file: path, ...holder } });
}

/** Makes the error of a file that cannot be opened. */
export function unopenable(path: string, cause: unknown): CatgaError {
  const message = `the file ${path} cannot be opened or written: ${thrownMessage(cause)}. Its folder must exist, and ` +
    "this process must be allowed to write there, because SQLite keeps files beside it";
  return new CatgaError("UNAVAILABLE", message, { details: { file: path }, cause });
}

/** Time for which an owner that may just have been killed is waited for, in ms. */
const PATIENCE = 1_000;
const PAUSE = 50; // ms

/**
 * SQLite and the file system, as a file uses them, with as few calls as possible: the one place that calls
 * `node:sqlite`, which Deno 2.9, Bun 1.4 and Node 24 have. Tests hand in a driver that fails.
 */
import { dirname, resolve } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";

/** A value in a row. */
export type SqlValue = string | number | bigint | Uint8Array | null;
/** A row, by column. */
export type Row = Readonly<Record<string, SqlValue>>;

/** A prepared statement. */
export interface Statement {
  /** Returns the number of rows that were written. */
  run(...values: SqlValue[]): number;
  get(...values: SqlValue[]): Row | undefined;
  all(...values: SqlValue[]): Row[];
}

/** An open database. */
export interface Database {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  /** True within a transaction. After an error SQLite may have rolled it back by itself. */
  readonly isTransaction: boolean;
  close(): void;
}

/** A path as the file system has it now. */
export interface FileStatus {
  /** Device and inode: another file under the same path has another identity. */
  readonly identity: string;
  /** The inode alone: the device may have another number after the machine was started again. */
  readonly inode: string;
  readonly size: number;
  /** When the file was made, in ms since 1970; `undefined`: the file system does not say. */
  readonly made: number | undefined;
}

/** SQLite and the file system. */
export interface FileDriver {
  /** Opens a database, and creates the file if there is none, unless it is opened to be read only. */
  open(path: string, options?: { readonly readOnly?: boolean }): Database;
  /** Returns the absolute path of a file, behind symbolic links: SQLite keeps the log beside the file itself. */
  resolve(path: string): Promise<string>;
  /** Opens the log of a database, so that it can be synced. */
  openLog(path: string): LogFile;
  /** Returns what is at a path now; `undefined`: nothing. */
  status(path: string): FileStatus | undefined;
  /** Returns the same, looked up in the pool of threads. */
  statusLater(path: string): Promise<FileStatus | undefined>;
  /** Returns how much room is free on the disk of a file, in bytes; `undefined`: not known. */
  freeRoom(path: string): number | undefined;
  /** Makes the names in the folder of a file survive a power failure. */
  syncFolder(path: string): Promise<void>;
}

/** The log of a database. It has no lock that closing it could drop, as the database itself has. */
export interface LogFile {
  /** Makes what was written to the log survive a power failure: in the pool of threads, so that the loop goes on. */
  sync(): Promise<void>;
  /** Does the same in the event loop. */
  syncNow(): void;
  close(): Promise<void>;
}

/** SQLite and the file system of this machine. */
export const systemDriver: FileDriver = {
  open(path, { readOnly = false } = {}) {
    return new SystemDatabase(new DatabaseSync(path, { readOnly }));
  },
  async resolve(path) {
    const absolute = resolve(path);
    if (this.status(absolute) === undefined) return absolute;
    return await (deno?.realPath(absolute) ?? node().promises.realpath(absolute));
  },
  openLog(path) {
    if (deno !== undefined) {
      const file = deno.openSync(path, { read: true, write: true });
      return {
        sync: () => file.syncData(),
        syncNow: () => file.syncDataSync(),
        close: () => Promise.resolve(file.close()),
      };
    }
    const { openSync, fdatasync, fdatasyncSync, close } = node();
    const descriptor = openSync(path, "r+");
    return {
      sync: () => called((done) => fdatasync(descriptor, done)),
      syncNow: () => fdatasyncSync(descriptor),
      close: () => called((done) => close(descriptor, done)),
    };
  },
  status(path) {
    try {
      const found = deno?.statSync(path) ?? node().statSync(path, { throwIfNoEntry: false });
      return found && statusOf(found);
    } catch (error) {
      return absent(error);
    }
  },
  async statusLater(path) {
    try {
      return statusOf(await (deno?.stat(path) ?? node().promises.stat(path)));
    } catch (error) {
      return absent(error);
    }
  },
  freeRoom(path) {
    // without the permission Deno would ask for it at a terminal, and wait
    if (namespace !== undefined && namespace.permissions.querySync(STATFS).state !== "granted") return undefined;
    try {
      const { bavail, bsize } = node().statfsSync(dirname(path));
      return bavail * bsize;
    } catch {
      // the runtime, or the system, does not say
      return undefined;
    }
  },
  async syncFolder(path) {
    if (process.platform === "win32") return; // a folder cannot be opened there
    const folder = dirname(path);
    if (deno !== undefined) {
      const file = await deno.open(folder, { read: true });
      return await file.sync().finally(() => file.close());
    }
    const handle = await node().promises.open(folder, "r");
    await handle.sync().finally(() => handle.close());
  },
};

/** Returns Node's file system. In Deno loading it takes as long as all else of a start, so its own is used there. */
function node(): typeof import("node:fs") {
  return process.getBuiltinModule("node:fs");
}

/** Deno's namespace; `undefined` in other runtimes. */
const namespace = (globalThis as { readonly Deno?: DenoFiles }).Deno;
/** The file system of Deno; `undefined` in other runtimes, and on Windows, where it shows no inodes. */
const deno = process.platform === "win32" ? undefined : namespace;

/** The part of Deno's namespace that files use. */
interface DenoFiles {
  readonly permissions: { querySync(descriptor: typeof STATFS): { readonly state: string } };
  realPath(path: string): Promise<string>;
  stat(path: string): Promise<FileNumbers>;
  statSync(path: string): FileNumbers;
  open(path: string, options: { readonly read: true }): Promise<DenoFile>;
  openSync(path: string, options: { readonly read: true; readonly write: true }): DenoFile;
}

interface DenoFile {
  sync(): Promise<void>;
  syncData(): Promise<void>;
  syncDataSync(): void;
  close(): void;
}

const STATFS = { name: "sys", kind: "statfs" } as const;

/** Device, inode, size, and when the file was made. */
interface FileNumbers {
  readonly dev: number | null;
  readonly ino: number | null;
  readonly size: number;
  readonly birthtime: Date | null;
}

/** Returns `undefined` if there is nothing at a path; throws other errors. */
function absent(error: unknown): undefined {
  const { code, name } = error as { readonly code?: unknown; readonly name?: unknown };
  if (code !== "ENOENT" && code !== "ENOTDIR" && name !== "NotFound" && name !== "NotADirectory") throw error;
}

function statusOf({ dev, ino, size, birthtime }: FileNumbers): FileStatus {
  return { identity: `${dev}:${ino}`, inode: `${ino}`, size, made: birthtime?.getTime() || undefined };
}

class SystemDatabase implements Database {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  get isTransaction(): boolean {
    return this.#database.isTransaction;
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  prepare(sql: string): Statement {
    const statement = this.#database.prepare(sql);
    return {
      run: (...values) => Number(statement.run(...values).changes),
      get: (...values) => statement.get(...values) as Row | undefined,
      all: (...values) => statement.all(...values) as Row[],
    };
  }

  close(): void {
    this.#database.close();
  }
}

function called(work: (done: (error: Error | null | undefined) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => work((error) => error ? reject(error) : resolve()));
}

/** Returns the error code of SQLite, such as 13 (full), without its extension; `undefined`: another error. */
export function sqliteCode(error: unknown): number | undefined {
  const { errcode, message } = error as { readonly errcode?: unknown; readonly message?: unknown };
  if (typeof errcode === "number") return errcode & 0xff;
  // Deno 2.9.6 gives no code for errors of `exec` and `open`
  return TEXTS.find(([text]) => String(message).includes(text))?.[1];
}

export const SQLITE_BUSY = 5;
export const SQLITE_CORRUPT = 11;
export const SQLITE_FULL = 13;
export const SQLITE_NOTADB = 26;

const TEXTS = [
  ["database is locked", SQLITE_BUSY],
  ["disk is full", SQLITE_FULL],
  ["malformed", SQLITE_CORRUPT],
  ["not a database", SQLITE_NOTADB],
] as const;

/**
 * Returns a text as SQLite keeps it: one with a NUL character as bytes, because Deno reads a text only up to that
 * character (2.9.6).
 */
export function toSql(text: string): string | Uint8Array {
  return text.includes("\0") ? encoder.encode(text) : text;
}

/** Returns the text that {@link toSql} has converted. */
export function fromSql(value: SqlValue): string {
  return typeof value === "string" ? value : decoder.decode(value as Uint8Array);
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Reads a file beside the process that owns it, in transactions of one turn of the event loop. It never writes into the
 * file: a change is a request to the owner (`requests.ts`), or, where no process runs, made as its owner for a moment.
 * @decides how tools read a file that is in use
 */
import { CatgaError, unavailable } from "../error.ts";
import { type Clock, type Random, systemClock, type Timer, token } from "../ports/clock.ts";
import type { Appended, EventLog, LogOptions, LogStream } from "../ports/event_log.ts";
import type { Bucket, BucketSettings, Change, Entry } from "../ports/key_value_store.ts";
import { MemoryEventLog } from "../memory/event_log.ts";
import type { StreamOnDisk } from "../memory/stream_storage.ts";
import { type Database, type FileDriver, type SqlValue, systemDriver } from "./driver.ts";
import { RowEntries } from "./entries.ts";
import { checkFormat, openToRead } from "./format.ts";
import { asOwner } from "./open.ts";
import { type FileOwner, ownerOf, takeAtOnce, tidy, unopenable } from "./owner.ts";
import { carryOut, type FileRequest, readAppended, RequestSender, requestsPath } from "./requests.ts";
import { isRolledBack, type StoreGate } from "../memory/store_session.ts";
import type { RowRoom } from "./room.ts";
import { RowStorage } from "./rows.ts";

/** Options of {@link openBeside}. */
export interface BesideOptions {
  readonly path: string;
  readonly random: Random;
  readonly clock?: Clock;
  readonly driver?: FileDriver;
}

/** A stream or a bucket of a file, as a whole. */
export interface FilePart {
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
}

/**
 * Opens a file to be read by a tool. Rejects with `UNAVAILABLE` if there is none, or if it cannot be used as it is. If
 * the file was left by a process that was killed, it is first made whole, as by a start.
 */
export async function openBeside(options: BesideOptions): Promise<FileBeside> {
  const { clock = systemClock, driver = systemDriver, random } = options;
  const path = await driver.resolve(options.path);
  if (driver.status(path) === undefined) {
    throw new CatgaError("UNAVAILABLE", `there is no file ${path}: give the path that catga({ file }) has`, {
      details: { file: path },
    });
  }
  const own = takeAtOnce(path, driver);
  own?.close();
  if (own !== undefined) await asOwner({ path, clock, driver }, () => Promise.resolve());
  let database: Database | undefined;
  try {
    database = openToRead(path, driver);
    checkFormat(path, database);
    return new FileBeside({ path, clock, driver, database, random });
  } catch (error) {
    database?.close();
    throw error instanceof CatgaError ? error : unopenable(path, error);
  }
}

/** A file that another process may own, as a tool reads it. */
export class FileBeside {
  readonly path: string;
  readonly #clock: Clock;
  readonly #driver: FileDriver;
  readonly #room: ReadRoom;
  readonly #sender: RequestSender;
  readonly #sql;

  constructor({ path, clock, driver, database, random }: {
    readonly path: string;
    readonly clock: Clock;
    readonly driver: FileDriver;
    readonly database: Database;
    readonly random: Random;
  }) {
    this.path = path;
    this.#clock = clock;
    this.#driver = driver;
    this.#room = new ReadRoom(path, database, clock);
    this.#sender = new RequestSender(requestsPath(path), driver, clock, token(random, 16));
    const sql = (text: string) => this.#room.statement(text);
    this.#sql = {
      stream: sql("SELECT number, name, created, settings FROM stream WHERE name = ?"),
      streams: sql("SELECT name, messages, bytes FROM stream ORDER BY name"),
      bucket: sql("SELECT number, settings FROM bucket WHERE name = ?"),
      buckets: sql("SELECT number, name FROM bucket ORDER BY name"),
      pages: sql("SELECT page_count * page_size AS bytes FROM pragma_page_count, pragma_page_size"),
    };
  }

  /** The process that uses the file now; `undefined`: none does. */
  owner(): FileOwner | undefined {
    const own = takeAtOnce(this.path, this.#driver);
    own?.close();
    return own === undefined ? ownerOf(this.path, this.#driver) : undefined;
  }

  /** Size of the file, in bytes. */
  get size(): number {
    return this.#sql.pages.get()!.bytes as number;
  }

  /** Returns the streams and buckets of the file. The sizes of buckets are those of their values. */
  parts(): FilePart[] {
    const streams = this.#sql.streams.all().map(({ name, messages, bytes }) => ({ name, messages, bytes }));
    const buckets = this.#sql.buckets.all().map(({ number, name }) => {
      const sum = `SELECT count(*) AS messages, coalesce(sum(length(value)), 0) AS bytes FROM e${number}`;
      return { name, ...this.#room.statement(sum).get() };
    });
    return [...streams, ...buckets] as unknown as FilePart[]; // cast: the columns of these statements
  }

  /** Returns the settings of a stream; `undefined`: there is no such stream. */
  streamSettings(name: string): Readonly<LogOptions> | undefined {
    const row = this.#sql.stream.get(name);
    return row && JSON.parse(row.settings as string);
  }

  /** Returns the settings of a bucket; `undefined`: there is no such bucket. */
  bucketSettings(name: string): Readonly<BucketSettings> | undefined {
    const row = this.#sql.bucket.get(name);
    return row && JSON.parse(row.settings as string);
  }

  /** The streams of the file. One that does not exist cannot be opened. */
  readonly log: EventLog = {
    open: async (name, options) => {
      const row = this.#sql.stream.get(name);
      if (row === undefined) throw unavailable(`the file ${this.path} has no stream ${name}`);
      const settings = JSON.parse(row.settings as string);
      const record: StreamOnDisk = { name, created: row.created as string, settings };
      const memory = new MemoryEventLog(this.#clock, undefined, {
        gate: OPEN,
        streams: () => [record],
        open: (record, _, stream) => new RowStorage(this.#room, row.number as number, record, stream),
        greatest: () => 0,
        onRollback: (listener) => this.#room.onRollback(listener),
      });
      return this.#beside(await memory.open(name, options), settings);
    },
  };

  /**
   * Opens a bucket. `undefined`: there is none. `ofProcesses`: its entries belong to the process that uses the
   * file, and end with it.
   */
  bucket(name: string, ofProcesses: boolean): Bucket | undefined {
    const row = this.#sql.bucket.get(name);
    if (row === undefined) return undefined;
    const settings: BucketSettings = JSON.parse(row.settings as string);
    const room = this.#room;
    const rows = new RowEntries(room, row.number as number, () => {});
    const isEmpty = () => ofProcesses && this.owner() === undefined;
    const entries = (prefix: string): Entry[] => {
      room.begin();
      return isEmpty() ? [] : rows.entries(prefix);
    };
    const write = () => Promise.reject(refused(this.path));
    return {
      name,
      get size() {
        room.begin();
        return isEmpty() ? 0 : rows.size;
      },
      get: (key) => {
        room.begin();
        const found = isEmpty() ? undefined : rows.get(key);
        return Promise.resolve(found && Object.freeze({ ...found }));
      },
      entries: (prefix) => Promise.resolve(entries(prefix)),
      delete: async (key, { revision, note } = {}) =>
        await this.request({ op: "delete", bucket: name, settings, key, revision, note }) as boolean,
      watch: (prefix, onChange, { signal }) => {
        this.#watch(() => entries(prefix), onChange, signal);
        return Promise.resolve();
      },
      ...{ create: write, update: write, put: write },
    };
  }

  /**
   * Has a request carried out: by the process that uses the file, else by this one, which owns the file for that time.
   * Rejects like {@link RequestSender.ask}.
   */
  async request(request: FileRequest, data: string | Uint8Array = "", limit = ANSWER_LIMIT): Promise<unknown> {
    const own = takeAtOnce(this.path, this.#driver);
    if (own === undefined) return await this.#sender.ask(request, data, limit);
    own.close();
    if (request.op === "ping" || request.op === "stats") return null;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    return await asOwner({ path: this.path, clock: this.#clock, driver: this.#driver }, async ({ store, log }) => {
      return await carryOut(request, bytes, { store, log, node: undefined });
    });
  }

  close(): void {
    this.#room.close();
    this.#sender.close();
    tidy(this.path, this.#driver);
  }

  async #append(request: FileRequest, data: string | Uint8Array, limit: number): Promise<Appended> {
    try {
      return readAppended(await this.request(request, data, limit));
    } catch (error) {
      if (!(error instanceof CatgaError)) throw error;
      const isCertain = error.code !== "OUTCOME_UNKNOWN" || isRolledBack(error);
      return isCertain ? { type: "not stored", transient: true, error } : { type: "unknown", error };
    }
  }

  /** Returns a stream that is read in this process, and written by requests. */
  #beside(inner: LogStream, { seen: _, ...settings }: LogOptions): LogStream {
    const room = this.#room;
    const { name } = inner;
    const fresh = <Args extends unknown[], T>(read: (...args: Args) => T) => (...args: Args): T => {
      room.begin();
      return read(...args);
    };
    return {
      name,
      abilities: inner.abilities,
      get serverTime() {
        return inner.serverTime;
      },
      get latestServerTime() {
        return inner.latestServerTime;
      },
      measureTime: () => undefined,
      append: (subject, data, options) =>
        this.#append({ op: "append", stream: name, settings, subject, options }, data, options.timeout),
      appendNext: (receiver, subject, text, { due, now, expect }) => {
        const timeout = due - now;
        void this.#append(
          { op: "append", stream: name, settings, subject, options: { timeout, expect } },
          text,
          timeout,
        )
          .then((appended) => receiver.appended(appended, this.#clock.monotonic()));
      },
      state: fresh(() => inner.state()),
      follow: fresh((options) => inner.follow(options)),
      last: fresh((subject, options) => inner.last(subject, options)),
      at: fresh((sequence) => inner.at(sequence)),
      read: fresh((subject, options) => inner.read(subject, options)),
      subjects: fresh((pattern) => inner.subjects(pattern)),
      lasts: fresh((pattern, onMessage) => inner.lasts(pattern, onMessage)),
      purge: async (subject, { before } = {}) =>
        await this.request({ op: "purge", stream: name, settings, subject, before }) as number,
      onDoubt: () => () => {},
    };
  }

  #watch(read: () => Entry[], onChange: (change: Change) => void, signal: AbortSignal): void {
    let known = new Map<string, Entry>();
    let timer: Timer | undefined;
    signal.addEventListener("abort", () => timer?.cancel(), { once: true });
    const look = () => {
      if (signal.aborted || this.#room.isEnded) return;
      const found = new Map(read().map((entry) => [entry.key, entry]));
      for (const entry of found.values()) {
        if (known.get(entry.key)?.revision !== entry.revision) onChange({ type: "put", ...entry });
      }
      for (const { key, revision } of known.values()) {
        if (!found.has(key)) onChange({ type: "delete", key, revision });
      }
      known = found;
      timer = this.#clock.after(WATCH_EVERY, look, { background: true });
    };
    look();
  }
}

const OPEN: StoreGate = { after: (callback) => callback() };

/** A file that is only read: each turn of the event loop that reads has one transaction. */
class ReadRoom implements RowRoom {
  readonly #path: string;
  readonly #database: Database;
  readonly #clock: Clock;
  /** A clock without timers: expiry and schedules are the owner's. */
  readonly clock: Clock;
  readonly #changed = new Set<() => void>();
  readonly #begin;
  readonly #end;
  readonly #version;
  readonly #touch;
  #last: SqlValue | undefined;
  #isOpen = false;
  #closed = false;

  constructor(path: string, database: Database, clock: Clock) {
    this.#path = path;
    this.#database = database;
    this.#clock = clock;
    this.clock = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after: () => ({ cancel() {} }),
      soon: (callback) => clock.soon(callback),
    };
    this.#begin = database.prepare("BEGIN");
    this.#end = database.prepare("COMMIT");
    this.#version = database.prepare("PRAGMA data_version");
    this.#touch = database.prepare("SELECT value FROM meta WHERE key = 'epoch'");
  }

  get isEnded(): boolean {
    return this.#closed;
  }

  time(): number {
    return this.#clock.now();
  }

  /** Begins the transaction of this turn, if none is open; what the rows have read before is then read again. */
  begin(): void {
    if (this.#isOpen || this.#closed) return;
    this.#begin.run();
    this.#isOpen = true;
    this.#touch.get();
    this.#clock.soon(() => this.#commit());
    const version = this.#version.get()!.data_version;
    if (version === this.#last) return;
    this.#last = version;
    for (const listener of this.#changed) listener();
  }

  statement(sql: string): ReturnType<RowRoom["statement"]> {
    let prepared: ReturnType<Database["prepare"]> | undefined;
    const ready = () => {
      if (this.#closed) throw new CatgaError("CLOSED", `the file ${this.#path} is closed`);
      this.begin();
      return prepared ??= this.#database.prepare(sql);
    };
    const write = () => {
      throw refused(this.#path);
    };
    return {
      run: write,
      change: write,
      get: (...values) => ready().get(...values),
      all: (...values) => ready().all(...values),
    };
  }

  exec(): void {
    throw refused(this.#path);
  }

  commit(): void {
    throw refused(this.#path);
  }

  attempt(): boolean {
    return false;
  }

  onCommit(): void {}

  /** Calls `listener` when another process has changed the file. */
  onRollback(listener: () => void): void {
    this.#changed.add(listener);
  }

  onClose(): void {}

  close(): void {
    this.#commit();
    this.#closed = true;
    this.#database.close();
  }

  #commit(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#end.run();
  }
}

function refused(path: string): CatgaError {
  return new CatgaError("UNSUPPORTED", `the file ${path} is only read here: its owner writes it`);
}

/** Time for which the owner's answer is awaited, in ms. */
const ANSWER_LIMIT = 5_000;
/** Interval at which a watch looks for changes, in ms. */
const WATCH_EVERY = 250;

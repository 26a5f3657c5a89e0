/**
 * Requests of tools to the process that owns a file. They stand in a file of their own, `shop.db-ask`, so that the file
 * itself has one writer. The process looks for them every 250 ms, and carries each out once; where no process runs, the
 * tool takes the file for a moment, and carries the request out itself.
 * @decides how a tool changes a file that a process uses
 */
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import { type Clock, delay, OnceAMinute, type Timer } from "../ports/clock.ts";
import type { Appended, AppendOptions, EventLog, LogOptions } from "../ports/event_log.ts";
import type { BucketSettings, KeyValueStore } from "../ports/key_value_store.ts";
import { type Database, type FileDriver, SQLITE_BUSY, sqliteCode } from "./driver.ts";

/** A request of a tool to the owner of a file. `data` of an append travels beside it. */
export type FileRequest =
  | {
    readonly op: "append";
    readonly stream: string;
    readonly settings: Omit<LogOptions, "seen">;
    readonly subject: string;
    readonly options: AppendOptions;
  }
  | {
    readonly op: "purge";
    readonly stream: string;
    readonly settings: Omit<LogOptions, "seen">;
    readonly subject: string;
    readonly before?: number | undefined;
  }
  | {
    readonly op: "delete";
    readonly bucket: string;
    readonly settings: BucketSettings;
    readonly key: string;
    readonly revision?: number | undefined;
    readonly note?: string | undefined;
  }
  | { readonly op: "ping" | "stats" };

/** Who carries requests out. */
export interface RequestTarget {
  readonly store: KeyValueStore;
  log(): EventLog;
  /** Answers about the running node; `undefined`: there is none. */
  readonly node: ServedAnswers | undefined;
}

/** Answers of a running node to tools. */
export interface ServedAnswers {
  /** Running handlers and waiting sends; requests that wait. */
  load(): readonly [number, number];
  /** Statistics of the node, as JSON. */
  stats(): Promise<string>;
}

/** Carries a request out, and resolves with its answer, a JSON value. Rejects with a `CatgaError`. */
export async function carryOut(
  request: FileRequest,
  data: Uint8Array,
  { store, log, node }: RequestTarget,
): Promise<unknown> {
  switch (request.op) {
    case "append": {
      const stream = await log().open(request.stream, request.settings);
      return plainAppended(await stream.append(request.subject, data, request.options));
    }
    case "purge": {
      const stream = await log().open(request.stream, request.settings);
      const { subject, before } = request;
      return await stream.purge(subject, before === undefined ? {} : { before });
    }
    case "delete": {
      const { bucket, settings, key, revision, note } = request;
      return await (await store.open(bucket, settings)).delete(key, { revision, note });
    }
    case "ping":
      return node?.load() ?? null;
    case "stats":
      return node === undefined ? null : JSON.parse(await node.stats());
  }
}

/** An error as it travels. */
type PlainError = Pick<CatgaError, "code" | "message" | "retryable" | "details">;

function plainError({ code, message, retryable, details }: CatgaError): PlainError {
  return { code, message, retryable, details };
}

function readError({ code, message, retryable, details }: PlainError): CatgaError {
  return new CatgaError(code, message, { retryable, details });
}

function plainAppended(appended: Appended): unknown {
  return "error" in appended ? { ...appended, error: plainError(appended.error) } : appended;
}

/** Returns the outcome of an append that {@link carryOut} has answered with. */
export function readAppended(answer: unknown): Appended {
  const appended = answer as Appended; // cast: `carryOut` has made it, in this process or in another one of this format
  return "error" in appended ? { ...appended, error: readError(appended.error) } : appended;
}

/** Path of the file with the requests to the owner of a file. */
export const requestsPath = (path: string): string => `${path}-ask`;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS request (id TEXT PRIMARY KEY, until INTEGER NOT NULL, body TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS answer (id TEXT PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL);`;

/** Dependencies of a {@link RequestDesk}. */
export interface DeskHost {
  /** Path of the file with the requests. */
  readonly path: string;
  readonly driver: FileDriver;
  readonly clock: Clock;
  readonly target: RequestTarget;
  /** Called when requests cannot be read or answered; every minute at most. */
  onFault(error: unknown): void;
}

/** Looks for requests of tools, and carries them out. Until a tool has asked, it looks for their file alone. */
export class RequestDesk {
  readonly #host: DeskHost;
  readonly #reports: OnceAMinute;
  #database: Database | undefined;
  #version: unknown;
  #timer: Timer | undefined;
  /** Until when further requests are expected, by the monotonic clock: tools mostly send several. */
  #busyUntil = -Infinity;
  #running = 0;
  /** Answers that are not written yet. */
  readonly #answers: { readonly id: string; readonly text: string }[] = [];
  #closed = false;

  constructor(host: DeskHost) {
    this.#host = host;
    this.#reports = new OnceAMinute(host.clock);
    this.#wait();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#database?.close();
    this.#database = undefined;
  }

  #wait(): void {
    if (this.#closed) return;
    const { clock } = this.#host;
    const isBusy = this.#running + this.#answers.length > 0 || clock.monotonic() < this.#busyUntil;
    this.#timer = clock.after(isBusy ? BUSY_EVERY : LOOK_EVERY, () => this.#look(), { background: true });
  }

  #look(): void {
    try {
      this.#read();
      this.#write();
    } catch (error) {
      this.#failed(error);
    }
    this.#wait();
  }

  #read(): void {
    const { path, driver, clock } = this.#host;
    if (this.#database === undefined) {
      if (driver.status(path) === undefined) return;
      const opened = driver.open(path);
      try {
        opened.exec(`PRAGMA busy_timeout = 0; PRAGMA synchronous = OFF; ${SCHEMA}`);
      } catch (error) {
        opened.close();
        throw error;
      }
      this.#database = opened;
    }
    const database = this.#database;
    const version = database.prepare("PRAGMA data_version").get()!.data_version;
    if (version === this.#version) return;
    const rows = database.prepare("SELECT id, until, body, data FROM request ORDER BY rowid").all();
    this.#version = version;
    if (rows.length === 0) return;
    this.#busyUntil = clock.monotonic() + BUSY_FOR;
    database.prepare("DELETE FROM answer WHERE at < ?").run(Math.floor(clock.now() - FORGOTTEN_AFTER));
    const take = database.prepare("DELETE FROM request WHERE id = ?");
    for (const { id, until, body, data } of rows) {
      // the tool may have given up, and taken its request back
      const isTaken = take.run(id) === 1;
      if (!isTaken || (until as number) < clock.now()) continue;
      void this.#carryOut(id as string, JSON.parse(body as string), data as Uint8Array);
    }
  }

  async #carryOut(id: string, request: FileRequest, data: Uint8Array): Promise<void> {
    this.#running++;
    const { clock, target } = this.#host;
    const answer = await carryOut(request, data, target).then(
      (value) => ({ value }),
      (error) => ({ error: plainError(isCatgaError(error) ? error : unavailable(String(error), { cause: error })) }),
    );
    this.#running--;
    this.#busyUntil = clock.monotonic() + BUSY_FOR;
    this.#answers.push({ id, text: JSON.stringify(answer) });
    try {
      this.#write();
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Writes the answers; one that cannot be written now, because a tool writes, is written at the next look. */
  #write(): void {
    const now = Math.floor(this.#host.clock.now());
    const insert = this.#database?.prepare("INSERT OR REPLACE INTO answer VALUES (?, ?, ?)");
    for (let first = this.#answers[0]; insert !== undefined && first !== undefined; first = this.#answers[0]) {
      insert.run(first.id, now, first.text);
      this.#answers.shift();
    }
  }

  #failed(error: unknown): void {
    // a tool is writing: the next look sees it
    if (sqliteCode(error) === SQLITE_BUSY) this.#version = undefined;
    else if (this.#reports.due("requests")) this.#host.onFault(error);
  }
}

/** Sends requests to the process that owns a file. */
export class RequestSender {
  readonly #path: string;
  readonly #driver: FileDriver;
  readonly #clock: Clock;
  readonly #name: string;
  #database: Database | undefined;
  #count = 0;

  /** `path`: that of the file with the requests. `name`: a random name of this sender. */
  constructor(path: string, driver: FileDriver, clock: Clock, name: string) {
    this.#path = path;
    this.#driver = driver;
    this.#clock = clock;
    this.#name = name;
  }

  /**
   * Resolves with the answer of the process. Rejects with its error; with `UNAVAILABLE` if it did not take the request
   * within `limit` ms, which it then never does; with `OUTCOME_UNKNOWN` if it has taken it, and did not answer.
   */
  async ask(request: FileRequest, data: string | Uint8Array, limit: number): Promise<unknown> {
    const database = this.#database ??= this.#open();
    const clock = this.#clock;
    const id = `${this.#name} ${++this.#count}`;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    const until = Math.ceil(clock.now() + limit);
    database.prepare("INSERT INTO request VALUES (?, ?, ?, ?)").run(id, until, JSON.stringify(request), bytes);
    const find = database.prepare("SELECT body FROM answer WHERE id = ?");
    for (const end = clock.monotonic() + limit; clock.monotonic() < end;) {
      const found = find.get(id);
      if (found !== undefined) {
        database.prepare("DELETE FROM answer WHERE id = ?").run(id);
        const { value, error } = JSON.parse(found.body as string);
        if (error !== undefined) throw readError(error);
        return value;
      }
      await delay(clock, BUSY_EVERY);
    }
    const isTakenBack = database.prepare("DELETE FROM request WHERE id = ?").run(id) === 1;
    const who = `the process that uses ${this.#path.slice(0, -requestsPath("").length)}`;
    if (isTakenBack) throw unavailable(`${who} did not take a request within ${limit} ms: it is frozen, or has ended`);
    const message = `${who} took a request, and did not answer within ${limit} ms: it may be carried out`;
    throw new CatgaError("OUTCOME_UNKNOWN", message);
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  #open(): Database {
    const database = this.#driver.open(this.#path);
    database.exec(`PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; ${SCHEMA}`);
    return database;
  }
}

/** Interval at which a process looks for requests, in ms. */
const LOOK_EVERY = 250;
/** Such an interval while a tool sends requests, and that at which a tool looks for its answer, in ms. */
const BUSY_EVERY = 5;
/** Time for which further requests are expected after one, in ms. */
const BUSY_FOR = 1_000;
/** Time after which an answer that no tool has read is removed, in ms. */
const FORGOTTEN_AFTER = 60_000;

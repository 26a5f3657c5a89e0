/**
 * The rows of a file as they are copied into NATS, or from there: messages keep their sequences, entries the rest of
 * their time to live. The file is owned meanwhile, and no timer of it runs.
 * @decides what of a file goes along when a program grows up to NATS, or comes back
 */
import { CatgaError } from "../error.ts";
import { type Clock, delay } from "../ports/clock.ts";
import type { BucketSettings } from "../ports/key_value_store.ts";
import type { LogOptions, LogSchedule } from "../ports/event_log.ts";
import { scheduled } from "../memory/stream_schedules.ts";
import { DEDUPE, sizeOf } from "../memory/stream_storage.ts";
import { type Database, type FileDriver, fromSql, type Row, toSql } from "./driver.ts";
import { bucketTable, makeEmpty, openDatabase, streamTables } from "./format.ts";
import { asOwner } from "./open.ts";
import { takeAtOnce, taken } from "./owner.ts";

/** A stored message on its way. */
export interface CopiedMessage {
  readonly sequence: number;
  readonly subject: string;
  /** Time at which it was stored, in ms since 1970. */
  readonly time: number;
  readonly data: Uint8Array;
  /** Headers as on NATS, those of its time to live, its schedule and its id included. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** Id by which it is still recognized, if it is sent again; `undefined`: none, or no longer. */
  readonly id?: string | undefined;
  /** Rest of its time to live, in ms; `undefined`: it stays. */
  readonly left?: number | undefined;
  /** Present for a schedule. */
  readonly schedule?: LogSchedule | undefined;
}

/** An entry of a bucket on its way. */
export interface CopiedEntry {
  readonly key: string;
  readonly value: string;
  /** Rest of its time to live, in ms; `undefined`: it stays. */
  readonly left: number | undefined;
}

/** A stream as a whole. */
export interface CopiedStream {
  readonly name: string;
  readonly created: string;
  readonly first: number;
  /** Sequence that its next message gets. */
  readonly next: number;
}

/** A file that is copied into NATS, and owned meanwhile. */
export interface CopiedFile extends Disposable {
  streams(): CopiedStream[];
  /** Returns messages of a stream from a sequence on, at most 256, in order; none: there are no more. */
  read(stream: string, from: number): CopiedMessage[];
  entries(bucket: string): CopiedEntry[];
  /** Returns a note that the copy has left in the file. */
  note(key: string): string | undefined;
  setNote(key: string, value: string): void;
  /** Number of starts on the file so far. */
  readonly starts: number;
}

/**
 * Takes a file for a copy. Unless `resumes` returns true for it, schedules that are due fire first, once each, as at a
 * start. Rejects with `UNAVAILABLE` if a process uses the file, or if it cannot be used as it is.
 */
export async function takeForCopy(
  given: string,
  { driver, clock, resumes }: {
    readonly driver: FileDriver;
    readonly clock: Clock;
    resumes(file: CopiedFile): boolean;
  },
): Promise<CopiedFile> {
  const path = await driver.resolve(given);
  if (driver.status(path) === undefined) {
    throw new CatgaError("UNAVAILABLE", `there is no file ${path}`, { details: { file: path } });
  }
  const first = take(path, driver, clock);
  if (resumes(first)) return first;
  first[Symbol.dispose]();
  await fireDue(path, driver, clock);
  return take(path, driver, clock);
}

/** Starts on the file, and ends when no schedule is due. */
async function fireDue(path: string, driver: FileDriver, clock: Clock): Promise<void> {
  await asOwner({ path, driver, clock }, async ({ room, log }, hasFailed) => {
    log();
    const tables = room.statement("SELECT number FROM stream").all().map(({ number }) => number as number);
    const due = tables.map((number) => room.statement(`SELECT 1 FROM m${number} WHERE due <= ? LIMIT 1`));
    while (!hasFailed() && due.some((one) => one.get(clock.now()) !== undefined)) await delay(clock, 10);
  });
}

function take(path: string, driver: FileDriver, clock: Clock): CopiedFile {
  const own = takeAtOnce(path, driver);
  if (own === undefined) throw taken(path, driver);
  let database: Database;
  try {
    database = openDatabase(path, driver);
  } catch (error) {
    own.close();
    throw error;
  }
  const meta = database.prepare("SELECT value FROM meta WHERE key = ?");
  const time = () => Math.max(clock.now(), Number(meta.get("clock")?.value ?? 0));
  const numberOf = (table: "stream" | "bucket", name: string) =>
    database.prepare(`SELECT number FROM ${table} WHERE name = ?`).get(name)?.number;
  const ids = new Map<string, ReadonlyMap<number, string>>();
  /** Returns the ids that a stream still recognizes, by sequence: those of the last two minutes. */
  const idsOf = (stream: string, number: number, now: number) => {
    const rows = () => database.prepare(`SELECT id, seq FROM i${number} WHERE until > ?`).all(now);
    const found = ids.get(stream) ?? new Map(rows().map(({ id, seq }) => [seq as number, fromSql(id)]));
    ids.set(stream, found);
    return found;
  };
  return {
    streams: () =>
      database.prepare("SELECT number, name, created, next FROM stream ORDER BY number").all().map((row) => {
        const { number, name, created, next } = row as unknown as CopiedStream & { readonly number: number };
        const first = database.prepare(`SELECT min(seq) AS first FROM m${number}`).get()!.first as number | null;
        return { name, created, next, first: first ?? next };
      }),
    read(stream, from) {
      const number = numberOf("stream", stream);
      if (number === undefined) return [];
      const sql = `SELECT m.*, s.name FROM m${number} m JOIN s${number} s ON s.id = m.subject ` +
        `WHERE m.seq >= ? ORDER BY m.seq LIMIT ${PAGE}`;
      const now = time();
      const known = idsOf(stream, number as number, now);
      return database.prepare(sql).all(from).map((row) => copied(row, now, known.get(row.seq as number)));
    },
    entries(bucket) {
      const number = numberOf("bucket", bucket);
      if (number === undefined) return [];
      const now = time();
      return database.prepare(`SELECT key, value, "end" FROM e${number} ORDER BY revision`).all().map((row) => ({
        key: fromSql(row.key),
        value: fromSql(row.value),
        left: row.end === null ? undefined : (row.end as number) - now,
      }));
    },
    note: (key) => meta.get(key)?.value as string | undefined,
    setNote: (key, value) => void database.prepare("INSERT OR REPLACE INTO meta VALUES (?, ?)").run(key, value),
    get starts() {
      return Number(meta.get("epoch")!.value);
    },
    [Symbol.dispose]() {
      // the log is copied into the file: it is whole without it
      database.exec("UPDATE meta SET value = 0 WHERE key = 'open'; PRAGMA wal_checkpoint(TRUNCATE)");
      database.close();
      own.close();
    },
  };
}

function copied(row: Row, now: number, id: string | undefined): CopiedMessage {
  return {
    sequence: row.seq as number,
    subject: row.name as string,
    time: row.time as number,
    data: row.data as Uint8Array,
    headers: row.headers === null ? undefined : JSON.parse(row.headers as string),
    id,
    left: row.end === null ? undefined : (row.end as number) - now,
    schedule: row.due === null ? undefined : JSON.parse(row.schedule as string),
  };
}

/** A file that a namespace of NATS is copied into. */
export interface FileCopy {
  addStream(stream: Omit<CopiedStream, "first">, settings: LogOptions): void;
  addMessage(stream: string, message: CopiedMessage): void;
  addBucket(name: string, settings: BucketSettings, entries: readonly CopiedEntry[]): void;
}

/** Fills a new file at `part`, which must not exist, in one transaction. */
export async function fillFile(
  part: string,
  { driver, clock }: { readonly driver: FileDriver; readonly clock: Clock },
  fill: (copy: FileCopy) => Promise<void>,
): Promise<void> {
  const database = makeEmpty(part, driver);
  try {
    database.exec("BEGIN IMMEDIATE");
    await fill(copyOf(database, clock));
    database.exec(`UPDATE meta SET value = ${Math.floor(clock.now())} WHERE key = 'clock'; COMMIT`);
  } finally {
    database.close();
  }
}

function copyOf(database: Database, clock: Clock): FileCopy {
  const statements = new Map<string, ReturnType<typeof tablesOf>>();
  const numberOf = (table: "stream" | "bucket", name: string) =>
    database.prepare(`SELECT number FROM ${table} WHERE name = ?`).get(name)!.number as number;
  function tablesOf(name: string) {
    const number = numberOf("stream", name);
    return {
      subject: database.prepare(`INSERT OR IGNORE INTO s${number} (name) VALUES (?)`),
      message: database.prepare(
        `INSERT INTO m${number} VALUES (?, (SELECT id FROM s${number} WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, NULL)`,
      ),
      id: database.prepare(`INSERT OR REPLACE INTO i${number} VALUES (?, ?, ?)`),
      count: database.prepare(
        `UPDATE stream SET messages = messages + 1, bytes = bytes + ?, next = max(next, ? + 1) WHERE number = ${number}`,
      ),
    };
  }
  return {
    addStream({ name, created, next }, { seen: _, ...settings }) {
      database.prepare("INSERT INTO stream (name, created, settings, next, messages, bytes) VALUES (?, ?, ?, ?, 0, 0)")
        .run(name, created, JSON.stringify(settings), next);
      database.exec(streamTables(numberOf("stream", name)));
      statements.set(name, tablesOf(name));
    },
    addMessage(stream, { sequence, subject, time, data, headers, id, left, schedule }) {
      const { subject: addSubject, message, id: addId, count } = statements.get(stream)!;
      const now = clock.now();
      addSubject.run(subject);
      const size = sizeOf({ subject, data, headers });
      const end = left === undefined ? null : Math.ceil(now + left);
      const due = schedule === undefined ? null : scheduled(schedule, now).due;
      const spec = schedule === undefined ? null : JSON.stringify(schedule);
      const text = headers === undefined ? null : JSON.stringify(headers);
      message.run(sequence, subject, time, data, text, size, end, due, spec);
      if (id !== undefined) addId.run(toSql(id), sequence, Math.ceil(now + DEDUPE));
      count.run(size, sequence);
    },
    addBucket(name, settings, entries) {
      // revisions of the copy are greater than those of the origin, which are the time in µs, too
      database.prepare("INSERT INTO bucket (name, settings, floor) VALUES (?, ?, ?)")
        .run(name, JSON.stringify(settings), Math.floor(clock.now() * 1_000) + entries.length);
      const number = numberOf("bucket", name);
      database.exec(bucketTable(number));
      const insert = database.prepare(`INSERT INTO e${number} (key, value, revision, end) VALUES (?, ?, ?, ?)`);
      for (const [i, { key, value, left }] of entries.entries()) {
        const end = left === undefined ? null : Math.ceil(clock.now() + left);
        insert.run(toSql(key), toSql(value), Math.floor(clock.now() * 1_000) + i, end);
      }
    },
  };
}

/** Number of messages that are read at once. */
const PAGE = 256;

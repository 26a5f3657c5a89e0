/**
 * Files as a whole, looked at by a tool while a process may use them: a backup, a check for damage, and an export of
 * what a damaged file still has.
 * @decides what is damaged in a file, and what of it can be exported
 */
import { rename, rm } from "node:fs/promises";
import { CatgaError } from "../error.ts";
import { thrownMessage } from "../data/cause_text.ts";
import {
  type Database,
  type FileDriver,
  type Row,
  SQLITE_CORRUPT,
  sqliteCode,
  type SqlValue,
  type Statement,
} from "./driver.ts";
import { bucketTable, makeEmpty, missingLog, openToRead, placeOf, streamTables } from "./format.ts";
import { tidy, unopenable } from "./owner.ts";

/**
 * Copies a file that a process may use, as it is at one moment: the copy can be started. The other process goes on
 * writing; its log grows by what it writes. Rejects with `UNAVAILABLE` if the copy cannot be written, and leaves none
 * then; never overwrites a file.
 */
export async function backUp(path: string, to: string, driver: FileDriver): Promise<void> {
  await written(path, to, driver, (part) => {
    const database = openToRead(path, driver);
    try {
      database.prepare("VACUUM INTO ?").run(part);
    } finally {
      database.close();
    }
    // whole without a log
    const copy = driver.open(part);
    try {
      copy.exec("PRAGMA journal_mode = DELETE; UPDATE meta SET value = 0 WHERE key = 'open'");
    } finally {
      copy.close();
    }
  });
}

/**
 * Writes a file under another name, syncs it, and gives it its name. `path`: the file that errors name. Rejects with
 * `UNAVAILABLE` if there is a file already, or it cannot be written.
 */
export async function written(
  path: string,
  to: string,
  driver: FileDriver,
  write: (part: string) => void | Promise<void>,
): Promise<void> {
  const target = await driver.resolve(to);
  if (driver.status(target) !== undefined || driver.status(`${target}-wal`) !== undefined) {
    const message = `${target} is there already: give the path of a file that does not exist`;
    throw new CatgaError("UNAVAILABLE", message, { details: { file: target } });
  }
  const part = `${target}-part`;
  await rm(part, { force: true });
  try {
    await write(part);
    const made = driver.openLog(part);
    await made.sync().finally(() => made.close());
    await rename(part, target);
    await driver.syncFolder(target);
  } catch (error) {
    await rm(part, { force: true });
    throw error instanceof CatgaError ? error : unopenable(path, error);
  }
}

/** Something that is wrong with a file. */
export interface Damage {
  /** The stream or bucket, or another part of the file. */
  readonly about: string;
  /** Text of SQLite, or of the comparison of its rows. */
  readonly message: string;
}

/**
 * Looks at every page of a file, and compares counters with rows. Returns what is damaged. SQLite has no checksums: a
 * changed byte within a payload is not noticed. Throws a `CatgaError` if the file cannot be opened at all.
 */
export function damagesOf(path: string, driver: FileDriver): Damage[] {
  const hasLog = driver.status(`${path}-wal`) !== undefined;
  const place = placeOf(path, driver);
  const database = openToRead(path, driver);
  try {
    const titles = titlesOf(database);
    const trees = new Map<number, string>();
    for (const { tbl_name, rootpage } of attempt(() => treeRows(database)) ?? []) {
      const table = tbl_name as string;
      trees.set(rootpage as number, titleOf(titles, table) ?? `table ${table}`);
    }
    const found: Damage[] = [];
    const said = attempt(() => database.prepare("PRAGMA integrity_check(100)").all(), (error) => {
      found.push({ about: "the file", message: thrownMessage(error) });
    });
    for (const { integrity_check } of said ?? []) {
      const text = integrity_check as string;
      if (text === "ok") continue;
      for (const message of text.split("\n").filter((line) => line !== "" && !line.startsWith("***"))) {
        const tree = Number(/[Tt]ree (\d+)/.exec(message)?.[1]);
        const index = /index ([sme]\d+|i\d+)/.exec(message)?.[1];
        const about = trees.get(tree) ?? (index === undefined ? undefined : titleOf(titles, index)) ?? "the file";
        found.push({ about, message });
      }
    }
    if (found.length > 0) return found;
    const message = missingLog(path, database, hasLog, place);
    return message === undefined ? differences(database) : [{ about: "the file", message }];
  } catch (error) {
    throw error instanceof CatgaError ? error : unopenable(path, error);
  } finally {
    database.close();
    tidy(path, driver);
  }
}

/** Returns the name of the stream or bucket that a table is of. `titles`: as {@link titlesOf} returns them. */
function titleOf(titles: ReadonlyMap<string, string>, table: string): string | undefined {
  const [, kind, number] = /^([smie])(\d+)$/.exec(table) ?? [];
  return kind === undefined ? undefined : titles.get(`${kind === "e" ? "bucket" : "stream"} ${number}`);
}

function treeRows(database: Database): Row[] {
  return database.prepare("SELECT tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 0").all();
}

/** Returns the names of streams and buckets, by kind and number: streams and buckets have numbers of their own. */
function titlesOf(database: Database): Map<string, string> {
  const named = (kind: "stream" | "bucket") => {
    const rows = attempt(() => database.prepare(`SELECT number, name FROM ${kind}`).all()) ?? [];
    return rows.map(({ number, name }) => [`${kind} ${number}`, `the ${kind} ${name}`] as const);
  };
  return new Map([...named("stream"), ...named("bucket")]);
}

/** Returns streams whose counters do not fit their rows. */
function differences(database: Database): Damage[] {
  const found: Damage[] = [];
  database.exec("BEGIN");
  for (const { number, name, next, messages } of database.prepare("SELECT * FROM stream").all()) {
    const { count, last } = database.prepare(`SELECT count(*) AS count, max(seq) AS last FROM m${number}`).get()!;
    const about = `the stream ${name}`;
    if (count !== messages) found.push({ about, message: `it has ${count} messages, and counts ${messages}` });
    if (last !== null && (last as number) >= (next as number)) {
      found.push({ about, message: `it has a message ${last}, and its next one would be ${next}` });
    }
    const lost =
      database.prepare(`SELECT count(*) AS count FROM m${number} WHERE subject NOT IN (SELECT id FROM s${number})`)
        .get()!.count;
    if (lost !== 0) found.push({ about, message: `${lost} messages have no subject` });
  }
  database.exec("COMMIT");
  return found;
}

function attempt<T>(work: () => T, failed: (error: unknown) => void = () => {}): T | undefined {
  try {
    return work();
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/** Result of an export. */
export interface Exported {
  readonly rows: number;
  /** Parts of which something could not be read. */
  readonly damaged: readonly string[];
}

/**
 * Copies everything that can be read of a damaged file into a new one, which can be started. Messages and entries that
 * cannot be read are left out. Rejects with `UNAVAILABLE` if the new file cannot be written, or the list of streams and
 * buckets cannot be read.
 */
export async function exportWhole(path: string, to: string, driver: FileDriver): Promise<Exported> {
  let exported: Exported = { rows: 0, damaged: [] };
  await written(path, to, driver, (part) => {
    const database = openToRead(path, driver);
    try {
      const copy = makeEmpty(part, driver);
      try {
        copy.exec("BEGIN IMMEDIATE");
        exported = copyRows(database, copy);
        copy.exec("COMMIT");
      } finally {
        copy.close();
      }
    } finally {
      database.close();
    }
  });
  return exported;
}

function copyRows(from: Database, to: Database): Exported {
  const damaged = new Set<string>();
  let rows = 0;
  const copy = (table: string, key: string, title: string) => {
    const copied = copyTable(from, to, table, key);
    rows += copied.rows;
    if (!copied.isWhole) damaged.add(title);
  };
  to.exec("DELETE FROM meta");
  copy("meta", "key", "meta");
  to.exec("INSERT OR REPLACE INTO meta VALUES ('open', 0)");
  for (const key of ["epoch", "clock", "pid", "started"]) {
    to.prepare("INSERT OR IGNORE INTO meta VALUES (?, 0)").run(key);
  }
  copy("removed", "name", "removed streams");
  copy("stream", "number", "the list of streams");
  copy("bucket", "number", "the list of buckets");
  for (const { number, name } of to.prepare("SELECT number, name FROM stream").all()) {
    const title = `the stream ${name}`;
    to.exec(streamTables(number as number));
    copy(`s${number}`, "id", title);
    copy(`m${number}`, "seq", title);
    copy(`i${number}`, "id", title);
    to.exec(`DELETE FROM m${number} WHERE subject NOT IN (SELECT id FROM s${number})`);
    to.exec(`DELETE FROM s${number} WHERE id NOT IN (SELECT subject FROM m${number})`);
    to.exec(
      `UPDATE stream SET (messages, bytes, next) = (SELECT count(*), coalesce(sum(size), 0), ` +
        `max(stream.next, coalesce(max(seq) + 1, 0)) FROM m${number}) WHERE number = ${number}`,
    );
  }
  for (const { number, name } of to.prepare("SELECT number, name FROM bucket").all()) {
    to.exec(bucketTable(number as number));
    copy(`e${number}`, "rowid", `the bucket ${name}`);
  }
  return { rows, damaged: [...damaged] };
}

/** Copies the rows of a table in the order of its key. Rows behind a page that cannot be read are searched for. */
function copyTable(from: Database, to: Database, table: string, key: string): { rows: number; isWhole: boolean } {
  const columns = to.prepare(`PRAGMA table_info(${table})`).all().map(({ name }) => name as string);
  const list = columns.join(", ");
  const insert = to.prepare(
    `INSERT OR IGNORE INTO ${table} (${list}) VALUES (${columns.map(() => "?").join(", ")})`,
  );
  const first = from.prepare(`SELECT ${key} AS k, ${list} FROM ${table} ORDER BY ${key} LIMIT ?`);
  const behind = from.prepare(`SELECT ${key} AS k, ${list} FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`);
  let [rows, isWhole, size] = [0, true, PAGE];
  for (let last: SqlValue | undefined;;) {
    let read: Row[];
    try {
      read = last === undefined ? first.all(size) : behind.all(last, size);
    } catch (error) {
      if (sqliteCode(error) !== SQLITE_CORRUPT) throw error;
      isWhole = false;
      // rows before the damaged page are read one by one
      if (size > 1) {
        size = 1;
        continue;
      }
      const next: number | undefined = readableAfter(behind, last);
      if (next === undefined) return { rows, isWhole };
      last = next;
      size = PAGE;
      continue;
    }
    if (read.length === 0) return { rows, isWhole };
    for (const row of read) {
      insert.run(...columns.map((name) => row[name]));
      rows++;
    }
    last = read[read.length - 1].k;
  }
}

/** Returns the least key found after which a row can be read; `undefined`: there is none, or keys are texts. */
function readableAfter(behind: Statement, last: SqlValue | undefined): number | undefined {
  const start = last ?? 0;
  if (typeof start !== "number") return undefined;
  const isReadable = (key: number) => attempt(() => behind.all(key, 1)) !== undefined;
  let step = 1;
  while (!isReadable(start + step)) {
    step *= 2;
    if (start + step > Number.MAX_SAFE_INTEGER) return undefined;
  }
  let [low, high] = [start + step / 2, start + step];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (isReadable(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Number of rows that are read at once. */
const PAGE = 64;

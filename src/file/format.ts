/** The format of a file: its tables, how it is recognized, and what is refused. Its version is in the file. */
import { CatgaError } from "../error.ts";
import { type Database, type FileDriver, SQLITE_CORRUPT, SQLITE_NOTADB, sqliteCode, type SqlValue } from "./driver.ts";
import { unopenable } from "./owner.ts";

/** Version of the format that this version of Catga writes. */
export const FORMAT = 1;
/** Marks a SQLite file as one of Catga's (`PRAGMA application_id`): "Catg". */
const APPLICATION = 0x43617467;

const SCHEMA = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('epoch', 0), ('clock', 0), ('open', 0), ('pid', 0), ('started', 0);
CREATE TABLE stream (
  number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, created TEXT NOT NULL, settings TEXT NOT NULL,
  next INTEGER NOT NULL, messages INTEGER NOT NULL, bytes INTEGER NOT NULL
) STRICT;
CREATE TABLE removed (name TEXT PRIMARY KEY, greatest INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE bucket (
  number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, settings TEXT NOT NULL, floor INTEGER NOT NULL
) STRICT;`;

/** Tables of one stream. \`end\`: when the message expires, by the time of the store; \`due\`: by the wall clock. */
export const streamTables = (number: number): string => `
CREATE TABLE s${number} (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE m${number} (
  seq INTEGER PRIMARY KEY, subject INTEGER NOT NULL, time INTEGER NOT NULL, data BLOB NOT NULL, headers TEXT,
  size INTEGER NOT NULL, end INTEGER, due REAL, schedule TEXT, process INTEGER
) STRICT;
CREATE INDEX m${number}_subject ON m${number} (subject, seq);
CREATE INDEX m${number}_end ON m${number} (end) WHERE end IS NOT NULL;
CREATE INDEX m${number}_due ON m${number} (due) WHERE due IS NOT NULL;
CREATE INDEX m${number}_process ON m${number} (process) WHERE process IS NOT NULL;
CREATE TABLE i${number} (id ANY PRIMARY KEY, seq INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX i${number}_until ON i${number} (until);`;

/** Drops the tables of one stream. */
export const dropStream = (number: number): string =>
  `DROP TABLE s${number}; DROP TABLE m${number}; DROP TABLE i${number}; DELETE FROM stream WHERE number = ${number};`;

/** Table of the entries of one bucket. */
export const bucketTable = (number: number): string => `
CREATE TABLE e${number} (key ANY NOT NULL UNIQUE, value ANY NOT NULL, revision INTEGER NOT NULL, end INTEGER) STRICT;
CREATE INDEX e${number}_end ON e${number} (end) WHERE end IS NOT NULL;`;

/**
 * Opens the database of a file that this process owns, and makes an empty one if there is none. Throws a `CatgaError`
 * if the file is not one of Catga's, is of a newer format, or lacks its log: never starts empty in its place.
 */
export function openDatabase(path: string, driver: FileDriver): Database {
  const indexMade = () => driver.status(`${path}-shm`)?.made;
  const made = indexMade();
  const log = driver.status(`${path}-wal`);
  if ((driver.status(path)?.size ?? 0) === 0 && (log?.size ?? 0) > 0) {
    throw refuse(path, `it is missing or empty, but its log ${path}-wal is there. Put the file back beside its log`);
  }
  refuseRemovedLog(path, driver);
  let database: Database | undefined;
  try {
    database = driver.open(path);
    const isNew = isEmpty(database);
    // SQLite has read the file: it has opened the log, or made an empty one if it was removed since the look above.
    // A runtime that ends may release the file before it closes SQLite, which then removes the log when all of it is in
    // the file, with its index. An index that is still the same was left by somebody who has removed the log alone
    const hasLog = log !== undefined && (driver.status(`${path}-wal`)?.size ?? 0) >= log.size;
    if (log !== undefined && !hasLog && made !== undefined && made === indexMade()) {
      if (!isNew) trustNoMore(path, database);
      throw refuse(path, lacksLog(path));
    }
    // `meta` says that the file is open since it was made, or was last closed: without its log it is not whole
    if (isNew) make(database);
    else check(path, database, hasLog, placeOf(path, driver));
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    database.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 8388608; PRAGMA cache_size = -16000");
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof CatgaError) throw error;
    const code = sqliteCode(error);
    if (code === SQLITE_NOTADB) throw refuse(path, "it is no database. Give the path of another file");
    if (code === SQLITE_CORRUPT) {
      throw refuse(
        path,
        "it is damaged. `catga file check` says where; restore a backup, or `catga file export` what is whole",
      );
    }
    throw unopenable(path, error);
  }
}

/** Returns true for a file without content, such as one that could not be made because the disk was full. */
function isEmpty(database: Database): boolean {
  const tables = database.prepare("SELECT count(*) AS count FROM sqlite_schema").get()?.count;
  return tables === 0 && pragma(database, "application_id") === 0;
}

/**
 * Notes in a file that lacks its log that it is not whole in its place either, for later starts: SQLite removes the log
 * that it has made, and its index, when it closes the file.
 */
function trustNoMore(path: string, database: Database): void {
  checkFormat(path, database);
  database.exec("UPDATE meta SET value = '' WHERE key = 'place'");
}

/**
 * Throws a `CatgaError` if the log of a file was removed by hand: SQLite removes the index of the log before the log.
 * Looks before SQLite opens the file, because it would make an empty log, or remove the index. Looks twice: a process
 * that closes the file removes both, and may do so between two looks.
 */
function refuseRemovedLog(path: string, driver: FileDriver): void {
  const has = (suffix: string) => driver.status(`${path}${suffix}`) !== undefined;
  const isRemoved = () => has("-shm") && !has("-wal");
  if ((driver.status(path)?.size ?? 0) > 0 && isRemoved() && isRemoved()) throw refuse(path, lacksLog(path));
}

/**
 * Opens a file to read it, while another process may own it. Throws a `CatgaError` if its log was removed by hand.
 */
export function openToRead(path: string, driver: FileDriver): Database {
  refuseRemovedLog(path, driver);
  const database = driver.open(path, { readOnly: true });
  try {
    database.exec("PRAGMA busy_timeout = 1000");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Makes an empty file at a path where there is none. */
export function makeEmpty(path: string, driver: FileDriver): Database {
  const database = driver.open(path);
  make(database);
  return database;
}

/** Makes an empty file, all or nothing. */
function make(database: Database): void {
  database.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE");
  database.exec(`${SCHEMA} PRAGMA application_id = ${APPLICATION}; PRAGMA user_version = ${FORMAT}; COMMIT`);
}

/**
 * Returns the place of a file: its path and inode, which a copy of it does not have. A process that ends without
 * closing the file, as by an uncaught error, may leave it without its log: the runtime closes SQLite, which copies the
 * log into the file and removes it, with its index. So in this place such a file is whole.
 */
export function placeOf(path: string, driver: FileDriver): string {
  return `${path} ${driver.status(path)?.inode}`;
}

/** `place`: the place of the file now. */
function check(path: string, database: Database, hasLog: boolean, place: string): void {
  checkFormat(path, database);
  const moved = database.prepare("SELECT value FROM meta WHERE key = 'moved'").get()?.value;
  if (moved !== undefined) {
    throw refuse(
      path,
      `it was moved to ${moved}, where everything goes on. Start the program with { nats: "${moved}" }`,
    );
  }
  const missing = missingLog(path, database, hasLog, place);
  if (missing !== undefined) throw refuse(path, missing);
}

/** Returns what is wrong with a file that lacks its log; `undefined`: it does not. `place`: as for {@link check}. */
export function missingLog(
  path: string,
  database: Database,
  hasLog: boolean,
  place: string,
): string | undefined {
  const value = (key: string) => database.prepare("SELECT value FROM meta WHERE key = ?").get(key)?.value;
  return value("open") !== 1 || hasLog || value("place") === place ? undefined : lacksLog(path);
}

function lacksLog(path: string): string {
  return `its log ${path}-wal is missing, with what was written last. Put the log back, or restore a backup. ` +
    "How a file that is in use is copied: catga docs file";
}

/** Throws a `CatgaError` if the file is not one of Catga's, or has a newer format. */
export function checkFormat(path: string, database: Database): void {
  if (pragma(database, "application_id") !== APPLICATION) {
    throw refuse(path, "it is a database of another program. Give the path of another file");
  }
  const version = pragma(database, "user_version") as number;
  if (version > FORMAT) {
    throw refuse(
      path,
      `its format is ${version}; this version of Catga reads ${FORMAT}. Use the version that wrote it`,
    );
  }
}

function pragma(database: Database, name: string): SqlValue | undefined {
  return database.prepare(`PRAGMA ${name}`).get()?.[name];
}

function refuse(path: string, why: string): CatgaError {
  return new CatgaError("UNAVAILABLE", `the file ${path} is not used: ${why}`, { details: { file: path } });
}

/**
 * The tables of a store: their statements, for a migration tool of the program or `store.migrate()`, and their version.
 * Columns are only ever added.
 */
import { quoted } from "./database.ts";

/** Version of the tables. */
export const TABLES_VERSION = 1;

/** The names of a store's tables, as they stand in statements. */
export interface TableNames {
  readonly outbox: string;
  readonly relay: string;
  readonly done: string;
  readonly position: string;
  readonly version: string;
}

/** Returns the names of the tables: in a schema of PostgreSQL, or with a prefix in SQLite. */
export function tableNames(dialect: "postgres" | "sqlite", schema: string): TableNames {
  const name = (table: string) => dialect === "postgres" ? `${quoted(schema)}.${table}` : quoted(`${schema}_${table}`);
  return {
    outbox: name("outbox"),
    relay: name("relay"),
    done: name("done"),
    position: name("position"),
    version: name("version"),
  };
}

/** Returns the statements that make the tables; each does nothing if its table is there. */
export function tableStatements(dialect: "postgres" | "sqlite", schema: string): string[] {
  const { outbox, relay, done, position, version } = tableNames(dialect, schema);
  const insert = `INSERT INTO ${version} (n) SELECT ${TABLES_VERSION} WHERE NOT EXISTS (SELECT 1 FROM ${version})`;
  if (dialect === "sqlite") {
    const now = "(unixepoch('subsec') * 1000)";
    return [
      `CREATE TABLE IF NOT EXISTS ${outbox} (n INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, ` +
      `contract TEXT NOT NULL, key TEXT, id TEXT NOT NULL, body TEXT NOT NULL, head TEXT NOT NULL, ` +
      `at INTEGER NOT NULL DEFAULT ${now}, refused TEXT) STRICT`,
      `CREATE TABLE IF NOT EXISTS ${relay} (name TEXT PRIMARY KEY, term INTEGER NOT NULL, batch INTEGER NOT NULL, ` +
      `doubt TEXT NOT NULL, at INTEGER NOT NULL DEFAULT ${now}) STRICT`,
      `CREATE TABLE IF NOT EXISTS ${done} (scope TEXT NOT NULL, id TEXT NOT NULL, result TEXT, until INTEGER, ` +
      `PRIMARY KEY (scope, id)) STRICT, WITHOUT ROWID`,
      `CREATE INDEX IF NOT EXISTS ${quoted(`${schema}_done_until`)} ON ${done} (until)`,
      `CREATE TABLE IF NOT EXISTS ${position} (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT`,
      `CREATE TABLE IF NOT EXISTS ${version} (n INTEGER NOT NULL) STRICT`,
      insert,
    ];
  }
  return [
    `CREATE SCHEMA IF NOT EXISTS ${quoted(schema)}`,
    // rows come and go: vacuum by their number, not by a share of the table, which is empty most of the time
    `CREATE TABLE IF NOT EXISTS ${outbox} (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text NOT NULL, ` +
    `contract text NOT NULL, key text, id text NOT NULL, body text NOT NULL, head text NOT NULL, ` +
    `at timestamptz NOT NULL DEFAULT clock_timestamp(), refused text) WITH (autovacuum_vacuum_scale_factor = 0, ` +
    `autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0)`,
    `CREATE TABLE IF NOT EXISTS ${relay} (name text PRIMARY KEY, term bigint NOT NULL, batch bigint NOT NULL, ` +
    `doubt text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()) WITH (fillfactor = 10)`,
    `CREATE TABLE IF NOT EXISTS ${done} (scope text NOT NULL, id text NOT NULL, result text, until timestamptz, ` +
    `CONSTRAINT done_pkey PRIMARY KEY (scope, id))`,
    `CREATE INDEX IF NOT EXISTS done_until ON ${done} USING brin (until)`,
    `CREATE TABLE IF NOT EXISTS ${position} (name text PRIMARY KEY, position bigint NOT NULL) WITH (fillfactor = 10)`,
    `CREATE TABLE IF NOT EXISTS ${version} (n integer NOT NULL)`,
    insert,
  ];
}

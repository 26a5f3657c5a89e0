/** Databases for tests of `@catga/catga/sql`: SQLite in this runtime, PGlite, and drivers of a PostgreSQL server. */
import { createRequire } from "node:module";
import { join } from "node:path";
import {
  type BunSql,
  bunSql,
  type BunSqlite,
  bunSqlite,
  nodePostgres,
  type NodeSqlite,
  nodeSqlite,
  type PgClient,
  pglite,
  type PgliteDatabase,
  type PgPool,
  type PostgresJs,
  postgresJs,
  type SqlDatabase,
} from "../../src/sql/mod.ts";
import { fetchOnce, fetchPglite, fetchPostgresClient } from "./databases.ts";

/** A database that a test uses. */
export interface OpenedDatabase extends AsyncDisposable {
  readonly db: SqlDatabase<unknown>;
  /** A second connection to the same database, for writers beside it; absent if there can be none. */
  beside?(): OpenedDatabase;
}

const isBun = "Bun" in globalThis;

/** A SQLite of this runtime: in memory, or in a file. */
export async function openSqlite(path = ":memory:"): Promise<OpenedDatabase> {
  if (isBun) {
    const { Database } = await import("bun:" + "sqlite");
    const raw: BunSqlite & { close(): void } = new Database(path);
    raw.run("PRAGMA busy_timeout = 5000");
    raw.run("PRAGMA journal_mode = WAL");
    return { db: bunSqlite(raw) as SqlDatabase<unknown>, [Symbol.asyncDispose]: () => Promise.resolve(raw.close()) };
  }
  const { DatabaseSync } = await import("node:sqlite");
  const raw = new DatabaseSync(path);
  raw.exec("PRAGMA busy_timeout = 5000");
  raw.exec("PRAGMA journal_mode = WAL");
  const db = nodeSqlite(raw as unknown as NodeSqlite) as SqlDatabase<unknown>;
  return { db, [Symbol.asyncDispose]: () => Promise.resolve(raw.close()) };
}

/** PostgreSQL in this process. */
export async function openPglite(): Promise<OpenedDatabase> {
  const { PGlite } = await import(await fetchPglite());
  const raw: PgliteDatabase<never> & { close(): Promise<void> } = await PGlite.create();
  return { db: pglite(raw) as SqlDatabase<unknown>, [Symbol.asyncDispose]: () => raw.close() };
}

/** The drivers of servers that this runtime has. */
export const DRIVERS = isBun ? ["pg", "postgres", "Bun.sql"] as const : ["pg", "postgres"] as const;

/**
 * A driver of a PostgreSQL server. `port`: instead of the server's own, as of a proxy. `prepare`: false behind a pooler
 * that gives out connections by transaction.
 */
export async function openDriver(
  which: (typeof DRIVERS)[number],
  { port, most = 10, prepare = true }: { readonly port: number; readonly most?: number; readonly prepare?: boolean },
): Promise<OpenedDatabase> {
  const url = `postgres://tea@127.0.0.1:${port}/postgres`;
  if (which === "Bun.sql") {
    // the type of Bun's global is not known to Deno
    const { SQL } =
      (globalThis as unknown as { Bun: { SQL: new (url: string, options: object) => BunSql<never> } }).Bun;
    const sql = new SQL(url, { max: most, connectionTimeout: 5, prepare }) as BunSql<never> & { end(): Promise<void> };
    return { db: bunSql(sql) as SqlDatabase<unknown>, [Symbol.asyncDispose]: () => sql.end() };
  }
  if (which === "postgres") {
    const require = createRequire(join(await fetchOnce("postgres@3.4.9", "postgres-js"), "from.cjs"));
    const made = require("postgres");
    const sql: PostgresJs<never> & { end(options: object): Promise<void> } = (made.default ?? made)(url, {
      ...{ max: most, onnotice() {}, connect_timeout: 5, prepare },
    });
    return { db: postgresJs(sql) as SqlDatabase<unknown>, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
  }
  const require = createRequire(join(await fetchPostgresClient(), "from.cjs"));
  const pool: PgPool & { end(): Promise<void>; on(event: "error", listener: () => void): void } =
    new (require("pg").Pool)({ connectionString: url, max: most, connectionTimeoutMillis: 5_000 });
  pool.on("error", () => {}); // an idle connection was lost: the pool makes another
  return { db: nodePostgres<PgClient>(pool) as SqlDatabase<unknown>, [Symbol.asyncDispose]: () => pool.end() };
}

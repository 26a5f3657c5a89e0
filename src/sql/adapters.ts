/**
 * Databases over drivers: node-postgres, postgres.js, Bun.sql, PGlite, node:sqlite and bun:sqlite. Each driver is
 * described by the part of its shape that is used; none is imported.
 */
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { isThenable } from "../data/checks.ts";
import type { SqlDatabase, SqlRow } from "./database.ts";

/** A client of node-postgres, as far as it is used. */
export interface PgClient {
  /** Runs one statement. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[]; readonly command?: string }>;
  /** Adds a listener: an error of an idle connection would end the process without one. */
  on(event: "error", listener: (error: Error) => void): unknown;
  /** Removes a listener. */
  off(event: "error", listener: (error: Error) => void): unknown;
  /** Gives the client back to its pool; with `true` its connection is closed. */
  release(isBroken?: boolean): void;
}

/** A `Pool` of node-postgres, as far as it is used. */
export interface PgPool {
  /** Takes a client out of the pool. */
  connect(): Promise<PgClient>;
  /** Runs one statement on any client. */
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>;
}

/** Options of the adapters for servers of PostgreSQL. */
export interface BeginOptions {
  /** Text behind BEGIN, as `ISOLATION LEVEL SERIALIZABLE`. Default: nothing. */
  readonly begin?: string | undefined;
}

/**
 * A database over node-postgres. `Client`: the type of a transaction, as `PoolClient` of `@types/pg`. Add a listener
 * for the pool's `error` event, as always.
 *
 * @example
 * ```ts ignore
 * import { Pool, type PoolClient } from "pg";
 *
 * const store = sqlStore(nodePostgres<PoolClient>(new Pool({ connectionString })));
 * ```
 */
export function nodePostgres<Client extends PgClient = PgClient>(
  pool: PgPool,
  { begin = "" }: BeginOptions = {},
): SqlDatabase<Client> {
  return {
    dialect: "postgres",
    run: async (tx, text, params) => (await (tx ?? pool).query(text, [...params])).rows as SqlRow[],
    async transaction(fn) {
      const client = await pool.connect() as Client; // the program says which type its pool's clients have
      let isBroken = false;
      const lost = () => void (isBroken = true);
      client.on("error", lost);
      try {
        await client.query(`BEGIN ${begin}`);
        const result = await fn(client);
        // after an error that `fn` caught, the server answers COMMIT by a rollback, which pg does not report
        const { command } = await client.query("COMMIT");
        if (command !== "COMMIT") throw rolledBack();
        return result;
      } catch (error) {
        await client.query("ROLLBACK").catch(lost);
        throw error;
      } finally {
        client.off("error", lost);
        client.release(isBroken);
      }
    },
  };
}

/** The function that `postgres(url)` of postgres.js returns, as far as it is used. */
export interface PostgresJs<Tx> {
  /** Runs one statement. */
  unsafe(text: string, params?: never[], options?: { prepare?: boolean }): PromiseLike<readonly unknown[]>;
  /** Runs a function in a transaction. */
  begin<T>(options: string, fn: (tx: Tx) => MaybePromise<T>): Promise<unknown>;
  /** The options of the connection. */
  readonly options?: { readonly prepare?: boolean | undefined };
}

/**
 * A database over postgres.js. Behind a pooler that gives out connections by transaction, give it `{ prepare: false }`.
 * Each transaction takes two more statements, because after a lost connection this driver may report a commit that
 * never happened ([docs/sql.md](../../docs/sql.md#drivers)).
 *
 * @example
 * ```ts ignore
 * import postgres from "postgres";
 *
 * const store = sqlStore(postgresJs(postgres(url)));
 * ```
 */
export function postgresJs<Tx extends Pick<PostgresJs<Tx>, "unsafe">>(
  sql: PostgresJs<Tx>,
  { begin = "" }: BeginOptions = {},
): SqlDatabase<Tx> {
  const prepare = sql.options?.prepare ?? true;
  return {
    dialect: "postgres",
    guard: true,
    run: async (tx, text, params) => [...await (tx ?? sql).unsafe(text, params as never[], { prepare })] as SqlRow[],
    // the cast is safe: the driver resolves with what the function returned
    transaction: <T>(fn: (tx: Tx) => MaybePromise<T>) => sql.begin(begin, fn) as Promise<T>,
  };
}

/** An `SQL` of Bun, as far as it is used. */
export interface BunSql<Tx> {
  /** Runs one statement. */
  unsafe(text: string, params?: unknown[]): PromiseLike<unknown>;
  /** Runs a function in a transaction. */
  begin<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
}

/**
 * A database over `Bun.sql`. Behind a pooler that gives out connections by transaction, give it `{ prepare: false }`.
 *
 * @example
 * ```ts ignore
 * import { SQL } from "bun";
 *
 * const store = sqlStore(bunSql(new SQL(url)));
 * ```
 */
export function bunSql<Tx extends Pick<BunSql<Tx>, "unsafe">>(sql: BunSql<Tx>): SqlDatabase<Tx> {
  return {
    dialect: "postgres",
    run: async (tx, text, params) => [...await (tx ?? sql).unsafe(text, [...params]) as SqlRow[]],
    transaction: (fn) => sql.begin(async (tx) => await fn(tx)),
  };
}

/** A `PGlite`, as far as it is used. */
export interface PgliteDatabase<Tx> {
  /** Runs one statement. */
  query(text: string, params?: unknown[]): Promise<{ readonly rows: unknown[] }>;
  /** Runs a function in a transaction. */
  transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T>;
}

/**
 * A database over PGlite, which is PostgreSQL in the process.
 *
 * @example
 * ```ts ignore
 * import { PGlite } from "@electric-sql/pglite";
 *
 * const store = sqlStore(pglite(await PGlite.create("./data")));
 * ```
 */
export function pglite<Tx extends Pick<PgliteDatabase<Tx>, "query">>(db: PgliteDatabase<Tx>): SqlDatabase<Tx> {
  return {
    dialect: "postgres",
    run: async (tx, text, params) => (await (tx ?? db).query(text, [...params])).rows as SqlRow[],
    transaction: (fn) => db.transaction(async (tx) => await fn(tx)),
  };
}

/** A `DatabaseSync` of node:sqlite, as far as it is used. */
export interface NodeSqlite {
  /** Compiles a statement. */
  prepare(text: string): { all(...params: (string | null)[]): unknown[] };
  /** Runs statements without results. */
  exec(text: string): unknown;
}

/**
 * A database over node:sqlite; a transaction is the database itself. Set `PRAGMA busy_timeout` and `journal_mode =
 * WAL`.
 *
 * @example
 * ```ts ignore
 * import { DatabaseSync } from "node:sqlite";
 *
 * const store = sqlStore(nodeSqlite(new DatabaseSync("shop.sqlite")));
 * ```
 */
export function nodeSqlite<Db extends NodeSqlite>(db: Db): SqlDatabase<Db> {
  const prepared = new Map<string, ReturnType<NodeSqlite["prepare"]>>();
  return {
    dialect: "sqlite",
    run(_, text, params) {
      let statement = prepared.get(text);
      if (statement === undefined) prepared.set(text, statement = db.prepare(text));
      return statement.all(...params) as SqlRow[];
    },
    transaction: (fn) => together((text) => db.exec(text), () => fn(db)),
  };
}

/** A `Database` of bun:sqlite, as far as it is used. */
export interface BunSqlite {
  /** Compiles a statement, and keeps it. */
  query(text: string): { all(...params: (string | null)[]): unknown[] };
  /** Runs statements without results. */
  run(text: string): unknown;
}

/**
 * A database over bun:sqlite; a transaction is the database itself. Set `PRAGMA busy_timeout` and `journal_mode = WAL`.
 *
 * @example
 * ```ts ignore
 * import { Database } from "bun:sqlite";
 *
 * const store = sqlStore(bunSqlite(new Database("shop.sqlite")));
 * ```
 */
export function bunSqlite<Db extends BunSqlite>(db: Db): SqlDatabase<Db> {
  return {
    dialect: "sqlite",
    run: (_, text, params) => db.query(text).all(...params) as SqlRow[],
    transaction: (fn) => together((text) => db.run(text), () => fn(db)),
  };
}

/** Runs a function in a transaction of SQLite: in one turn of the event loop, because its connection is shared. */
function together<T>(exec: (text: string) => unknown, fn: () => MaybePromise<T>): T {
  exec("BEGIN IMMEDIATE");
  try {
    const result = fn();
    if (isThenable(result)) {
      Promise.resolve(result).catch(() => {}); // the error below is what the caller gets
      throw new TypeError(
        "a transaction of SQLite must not await: its connection is shared, and other statements would be part of it",
      );
    }
    exec("COMMIT");
    return result;
  } catch (error) {
    try {
      exec("ROLLBACK");
    } catch {
      // a full disk, for one, has rolled it back already
    }
    throw error;
  }
}

function rolledBack(): Error {
  const message = "the transaction was rolled back: an earlier statement of it had failed, and its error was caught";
  return Object.assign(new Error(message), { code: "25P02" });
}

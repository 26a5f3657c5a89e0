/** A database of the program, outside of the cluster, for mistakes with it: the SQLite of this runtime. */
import { bunSqlite, nodeSqlite, type SqlStore, sqlStore } from "@catga/catga/sql";

/** A database with a table of bookings, and a store over it. `Tx`: the database, which is its own transaction. */
export class Books {
  readonly store: SqlStore<unknown>;
  readonly #run: (text: string, params: string[]) => readonly unknown[];
  readonly #close: () => void;

  constructor() {
    const { db, close } = open();
    this.#close = close;
    // SQLite answers at once
    this.#run = (text, params) => db.run(undefined, text, params) as readonly unknown[];
    this.store = sqlStore(db);
    for (const statement of this.store.tables()) this.#run(statement, []);
    this.#run("CREATE TABLE booking (what TEXT NOT NULL)", []);
    this.#run("CREATE TABLE seen (id TEXT PRIMARY KEY)", []);
  }

  /** Books something; in a transaction, if one is under way. */
  book(what: string): void {
    this.#run("INSERT INTO booking VALUES (?1)", [what]);
  }

  /** Notes an id; false: it was noted before. */
  note(id: string): boolean {
    return this.#run("INSERT OR IGNORE INTO seen VALUES (?1) RETURNING 1", [id]).length > 0;
  }

  /** Number of bookings of each. */
  get booked(): ReadonlyMap<string, number> {
    const rows = this.#run("SELECT what, count(*) AS n FROM booking GROUP BY what", []);
    return new Map((rows as { what: string; n: number }[]).map(({ what, n }) => [what, n]));
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}

const { Database } = "Bun" in globalThis ? await import("bun:" + "sqlite") : { Database: undefined };
const { DatabaseSync } = Database === undefined ? await import("node:sqlite") : { DatabaseSync: undefined };

function open() {
  if (DatabaseSync === undefined) {
    const db = new Database(":memory:");
    return { db: bunSqlite(db), close: () => db.close() };
  }
  const db = new DatabaseSync(":memory:");
  return { db: nodeSqlite(db), close: () => db.close() };
}

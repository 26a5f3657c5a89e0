/**
 * The outbox in the database, as its relay uses it: each call is one statement or one transaction, without state of a
 * session, so that it works behind a pooler. What a relay notes has an effect only while its term is the last one.
 */
import { isOlder, type RelayMark } from "../contract/nodes/attached_store.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import { inTurn, type SqlDatabase, type SqlRow } from "./database.ts";
import { numbersIn, type OutboxRow } from "./relay_plan.ts";
import type { TableNames } from "./tables.ts";

/** A term that has begun; `note`, `rows`: what the relay before it has left under way. */
export interface BegunTerm {
  readonly term: number;
  readonly note: string;
  readonly rows: readonly OutboxRow[];
}

/** Rows to publish, and how the outbox stands. */
export interface TakenRows {
  readonly rows: readonly OutboxRow[];
  /** Age of the oldest row, in ms, by the database's clock; 0: there is none. */
  readonly oldest: number;
}

/** Which rows of the runs of a workflow a relay takes. */
export interface ChosenRuns {
  readonly workflow: string;
  readonly after: string;
  /** Maximum number of rows. */
  readonly most: number;
  readonly without: readonly string[];
}

/** A change of the database by a relay, in one statement. */
export interface Noted {
  readonly mark: RelayMark;
  /** Rows that the log has: they are deleted. */
  readonly stored: readonly string[];
  /** The parcels that are under way from now on. */
  readonly note: string;
}

/** The outbox of a database, for its relay. Its methods reject with the errors of the driver. */
export interface RelayTable {
  /**
   * Begins the next term: relays of earlier terms change nothing from then on. `"older"`: the database is older than
   * `known`, and nothing was changed.
   */
  begin(known: RelayMark | undefined): MaybePromise<BegunTerm | "older">;
  /** Begins anew after a restore: the next term is above `known`, and nothing is under way. */
  resume(known: RelayMark | undefined): MaybePromise<void>;
  /**
   * Returns the first rows, by their numbers, without those of these numbers, and without those that are `held`: the
   * names that `holdOf` gives.
   */
  take(most: number, without: readonly string[], held?: readonly string[]): MaybePromise<TakenRows>;
  /**
   * Returns rows of the runs of a workflow whose first row has a number above `after`, by their numbers, without those
   * of the numbers `without`: of each run its first rows.
   */
  runs(chosen: ChosenRuns): MaybePromise<readonly OutboxRow[]>;
  /** Notes a batch; false: another term has begun, or the database is another copy, and nothing was changed. */
  note(noted: Noted): MaybePromise<boolean>;
  /** Sets rows aside that can never be stored, with the reasons. */
  refuse(rows: readonly { readonly n: string; readonly why: string }[]): MaybePromise<void>;
  /** Returns the number of rows that were set aside. */
  refused(): MaybePromise<number>;
  /** Removes records of effects whose time is over, a portion of them; true: there may be more. */
  forget(): MaybePromise<boolean>;
  /** Called about once a second after rows were deleted: lets later looks skip what is gone for good. */
  settle(): MaybePromise<void>;
}

/** Makes the {@link RelayTable} of a store. */
export function relayTable<Tx>(db: SqlDatabase<Tx>, names: TableNames, name: string): RelayTable {
  return db.dialect === "postgres" ? new PostgresOutbox(db, names, name) : new SqliteOutbox(db, names, name);
}

const COLUMNS = "kind, contract, key, id, body, head";
/** The name by which all rows of a contract or workflow are held; behind it, of a run its key: as `holdOf` says. */
const whole = (newline: string) =>
  `((CASE WHEN kind IN ('start', 'tell') THEN 'run' ELSE kind END) || ${newline} || contract)`;

class PostgresOutbox<Tx> implements RelayTable {
  readonly #db: SqlDatabase<Tx>;
  readonly #names: TableNames;
  readonly #name: string;
  /**
   * No row that may still appear has a number up to this one: dead entries of the index below it are not read again
   * while a long transaction keeps vacuum from removing them.
   */
  #floor = 0n;
  /** A number that was drawn; those that may have drawn numbers up to it are the transactions before `end`. */
  #drawn: { readonly last: bigint; readonly end: bigint } | undefined;

  constructor(db: SqlDatabase<Tx>, names: TableNames, name: string) {
    this.#db = db;
    this.#names = names;
    this.#name = name;
  }

  begin(known: RelayMark | undefined): MaybePromise<BegunTerm | "older"> {
    this.#floor = 0n;
    this.#drawn = undefined;
    const { relay, outbox } = this.#names;
    return this.#db.transaction((tx) =>
      inTurn(begun({
        known,
        read: () =>
          this.#db.run(
            tx,
            `SELECT term::text AS term, batch::text AS batch, doubt FROM ${relay} WHERE name = $1::text FOR UPDATE`,
            [this.#name],
          ),
        next: () =>
          this.#db.run(
            tx,
            `INSERT INTO ${relay} AS relay (name, term, batch, doubt) VALUES ($1::text, 1, 0, '[]') ` +
              `ON CONFLICT (name) DO UPDATE SET term = relay.term + 1, batch = 0, at = clock_timestamp() ` +
              `RETURNING term::text AS term, doubt`,
            [this.#name],
          ),
        rows: (numbers) =>
          this.#db.run(
            tx,
            `SELECT n::text AS n, ${COLUMNS} FROM ${outbox} WHERE refused IS NULL ` +
              `AND n IN (SELECT unnest($1::text::bigint[])) ORDER BY ${outbox}.n`,
            [list(numbers)],
          ),
      }))
    );
  }

  resume(known: RelayMark | undefined): MaybePromise<void> {
    return nothing(this.#db.run(
      undefined,
      `INSERT INTO ${this.#names.relay} AS relay (name, term, batch, doubt) ` +
        `VALUES ($1::text, $2::text::bigint + 1, 0, '[]') ON CONFLICT (name) ` +
        `DO UPDATE SET term = greatest(relay.term, $2::text::bigint) + 1, batch = 0, doubt = '[]'`,
      [this.#name, String(known?.term ?? 0)],
    ));
  }

  async take(most: number, without: readonly string[], held: readonly string[] = []): Promise<TakenRows> {
    const { outbox } = this.#names;
    const params = [String(this.#floor), list(without), String(most)];
    const [condition, names] = held.length === 0 ? ["", []] : [
      `AND ${whole("chr(10)")} NOT IN (SELECT jsonb_array_elements_text($4::text::jsonb)) AND ` +
      `coalesce(${whole("chr(10)")} || chr(10) || key, '') NOT IN (SELECT jsonb_array_elements_text($4::text::jsonb)) `,
      [JSON.stringify(held)],
    ];
    return taken(
      await this.#db.run(
        undefined,
        `SELECT n::text AS n, ${COLUMNS}, (extract(epoch FROM clock_timestamp() - at) * 1000)::text AS age ` +
          `FROM ${outbox} WHERE n > $1::text::bigint AND refused IS NULL ` +
          `AND n NOT IN (SELECT unnest($2::text::bigint[])) ${condition}ORDER BY ${outbox}.n LIMIT $3::text::int`,
        [...params, ...names],
      ),
    );
  }

  async runs({ workflow, after, most, without }: ChosenRuns): Promise<readonly OutboxRow[]> {
    const { outbox } = this.#names;
    const own = `FROM ${outbox} WHERE n > $1::text::bigint AND refused IS NULL AND kind IN ('start', 'tell') ` +
      `AND contract = $2::text AND n NOT IN (SELECT unnest($3::text::bigint[]))`;
    const rows = await this.#db.run(
      undefined,
      `SELECT n::text AS n, ${COLUMNS} ${own} AND key IN ` +
        `(SELECT key ${own} GROUP BY key HAVING min(n) > $4::text::bigint) ORDER BY ${outbox}.n LIMIT $5::text::int`,
      [String(this.#floor), workflow, list(without), after, String(most)],
    );
    return rows.map(rowOf);
  }

  async note({ mark: { term, batch }, stored, note }: Noted): Promise<boolean> {
    const { relay, outbox } = this.#names;
    const [row] = await this.#db.run(
      undefined,
      `WITH mine AS (UPDATE ${relay} SET doubt = $4::text, batch = batch + 1, at = clock_timestamp() ` +
        `WHERE name = $1::text AND term = $2::text::bigint AND batch = $3::text::bigint RETURNING 1), ` +
        `gone AS (DELETE FROM ${outbox} WHERE n IN (SELECT unnest($5::text::bigint[])) AND EXISTS (SELECT FROM mine)) ` +
        `SELECT count(*)::text AS mine FROM mine`,
      [this.#name, String(term), String(batch), note, list(stored)],
    );
    return row.mine === "1";
  }

  refuse(rows: readonly { readonly n: string; readonly why: string }[]): MaybePromise<void> {
    return nothing(this.#db.run(
      undefined,
      `UPDATE ${this.#names.outbox} AS o SET refused = r.value->>1 ` +
        `FROM jsonb_array_elements($1::text::jsonb) AS r (value) WHERE o.n = (r.value->>0)::bigint`,
      [JSON.stringify(rows.map(({ n, why }) => [n, why]))],
    ));
  }

  async refused(): Promise<number> {
    const { outbox } = this.#names;
    const [row] = await this.#db.run(undefined, `SELECT count(refused)::text AS n FROM ${outbox}`, []);
    return Number(row.n);
  }

  async forget(): Promise<boolean> {
    const { done } = this.#names;
    const [row] = await this.#db.run(
      undefined,
      `WITH gone AS (DELETE FROM ${done} WHERE (scope, id) IN ` +
        `(SELECT scope, id FROM ${done} WHERE until < clock_timestamp() LIMIT ${PORTION}) RETURNING 1) ` +
        `SELECT count(*)::text AS n FROM gone`,
      [],
    );
    return Number(row.n) === PORTION;
  }

  /**
   * Raises the floor. A number is drawn behind the transaction id of its row ({@link insertStatement}): so when all
   * transactions have ended that had an id when the number `last` was drawn, every row up to `last` is there, or will
   * never be. Those are the ones below a new id that is drawn when the sequence has been read. The end of a snapshot
   * is too low: it is one past the last transaction that has ended, and newer ones are under way. Rows that were set
   * aside hold the floor, because an operator may mend them.
   */
  async settle(): Promise<void> {
    const { outbox } = this.#names;
    const run = (text: string, params: readonly string[] = []) => this.#db.run(undefined, text, params);
    const drawn = this.#drawn;
    if (drawn !== undefined) {
      const [{ xmin }] = await run("SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS xmin");
      if (BigInt(xmin as string) < drawn.end) return;
      const [{ low }] = await run(
        `SELECT min(n)::text AS low FROM ${outbox} WHERE n > $1::text::bigint`,
        [String(this.#floor)],
      );
      const safe = low === null ? drawn.last : BigInt(low as string) - 1n;
      if (safe > this.#floor) this.#floor = safe < drawn.last ? safe : drawn.last;
      this.#drawn = undefined;
    }
    const [{ last }] = await run(
      `SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence($1::text, 'n')::regclass), 0)::text AS last`,
      [outbox],
    );
    const [{ end }] = await run('SELECT pg_current_xact_id()::text AS "end"');
    this.#drawn = { last: BigInt(last as string), end: BigInt(end as string) };
  }
}

class SqliteOutbox<Tx> implements RelayTable {
  readonly #db: SqlDatabase<Tx>;
  readonly #names: TableNames;
  readonly #name: string;

  constructor(db: SqlDatabase<Tx>, names: TableNames, name: string) {
    this.#db = db;
    this.#names = names;
    this.#name = name;
  }

  begin(known: RelayMark | undefined): MaybePromise<BegunTerm | "older"> {
    const { relay, outbox } = this.#names;
    return this.#db.transaction((tx) =>
      inTurn(begun({
        known,
        read: () => this.#db.run(tx, `SELECT term, batch, doubt FROM ${relay} WHERE name = ?1`, [this.#name]),
        next: () =>
          this.#db.run(
            tx,
            `INSERT INTO ${relay} (name, term, batch, doubt) VALUES (?1, 1, 0, '[]') ` +
              `ON CONFLICT (name) DO UPDATE SET term = term + 1, batch = 0, at = ${NOW} RETURNING term, doubt`,
            [this.#name],
          ),
        rows: (numbers) =>
          this.#db.run(
            tx,
            `SELECT CAST(n AS TEXT) AS number, ${COLUMNS} FROM ${outbox} WHERE refused IS NULL ` +
              `AND n IN (SELECT CAST(value AS INTEGER) FROM json_each(?1)) ORDER BY n`,
            [JSON.stringify(numbers)],
          ),
      }))
    );
  }

  resume(known: RelayMark | undefined): MaybePromise<void> {
    return nothing(this.#db.run(
      undefined,
      `INSERT INTO ${this.#names.relay} (name, term, batch, doubt) VALUES (?1, CAST(?2 AS INTEGER) + 1, 0, '[]') ` +
        `ON CONFLICT (name) DO UPDATE SET term = max(term, CAST(?2 AS INTEGER)) + 1, batch = 0, doubt = '[]'`,
      [this.#name, String(known?.term ?? 0)],
    ));
  }

  take(most: number, without: readonly string[], held: readonly string[] = []): MaybePromise<TakenRows> {
    const text = `SELECT CAST(n AS TEXT) AS number, ${COLUMNS}, ${NOW} - at AS age FROM ${this.#names.outbox} ` +
      `WHERE refused IS NULL AND n NOT IN (SELECT CAST(value AS INTEGER) FROM json_each(?1)) ` +
      `AND ${whole("char(10)")} NOT IN (SELECT value FROM json_each(?3)) ` +
      `AND coalesce(${whole("char(10)")} || char(10) || key, '') NOT IN (SELECT value FROM json_each(?3)) ` +
      `ORDER BY n LIMIT CAST(?2 AS INTEGER)`;
    const params = [JSON.stringify(without), String(most), JSON.stringify(held)];
    return andThen(this.#db.run(undefined, text, params), taken);
  }

  runs({ workflow, after, most, without }: ChosenRuns): MaybePromise<readonly OutboxRow[]> {
    const own = `FROM ${this.#names.outbox} WHERE refused IS NULL AND kind IN ('start', 'tell') AND contract = ?1 ` +
      `AND n NOT IN (SELECT CAST(value AS INTEGER) FROM json_each(?2))`;
    const rows = this.#db.run(
      undefined,
      `SELECT CAST(n AS TEXT) AS number, ${COLUMNS} ${own} AND key IN ` +
        `(SELECT key ${own} GROUP BY key HAVING min(n) > CAST(?3 AS INTEGER)) ORDER BY n LIMIT CAST(?4 AS INTEGER)`,
      [workflow, JSON.stringify(without), after, String(most)],
    );
    return andThen(rows, (found) => found.map(rowOf));
  }

  note({ mark: { term, batch }, stored, note }: Noted): MaybePromise<boolean> {
    const { relay, outbox } = this.#names;
    const { run } = this.#db;
    const name = this.#name;
    return this.#db.transaction((tx) =>
      inTurn((function* () {
        const mine = yield run(
          tx,
          `UPDATE ${relay} SET doubt = ?4, batch = batch + 1, at = ${NOW} WHERE name = ?1 ` +
            `AND term = CAST(?2 AS INTEGER) AND batch = CAST(?3 AS INTEGER) RETURNING 1 AS mine`,
          [name, String(term), String(batch), note],
        );
        if (mine.length === 0) return false;
        if (stored.length > 0) {
          yield run(
            tx,
            `DELETE FROM ${outbox} WHERE n IN (SELECT CAST(value AS INTEGER) FROM json_each(?1))`,
            [JSON.stringify(stored)],
          );
        }
        return true;
      })())
    );
  }

  refuse(rows: readonly { readonly n: string; readonly why: string }[]): MaybePromise<void> {
    return nothing(this.#db.run(
      undefined,
      `UPDATE ${this.#names.outbox} SET refused = r.value->>1 FROM json_each(?1) AS r ` +
        `WHERE n = CAST(r.value->>0 AS INTEGER)`,
      [JSON.stringify(rows.map(({ n, why }) => [n, why]))],
    ));
  }

  refused(): MaybePromise<number> {
    const rows = this.#db.run(undefined, `SELECT count(refused) AS n FROM ${this.#names.outbox}`, []);
    return andThen(rows, ([row]) => Number(row.n));
  }

  forget(): MaybePromise<boolean> {
    const { done } = this.#names;
    const rows = this.#db.run(
      undefined,
      `DELETE FROM ${done} WHERE (scope, id) IN (SELECT scope, id FROM ${done} WHERE until < ${NOW} LIMIT ${PORTION}) ` +
        `RETURNING 1 AS gone`,
      [],
    );
    return andThen(rows, ({ length }) => length === PORTION);
  }

  settle(): void {}
}

/** The steps by which a term begins. */
function* begun({ known, read, next, rows }: {
  readonly known: RelayMark | undefined;
  /** Reads the relay's row, and locks it. */
  read(): MaybePromise<readonly SqlRow[]>;
  /** Writes the next term. */
  next(): MaybePromise<readonly SqlRow[]>;
  /** Reads rows of the outbox by their numbers. */
  rows(numbers: readonly string[]): MaybePromise<readonly SqlRow[]>;
}): Generator<MaybePromise<readonly SqlRow[]>, BegunTerm | "older", readonly SqlRow[]> {
  const [before] = yield read();
  const found = before && { term: Number(before.term), batch: Number(before.batch) };
  if (isOlder(found, known)) return "older";
  const [{ term, doubt }] = yield next();
  const note = String(doubt);
  const numbers = numbersIn(note);
  return { term: Number(term), note, rows: numbers.length === 0 ? [] : (yield rows(numbers)).map(rowOf) };
}

function taken(rows: readonly SqlRow[]): TakenRows {
  return { rows: rows.map(rowOf), oldest: rows.length === 0 ? 0 : Math.max(0, Number(rows[0].age)) };
}

function rowOf({ n, number = n, kind, contract, key, id, body, head }: SqlRow): OutboxRow {
  return { n: number, kind, contract, key, id, body, head } as OutboxRow; // the columns have these types
}

/** Returns numbers as the text of an array. */
function list(numbers: readonly string[]): string {
  return `{${numbers.join(",")}}`;
}

function nothing(done: MaybePromise<unknown>): MaybePromise<void> {
  return andThen(done, () => undefined);
}

/** The time of now in SQLite, in ms since 1970. */
const NOW = "(unixepoch('subsec') * 1000)";
/** Number of records of effects that are removed at once. */
const PORTION = 1_000;

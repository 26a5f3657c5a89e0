/**
 * Transactions of a store: what was collected is written by the last statement before COMMIT, and success is reported
 * only for what the server has committed. After a lost connection the server is asked.
 */
import type { EndedTransaction } from "../contract/nodes/attached_store.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import { CatgaError, unavailable } from "../error.ts";
import { type Clock, delay, doubled, jittered, type Random } from "../ports/clock.ts";
import type { SqlDatabase, SqlRow } from "./database.ts";
import { isOutage, isRerun } from "./failures.ts";
import { type CollectedRow, type Out, TAKE } from "./out.ts";
import { insertStatement } from "./insert.ts";
import type { TableNames } from "./tables.ts";

/** Options of {@link Transactions}. */
export interface TransactionsOptions<Tx> {
  readonly db: SqlDatabase<Tx>;
  readonly names: TableNames;
  /** Prefix of the locks of lanes. */
  readonly schema: string;
  /** True if rows of a lane get their numbers in the order of their commits. */
  readonly ordered: boolean;
  /** Time after which a transaction is not waited for, in ms. */
  readonly timeout: number;
  /** Called when rows have been committed. */
  onCommit(): void;
  /**
   * Called when a transaction begins; what it returns, when that has ended, or is no longer waited for (`unknown`),
   * with what it has collected.
   */
  onBegin(): ((out: Out, outcome: EndedTransaction["outcome"]) => void) | undefined;
  /** Time and randomness of transactions that are run without their own. */
  tools(): TransactionTools;
}

/** Time and randomness of a transaction. */
export interface TransactionTools {
  readonly clock: Clock;
  readonly random: Random;
}

/** Options of a run of a transaction. */
export interface RunOptions {
  /** Ends the wait for the transaction, which may still commit. */
  readonly signal?: AbortSignal | undefined;
  /**
   * True if an id is recorded in the transaction, by which a later run finds out whether it has committed: an unknown
   * outcome is then `UNAVAILABLE`, after which the caller repeats it.
   */
  readonly isRepeatable?: boolean;
  /** Clock of the handler whose effect it is. Default: that of the store. */
  readonly clock?: Clock | undefined;
}

/** Runs the transactions of a store. */
export class Transactions<Tx> {
  readonly #options: TransactionsOptions<Tx>;
  /** The life of the server ({@link LIFE}) that new transactions begin in; `undefined`: it is read again. */
  #life: string | undefined;
  /** Number of times that the life was forgotten: an answer to an earlier question is of no use. */
  #forgotten = 0;

  constructor(options: TransactionsOptions<Tx>) {
    this.#options = options;
  }

  /**
   * Runs `fn` in a transaction whose last statement writes what `out` has collected. A serialization failure, a
   * deadlock and a busy SQLite run it again. Rejects with what `fn` threw; with `UNAVAILABLE` if the database is away,
   * so that nothing was committed or the caller may find that out by running it again with an id; with
   * `OUTCOME_UNKNOWN` if the connection was lost at COMMIT and the server stays away.
   */
  async run<T>(
    makeOut: () => Out,
    fn: (tx: Tx, out: Out) => MaybePromise<T>,
    { signal, isRepeatable = false, clock: own }: RunOptions = {},
  ): Promise<T> {
    const { clock: usual, random } = this.#options.tools();
    const clock = own ?? usual;
    for (let runs = 1;; runs++) {
      signal?.throwIfAborted();
      const out = makeOut();
      const ended = this.#options.onBegin();
      try {
        const given = this.#once(out, fn, clock);
        const value = given instanceof Promise ? await this.#inTime(given, signal, clock) : given;
        ended?.(out, "committed");
        return value;
      } catch (error) {
        ended?.(out, error instanceof UnknownCommit || signal?.aborted ? "unknown" : "rolled back");
        // the pool of a driver may have replaced its connections without an error
        if (isOutage(error) || error instanceof UnknownCommit) {
          this.#life = undefined;
          this.#forgotten++;
        }
        if (isRerun(error) && runs < MOST_RUNS) {
          await delay(clock, jittered(random, doubled(runs - 1, FIRST_PAUSE, LONGEST_PAUSE)), signal);
          continue;
        }
        if (isRepeatable && error instanceof UnknownCommit) throw unavailable(error.message, { cause: error });
        if (error instanceof CatgaError || !(isOutage(error) || isRerun(error))) throw error;
        throw unavailable(`the database is not available: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  /** Writes what was collected, as the last statement of a transaction that the program has begun. */
  write(tx: Tx, out: Out): MaybePromise<readonly SqlRow[]> {
    const { db, names, schema, ordered } = this.#options;
    const insert = (rows: readonly CollectedRow[]): MaybePromise<readonly SqlRow[]> => {
      if (rows.length === 0) return [];
      const { text, params } = insertStatement(db.dialect, { names, schema, ordered, rows });
      return db.run(tx, text, params);
    };
    const rows = out[TAKE]() as MaybePromise<readonly CollectedRow[]>;
    if (rows instanceof Promise && db.dialect === "sqlite") {
      rows.catch(() => {}); // the error below is what the caller gets
      throw new TypeError("a transaction of SQLite must not await, and the schema of what it records is asynchronous");
    }
    return andThen(rows, insert);
  }

  #once<T>(out: Out, fn: (tx: Tx, out: Out) => MaybePromise<T>, clock: Clock): MaybePromise<T> {
    const { db, onCommit } = this.#options;
    if (db.dialect === "postgres") return this.#inPostgres(out, fn, clock);
    let wrote = false;
    const ended = db.transaction((tx) =>
      andThen(fn(tx, out), (value) => {
        wrote = out.size > 0;
        return andThen(this.write(tx, out), () => value);
      })
    );
    return andThen(ended, (value) => {
      if (wrote) onCommit();
      return value;
    });
  }

  async #inPostgres<T>(out: Out, fn: (tx: Tx, out: Out) => MaybePromise<T>, clock: Clock): Promise<T> {
    const { db, onCommit } = this.#options;
    /**
     * The value that `fn` returned, when the last statement has succeeded; `xid`: the transaction, if it has changed
     * anything.
     */
    let ready: { readonly value: T; readonly xid: string | null } | undefined;
    let wrote = false;
    const committed = (value: T): T => {
      if (wrote) onCommit();
      return value;
    };
    let life = db.guard ? undefined : await this.#lifeNow();
    try {
      const value = await db.transaction(async (tx) => {
        ready = undefined;
        const began = db.guard ? (await db.run(tx, BEGAN, []))[0] : undefined;
        // that of this connection: a driver may have replaced a lost one without an error
        if (began !== undefined) life = began.life as string; // it is cast to text
        const value = await fn(tx, out);
        wrote = out.size > 0;
        // the last statement: it fails in a transaction that an error has aborted which `fn` has caught, and names the
        // transaction, so that the server can be asked what became of it
        const written = await this.write(tx, out);
        const [{ place, xid }] = written.length > 0 && !db.guard ? written : await db.run(tx, WHERE, []);
        if (began !== undefined && place !== began.place) {
          throw unavailable("the connection of the transaction was lost");
        }
        ready = { value, xid: xid as string | null };
        return value;
      });
      const xid = (ready as { readonly xid: string | null } | undefined)?.xid;
      if (db.guard && xid != null) {
        const status = await this.#status(xid, life, clock);
        if (status === "aborted") throw unavailable("the driver reported a commit that did not happen");
        if (status !== "committed") throw new UnknownCommit(status === "crashed" ? CRASHED : LOST);
      }
      return committed(value);
    } catch (error) {
      const { value, xid } = (ready ?? { xid: null }) as { readonly value: T; readonly xid: string | null };
      if (ready === undefined || xid === null || error instanceof CatgaError || !isOutage(error)) throw error;
      const status = await this.#status(xid, life, clock);
      if (status === "committed") return committed(value);
      if (status === "aborted") throw error;
      throw new UnknownCommit(status === "crashed" ? CRASHED : LOST, error);
    }
  }

  /**
   * Reads the life of the server, once until an outage or an unknown commit; `undefined`: it does not answer. Each
   * transaction asks for itself until there is an answer: a connection may never give one.
   */
  async #lifeNow(): Promise<string | undefined> {
    if (this.#life !== undefined) return this.#life;
    const forgotten = this.#forgotten;
    try {
      const [row] = await this.#options.db.run(undefined, `SELECT ${LIFE} AS life`, []);
      const life = row.life as string; // it is cast to text
      if (forgotten === this.#forgotten) this.#life = life;
      return life;
    } catch (error) {
      if (!isOutage(error)) throw error;
      return undefined; // the transaction will fail in the same way, or asks a server that it does not know
    }
  }

  /**
   * Asks the server what became of a transaction that has begun in this life of it, until it knows; `undefined`: it
   * does not answer in time; `"crashed"`: this or another transaction with its number has committed.
   */
  async #status(xid: string, life: string | undefined, clock: Clock): Promise<string | undefined> {
    const { db, timeout } = this.#options;
    const end = clock.monotonic() + timeout;
    for (;;) {
      const status = await this.#asked(db, xid, life);
      if (status !== undefined && status !== "in progress") return status;
      if (clock.monotonic() >= end) return undefined;
      await delay(clock, STATUS_PAUSE);
    }
  }

  async #asked(db: SqlDatabase<Tx>, xid: string, life: string | undefined): Promise<string | undefined> {
    try {
      const text = `SELECT pg_xact_status($1::text::xid8)::text AS status, ${LIFE} AS life`;
      const [row] = await db.run(undefined, text, [xid]);
      if (row.status === "committed" && row.life !== life) return "crashed";
      return (row.status ?? "unknown") as string;
    } catch (error) {
      if (isOutage(error)) return undefined; // asked again
      return "unknown"; // another server has taken over, which has never had this transaction
    }
  }

  /**
   * Waits for a transaction, which a driver may leave unsettled when its connection is lost. Giving up is safe where an
   * id is recorded in the transaction: a later run finds it.
   */
  async #inTime<T>(given: Promise<T>, signal: AbortSignal | undefined, clock: Clock): Promise<T> {
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const { timeout } = this.#options;
    // twice: the transaction, and asking what became of it
    const late = () => reject(new UnknownCommit(`the transaction has not ended after ${2 * timeout} ms`));
    const timer = clock.after(2 * timeout, late);
    const abort = () => reject(signal!.reason);
    signal?.addEventListener("abort", abort, { once: true });
    given.catch(() => {}); // it is raced below; when it is late, its error is nobody's
    try {
      return await Promise.race([given, ended]);
    } finally {
      timer.cancel();
      signal?.removeEventListener("abort", abort);
    }
  }
}

/** The outcome of a commit is not known. */
class UnknownCommit extends CatgaError {
  constructor(why: string, cause?: unknown) {
    super("OUTCOME_UNKNOWN", `${why}; it may have committed, or may still do so`, { cause });
  }
}

const LOST = "the connection was lost at COMMIT, and the database does not say what became of the transaction";
const CRASHED = "the connection was lost at COMMIT, and the database has crashed or another one has taken over";
/**
 * Names a life of the server, from one crash to the next. A crash loses the numbers of transactions that had written
 * nothing to the disk, and gives them to others: a number says what became of a transaction only in the life in which
 * it was drawn (seen in PostgreSQL 15: 5 of 7,651 transactions in 12 crashes). The statistics begin anew with each
 * life, not at an orderly restart; a replica has its own.
 */
const LIFE = "coalesce(pg_stat_get_bgwriter_stat_reset_time()::text, '')";
/** Names the connection and the transaction of a statement. */
const WHERE =
  "SELECT pg_backend_pid()::text || ' ' || now()::text AS place, pg_current_xact_id_if_assigned()::text AS xid";
/** Names the connection, the transaction and the life of the server in which it began. */
const BEGAN = `${WHERE}, ${LIFE} AS life`;
/** Maximum number of runs of a transaction. */
const MOST_RUNS = 20;
const FIRST_PAUSE = 2; // ms
const LONGEST_PAUSE = 200; // ms
const STATUS_PAUSE = 250; // ms

/**
 * How Catga reaches a database of the program: an interface of a few functions over the program's own driver or ORM,
 * so that no driver is a dependency. `adapters.ts` has it for six drivers.
 */
import type { MaybePromise } from "../contract/schemas/schema.ts";

/** A row of a result: its columns by their names. */
export type SqlRow = Readonly<Record<string, unknown>>;

/**
 * A database, over a driver or an ORM. `Tx`: a transaction of it.
 *
 * All parameters are texts or `null`, and the statements cast them, because drivers disagree about arrays, JSON and
 * large numbers. In PostgreSQL they are `$1`, `$2`, …; in SQLite `?1`, `?2`, ….
 */
export interface SqlDatabase<Tx> {
  /** The language of the statements. */
  readonly dialect: "postgres" | "sqlite";
  /**
   * Runs one statement, in a transaction or, without `tx`, on a connection of its own, and returns its rows. SQLite:
   * without a promise.
   */
  run(tx: Tx | undefined, text: string, params: readonly (string | null)[]): MaybePromise<readonly SqlRow[]>;
  /**
   * Runs `fn` in a transaction: commits when `fn` has returned; rolls back and rethrows when it threw. Must reject if
   * the server answered COMMIT by a rollback, as it does after an error that `fn` has caught. SQLite: `fn` does not
   * await, because the connection is shared; the transaction begins as a writer (`BEGIN IMMEDIATE`).
   */
  transaction<T>(fn: (tx: Tx) => MaybePromise<T>): MaybePromise<T>;
  /**
   * True if the driver may report a commit that never happened, or run statements of a lost transaction on another
   * connection: then Catga asks the server after each commit. Default: `false`.
   */
  readonly guard?: boolean | undefined;
}

/** Runs the statements that a generator yields, one after the other: at once if none of them gives a promise. */
export function inTurn<T>(steps: Generator<MaybePromise<readonly SqlRow[]>, T, readonly SqlRow[]>): MaybePromise<T> {
  const go = (rows: readonly SqlRow[]): MaybePromise<T> => {
    let given = rows;
    for (;;) {
      const { done, value } = steps.next(given);
      if (done) return value;
      if (value instanceof Promise) {
        return value.then(go, (error) => {
          steps.throw(error);
          throw error;
        });
      }
      given = value;
    }
  };
  return go([]);
}

/** Returns a name as it stands quoted in a statement. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * A table that follows the log: it is a function applied to the events of one contract, each once, in the order of
 * their positions. The position is in the transaction of the rows, so that both move together, or not at all; one node
 * at a time moves them.
 */
import type { FollowedEvent } from "../contract/calls/durable_messages.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { StoreHost } from "../contract/nodes/attached_store.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import { CatgaError } from "../error.ts";
import { delay, doubled } from "../ports/clock.ts";
import type { SqlDatabase } from "./database.ts";
import type { Out } from "./out.ts";
import type { TableNames } from "./tables.ts";
import type { Transactions } from "./transactions.ts";

/** A table that a node keeps: `apply` changes it for these events. */
export interface ProjectionOptions<Tx> {
  readonly name: string;
  readonly event: AnyContract;
  readonly apply: (events: readonly FollowedEvent<unknown>[], tx: Tx) => MaybePromise<unknown>;
  /** Maximum number of events in one transaction. */
  readonly max: number;
  readonly db: SqlDatabase<Tx>;
  readonly names: TableNames;
  readonly transactions: Transactions<Tx>;
  readonly makeOut: () => Out;
}

/** Keeps a table while its node leads it. */
export class Projection<Tx> {
  readonly #options: ProjectionOptions<Tx>;

  constructor(options: ProjectionOptions<Tx>) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Follows the log until the signal aborts. Never rejects. */
  async keep(host: StoreHost, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      const began = host.clock.monotonic();
      try {
        await this.#follow(host, signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        host.fault(`keeping the table ${this.name}`, error);
        if (host.clock.monotonic() - began > LONGEST_PAUSE) failures = 0;
        await delay(host.clock, doubled(failures++, FIRST_PAUSE, LONGEST_PAUSE), signal).catch(() => {});
      }
    }
  }

  /** Reads the position in the database: 0 before the first event, and after a rebuild has begun. */
  async position(): Promise<number> {
    const { db, names: { position }, name } = this.#options;
    const text = db.dialect === "postgres"
      ? `SELECT position::text AS position FROM ${position} WHERE name = $1::text`
      : `SELECT position FROM ${position} WHERE name = ?1`;
    const [row] = await db.run(undefined, text, [name]);
    return row === undefined ? 0 : Number(row.position);
  }

  /**
   * Begins anew, in a transaction that then empties the table: what applies events at this moment has the position's
   * lock, and its rows are there when that is free.
   */
  rebuild(tx: Tx): MaybePromise<void> {
    const { db, names: { position }, name } = this.#options;
    const where = db.dialect === "postgres" ? "$1::text" : "?1";
    return andThen(db.run(tx, `DELETE FROM ${position} WHERE name = ${where}`, [name]), () => undefined);
  }

  /** Follows until the signal aborts, or the position is another one than this process has left. */
  async #follow(host: StoreHost, signal: AbortSignal): Promise<void> {
    const { event, max } = this.#options;
    let at = await this.position();
    const over = new AbortController();
    const events = host.follow(event, {
      from: at === 0 ? "start" : at,
      signal: AbortSignal.any([signal, over.signal]),
    });
    const ask = () => {
      const next = events.next();
      next.catch(() => {}); // what comes before it may still be applied: its error is thrown when it is the first
      return next;
    };
    try {
      let next = ask();
      let keptAt = host.clock.monotonic();
      /** Returns false if another process, or a rebuild, has moved the position. */
      const look = async (): Promise<boolean> => {
        if (await this.position() !== at) return false;
        const { position: passed = 0 } = events;
        if (passed <= at || host.clock.monotonic() - keptAt < KEEP) return true;
        // an event that the follower has given moves its position, too
        if (await soonOr(host, next) !== undefined) return true;
        if (!await this.#pass({ from: at, to: passed })) return false;
        at = passed;
        keptAt = host.clock.monotonic();
        return true;
      };
      while (true) {
        const first = await this.#firstOr(host, next, look);
        if (first === "moved" || first.done) return;
        const got = [first.value];
        next = ask();
        while (got.length < max) {
          const more = await soonOr(host, next.catch(() => undefined));
          if (more === undefined || more.done) break;
          got.push(more.value);
          next = ask();
        }
        const to = got[got.length - 1].position;
        if (!await this.#apply(got, { from: at, to }, signal)) return;
        at = to;
      }
    } finally {
      over.abort();
    }
  }

  /** Waits for an event; `look`: called now and then, false if the position has moved. */
  async #firstOr<T>(host: StoreHost, next: Promise<T>, look: () => Promise<boolean>): Promise<T | "moved"> {
    while (true) {
      const { promise: looked, resolve } = Promise.withResolvers<undefined>();
      const timer = host.clock.after(LOOK, () => resolve(undefined), { background: true });
      const first = await Promise.race([next, looked]);
      timer.cancel();
      if (first !== undefined) return first;
      if (!await look()) return "moved";
    }
  }

  /**
   * Moves the position over events of other contracts; false: it was another one. A position that stands still while no
   * event comes would soon be older than the log keeps events, and nobody could say what has expired behind it.
   */
  async #pass(move: Move): Promise<boolean> {
    const { text, params } = this.#moving(move);
    return (await this.#options.db.run(undefined, text, params)).length > 0;
  }

  /** Applies events and moves the position, in one transaction; false: the position was another one. */
  async #apply(
    events: readonly FollowedEvent<unknown>[],
    move: Move,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { db, apply, transactions, makeOut } = this.#options;
    const { text, params } = this.#moving(move);
    try {
      await transactions.run(
        makeOut,
        (tx) =>
          andThen(db.run(tx, text, params), (rows) => {
            if (rows.length === 0) throw new Moved();
            return andThen(apply(events, tx), () => undefined);
          }),
        { signal, isRepeatable: true },
      );
      return true;
    } catch (error) {
      if (error instanceof Moved) return false;
      throw error;
    }
  }

  /** Returns the statement that moves the position, and returns no row if it is another one. */
  #moving({ from, to }: Move): { readonly text: string; readonly params: readonly string[] } {
    const { db, names: { position }, name } = this.#options;
    const [moved, begun] = db.dialect === "postgres"
      ? [
        `UPDATE ${position} SET position = $3::text::bigint WHERE name = $1::text AND position = $2::text::bigint ` +
        `RETURNING 1 AS moved`,
        `INSERT INTO ${position} (name, position) SELECT $1::text, $3::text::bigint WHERE $2::text = '0' ` +
        `ON CONFLICT DO NOTHING RETURNING 1 AS moved`,
      ]
      : [
        `UPDATE ${position} SET position = CAST(?3 AS INTEGER) WHERE name = ?1 AND position = CAST(?2 AS INTEGER) ` +
        `RETURNING 1 AS moved`,
        `INSERT INTO ${position} (name, position) SELECT ?1, CAST(?3 AS INTEGER) WHERE ?2 = '0' ` +
        `ON CONFLICT DO NOTHING RETURNING 1 AS moved`,
      ];
    return { text: from === 0 ? begun : moved, params: [name, String(from), String(to)] };
  }
}

/** A move of a table's position in the log. */
interface Move {
  readonly from: number;
  readonly to: number;
}

/** Resolves as the promise does, or with `undefined` in a later turn of the event loop. */
function soonOr<T>(host: StoreHost, promise: Promise<T>): Promise<T | undefined> {
  return Promise.race([promise, new Promise<undefined>((resolve) => host.clock.soon(() => resolve(undefined)))]);
}

/** Rolls a transaction back because another process, or a rebuild, has moved the position. */
class Moved extends CatgaError {
  constructor() {
    super("CONFLICT", "the position of the table was moved");
  }
}

/** Interval at which the position is read while no event comes, in ms. */
const LOOK = 1_000;
/** Interval at which the position is moved over events of other contracts, in ms: less than the least `keep`. */
const KEEP = 60_000;
/** First pause after an error, in ms. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000; // ms

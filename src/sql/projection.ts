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

  /** Begins anew, in a transaction that also empties the table. */
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
    try {
      let next = events.next();
      while (true) {
        const first = await this.#firstOr(host, next, async () => await this.position() !== at);
        if (first === "moved" || first.done) return;
        const got = [first.value];
        next = events.next();
        while (got.length < max) {
          const more = await Promise.race([
            next,
            new Promise<undefined>((resolve) => host.clock.soon(() => resolve(undefined))),
          ]);
          if (more === undefined || more.done) break;
          got.push(more.value);
          next = events.next();
        }
        const to = got[got.length - 1].position;
        if (!await this.#apply(got, { from: at, to }, signal)) return;
        at = to;
      }
    } finally {
      over.abort();
    }
  }

  /** Waits for an event; looks now and then whether another process, or a rebuild, has moved the position. */
  async #firstOr<T>(host: StoreHost, next: Promise<T>, hasMoved: () => Promise<boolean>): Promise<T | "moved"> {
    next.catch(() => {}); // it is raced: its error is thrown below, or the follower is ended
    while (true) {
      const { promise: looked, resolve } = Promise.withResolvers<undefined>();
      const timer = host.clock.after(LOOK, () => resolve(undefined), { background: true });
      const first = await Promise.race([next, looked]);
      timer.cancel();
      if (first !== undefined) return first;
      if (await hasMoved()) return "moved";
    }
  }

  /** Applies events and moves the position, in one transaction; false: the position was another one. */
  async #apply(
    events: readonly FollowedEvent<unknown>[],
    { from, to }: { readonly from: number; readonly to: number },
    signal: AbortSignal,
  ): Promise<boolean> {
    const { db, names: { position }, name, apply, transactions, makeOut } = this.#options;
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
    try {
      await transactions.run(
        makeOut,
        (tx) =>
          andThen(db.run(tx, from === 0 ? begun : moved, [name, String(from), String(to)]), (rows) => {
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
}

/** Rolls a transaction back because another process, or a rebuild, has moved the position. */
class Moved extends CatgaError {
  constructor() {
    super("CONFLICT", "the position of the table was moved");
  }
}

/** Interval at which the position is read while no event comes, in ms. */
const LOOK = 1_000;
/** First pause after an error, in ms. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000; // ms

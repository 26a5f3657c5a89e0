/**
 * Effects that happen once: the id of an effect is recorded in the transaction of the effect, so that both are there or
 * neither. A later run finds the id, does nothing, and returns what the first one returned.
 */
import type { Context } from "../contract/calls/context.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Batch } from "../contract/declaration/handler.ts";
import { fail, type Failure, isFailure } from "../contract/calls/result.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import { byteLength } from "../data/utf8.ts";
import { CatgaError } from "../error.ts";
import { keepOf } from "../log/format/logged_message.ts";
import { inTurn, type SqlDatabase, type SqlRow } from "./database.ts";
import type { Out } from "./out.ts";
import type { TableNames } from "./tables.ts";

/** A function of an effect: what it returns is recorded; a returned `fail(…)` takes the effect back. */
export type Effect<Tx, T> = (tx: Tx, out: Out) => MaybePromise<T>;

/** Records ids of effects in the table `done`. */
export class Effects<Tx> {
  readonly #db: SqlDatabase<Tx>;
  readonly #look: string;
  readonly #lookAll: string;
  readonly #note: string;

  constructor(db: SqlDatabase<Tx>, { done }: TableNames) {
    this.#db = db;
    if (db.dialect === "postgres") {
      this.#look = `SELECT result FROM ${done} WHERE scope = $1::text AND id = $2::text`;
      this.#lookAll = `SELECT id FROM ${done} WHERE scope = $1::text ` +
        `AND id IN (SELECT jsonb_array_elements_text($2::text::jsonb))`;
      this.#note = `INSERT INTO ${done} (scope, id, result, until) SELECT $1::text, value, $3::text, ` +
        `clock_timestamp() + $4::text::float8 * interval '1 ms' FROM jsonb_array_elements_text($2::text::jsonb) AS m (value)`;
    } else {
      this.#look = `SELECT result FROM ${done} WHERE scope = ?1 AND id = ?2`;
      this.#lookAll = `SELECT id FROM ${done} WHERE scope = ?1 AND id IN (SELECT value FROM json_each(?2))`;
      this.#note = `INSERT INTO ${done} (scope, id, result, until) SELECT ?1, value, ?3, ` +
        `unixepoch('subsec') * 1000 + CAST(?4 AS REAL) FROM json_each(?2)`;
    }
  }

  /** Runs an effect in a transaction, unless its id is recorded. `keep`: how long the id is kept, in ms. */
  once<T>(tx: Tx, { scope, id, keep }: EffectId, effect: () => MaybePromise<T>): MaybePromise<T> {
    return andThen(this.#db.run(tx, this.#look, [scope, id]), ([row]) => {
      if (row !== undefined) return readResult(row) as T; // a run of this function has recorded it
      return andThen(effect(), (value) => {
        if (isFailure(value)) throw new TakenBack(value);
        // before COMMIT: a result that can be recorded nowhere would have the effect again and again
        const text = value === undefined ? null : recordable(value);
        return andThen(this.#db.run(tx, this.#note, [scope, JSON.stringify([id]), text, keptFor(keep)]), () => value);
      });
    });
  }

  /** Runs an effect of those of these ids that are not recorded, and records them. */
  onceAll(
    tx: Tx,
    { scope, ids, keep }: { readonly scope: string; readonly ids: readonly string[]; readonly keep: number },
    effect: (fresh: ReadonlySet<string>) => MaybePromise<unknown>,
  ): MaybePromise<unknown> {
    const db = this.#db;
    const [lookAll, note] = [this.#lookAll, this.#note];
    return andThen(db.run(tx, lookAll, [scope, JSON.stringify(ids)]), (rows) => {
      const known = new Set(rows.map(({ id }) => id));
      const fresh = new Set(ids.filter((id) => !known.has(id)));
      if (fresh.size === 0) return undefined;
      return andThen(effect(fresh), (value) => {
        if (isFailure(value)) throw new TakenBack(value);
        const params = [scope, JSON.stringify([...fresh]), null, keptFor(keep)];
        return inTurn((function* (): Generator<MaybePromise<readonly SqlRow[]>, unknown, readonly SqlRow[]> {
          yield db.run(tx, note, params);
          return value;
        })());
      });
    });
  }
}

/** Identity of an effect; `keep`: how long it is remembered, in ms. */
export interface EffectId {
  readonly scope: string;
  readonly id: string;
  readonly keep: number;
}

/** Rolls a transaction back because its function returned a failure, which the caller gets. */
export class TakenBack extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super("the function returned a failure");
    this.failure = failure;
  }
}

/** Returns the scope of the ids of a handler: what else may have an effect under the same id has another one. */
export function scopeOf(ctx: Context): string {
  const { subscription } = ctx;
  const { kind, name, options } = contractOf(ctx);
  // a queued command has one handler, which also gets the command when it is sent
  if (kind === "command" && (options.durable || options.idempotent)) return `command ${name}`;
  if (kind === "event" && subscription !== undefined) return `event ${subscription} ${name}`;
  throw new TypeError(
    `${name}: store.handler is for a durable event with each: "service", or for a durable or idempotent command; ` +
      "another one may run again under another id, so that no id tells its effect: use store.transaction",
  );
}

/** Returns for how long ids of a handler's messages are kept, in ms: as long as they may come again. */
export function keptOf(ctx: Context, least: number): number {
  const contract = contractOf(ctx);
  return contract.options.durable ? Math.max(least, keepOf(contract)) : least;
}

/**
 * Returns the failure of a message of the log whose id may have been forgotten, as of a dead letter that is replayed
 * after a long time: nobody knows whether it has had its effect. `undefined`: its id is remembered if it has had it.
 */
export function forgotten(stored: Date | undefined, now: number, keep: number): Failure | undefined {
  if (stored === undefined || now - stored.getTime() < keep) return undefined;
  const why = `the message was stored ${stored.toISOString()}, and ids of effects are kept for ${keep / DAY} days`;
  const advice =
    "look in your tables whether it has had its effect; then discard it, or replay it with a longer keep " +
    "of sqlStore";
  return fail("ID_FORGOTTEN", `${why}: ${advice}`, { final: true });
}

/** Returns the contract of the message that a handler handles. */
function contractOf(ctx: Context): AnyContract {
  const { contract } = ctx as Context & { readonly contract?: AnyContract }; // contexts of running apps have it
  if (contract !== undefined) return contract;
  throw new TypeError("store.handler runs in an app: its context has no contract");
}

/** Returns the members of a batch that have had no effect, each id once. */
export function freshMembers<In>(batch: Batch<In>, fresh: ReadonlySet<string>): Batch<In> {
  const left = new Set(fresh);
  const members = batch.filter(({ id }) => left.delete(id));
  return Object.assign(members, { fail: batch.fail.bind(batch) }) as Batch<In>;
}

function readResult({ result }: SqlRow): unknown {
  return result === null ? undefined : decodeText(result as string); // the column has this type
}

function recordable(value: unknown): string {
  const text = encodeValue(value, "the result");
  const size = byteLength(text);
  if (size <= MAX_RESULT) return text;
  throw new CatgaError(
    "TOO_LARGE",
    `the result has ${size} bytes, and ${MAX_RESULT} can be recorded: return a reference`,
  );
}

const DAY = 86_400_000; // ms

function keptFor(keep: number): string | null {
  return keep === Infinity ? null : String(keep);
}

/** Maximum size of a recorded result, in bytes: what a message or a step may have by default. */
const MAX_RESULT = 900_000;

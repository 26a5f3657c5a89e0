/**
 * A database of the program, and what Catga does in its transactions: messages that are published if and only if the
 * transaction commits (outbox), effects that happen once for each id (inbox), and tables that follow the log.
 */
import type {
  AttachedStore,
  EndedTransaction,
  StoreAttachment,
  StoreBody,
  StoreHost,
} from "../contract/nodes/attached_store.ts";
import type { Context } from "../contract/calls/context.ts";
import type { FollowedEvent } from "../contract/calls/durable_messages.ts";
import type { AnyContract, DurableContract } from "../contract/declaration/contract.ts";
import { checkContract, event } from "../contract/declaration/definition.ts";
import type { StepStore } from "../contract/calls/flow.ts";
import type { Batch, Handler } from "../contract/declaration/handler.ts";
import type { Failure } from "../contract/calls/result.ts";
import { INHERITED_HEADERS } from "../contract/calls/send_options.ts";
import { ContractShapes } from "../contract/schemas/shape.ts";
import { andThen, type MaybePromise } from "../contract/schemas/schema.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  checkString,
  checkToken,
  MAX_TIMEOUT,
  TEN_YEARS,
} from "../data/checks.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { systemClock, systemRandom, type Timer } from "../ports/clock.ts";
import { inTurn, type SqlDatabase, type SqlRow } from "./database.ts";
import { type Effect, Effects, forgotten, freshMembers, keptOf, scopeOf, TakenBack } from "./effects.ts";
import { isMissingTable, isOutage } from "./failures.ts";
import { COLLECTED, EFFECTS, Out, type OutParent, SPENT } from "./out.ts";
import { Projection } from "./projection.ts";
import { Relay } from "./relay.ts";
import type { RecordedKind } from "./relay_plan.ts";
import { relayTable } from "./relay_table.ts";
import { type TableNames, tableNames, TABLES_VERSION, tableStatements } from "./tables.ts";
import { Transactions, type TransactionTools } from "./transactions.ts";

/** Options of {@link sqlStore}. */
export interface SqlStoreOptions {
  /**
   * Schema of the tables in PostgreSQL, prefix of their names in SQLite: a letter or `_`, then up to 47 letters, digits
   * and `_`. Default: `"catga"`.
   */
  schema?: string | undefined;
  /** The name of the store, unique in its namespace: 1 to 64 letters, digits, `-` and `_`. Default: `"main"`. */
  name?: string | undefined;
  /**
   * False: no lock is taken for the key of an event, so that transactions with one key commit side by side; then events
   * of a key may be published in another order than that of their commits. SQLite always keeps the order. Default:
   * true.
   */
  order?: boolean | undefined;
  /**
   * Time that the server may take to say what became of a commit, in ms; a transaction that has not ended after twice
   * that, from its begin on, is not waited for. Default: 30,000.
   */
  timeout?: number | undefined;
  /**
   * How long the ids of effects are kept, in ms. Ids of events that the log keeps longer are kept as long as the log
   * keeps them. An older message, as a dead letter that is replayed later, is refused with `ID_FORGOTTEN`. Default: 30
   * days.
   */
  keep?: number | undefined;
  /** Longest pause between two looks at the outbox, in ms: commits of other processes usually end it. Default: 250. */
  poll?: number | undefined;
}

/** How a store's outbox stands. */
export interface OutboxBacklog {
  /** Number of rows that are not published yet. */
  readonly rows: number;
  /** Age of the oldest of them, in ms; 0: there is none. */
  readonly oldest: number;
  /** Number of rows that can never be published, and were set aside: their column `refused` says why. */
  readonly refused: number;
}

/** Rows of an outbox that are stored in their order: messages of one contract and key, or what concerns a run. */
export interface OutboxLane {
  /** Events, queued commands, or the start and the signals of a run. */
  readonly kind: "event" | "command" | "run";
  /** Name of the contract or workflow. */
  readonly contract: string;
  /** Key of the messages, or id of the run; `undefined`: messages without a key, which have no order. */
  readonly key: string | undefined;
  /** Number of rows that are not published yet. */
  readonly rows: number;
  /** Age of the oldest of them, in ms. */
  readonly oldest: number;
  /** Why the last attempt to store its first row failed; known in the process that relays. `undefined`: none failed. */
  readonly why: string | undefined;
}

/** A row of an outbox that the log can never take, and that was set aside: an operator mends or deletes it. */
export interface RefusedRow {
  /** Number of the row in the table. */
  readonly n: string;
  /** An event, a queued command, or the start or signal of a run. */
  readonly kind: RecordedKind;
  /** Name of the contract or workflow. */
  readonly contract: string;
  /** Key of the message, or id of the run; `undefined`: none. */
  readonly key: string | undefined;
  /** Id of the message, or of the start or signal. */
  readonly id: string;
  /** Recorded text: the JSON of `[payload, key, id]` of an event or command, of the payload of a start or signal. */
  readonly body: string;
  /** Time at which it was recorded, in ms since 1970. */
  readonly at: number;
  /** Code and message of the refusal. */
  readonly why: string;
  /**
   * Has it published, as it stands in the table now; later rows of its key may have been published before. False: it
   * was no longer set aside.
   */
  retry(): Promise<boolean>;
  /** Deletes it, so that it is never published. False: it was no longer set aside. */
  discard(): Promise<boolean>;
}

/** A handler of a message, with the transaction of its effect. */
export type StoreHandler<Tx, In, Returned> = (
  payload: In,
  ctx: Context,
  tx: Tx,
  out: Out,
) => MaybePromise<Returned>;

/**
 * Makes the store of a database. It opens nothing. Throws a `TypeError` or `RangeError` for an invalid option.
 *
 * @example
 * ```ts
 * import { DatabaseSync } from "node:sqlite";
 * import { catga, event } from "@catga/catga";
 * import { nodeSqlite, sqlStore } from "@catga/catga/sql";
 *
 * const Booked = event<{ room: string }>("Booked", { durable: true, key: ({ room }) => room });
 * const db = new DatabaseSync(":memory:");
 * const store = sqlStore(nodeSqlite(db));
 * await store.migrate();
 * db.exec("CREATE TABLE booking (room TEXT)");
 * const told = Promise.withResolvers<string>();
 * await using app = await catga({ sql: [store], handlers: Booked.on(({ room }) => told.resolve(room)) });
 * await store.transaction((tx, out) => {
 *   tx.prepare("INSERT INTO booking VALUES (?)").run("7");
 *   out.publish(Booked, { room: "7" });
 * });
 * console.log(await told.promise); // 7
 * ```
 */
export function sqlStore<Tx>(database: SqlDatabase<Tx>, options: SqlStoreOptions = {}): SqlStore<Tx> {
  return new SqlStore(database, options);
}

/**
 * A database of the program, made by {@link sqlStore}; give it to `catga({ sql: [store] })`.
 *
 * @example
 * ```ts ignore
 * await store.transaction(async (tx, out) => {
 *   await tx.query("INSERT INTO booking VALUES ($1)", [room]);
 *   out.publish(Booked, { room });
 * });
 * ```
 */
export class SqlStore<Tx> implements AttachedStore, StepStore<Tx, Out> {
  /** Internal: what a node uses of the store. */
  readonly "~store": object;
  readonly #db: SqlDatabase<Tx>;
  readonly #names: TableNames;
  readonly #schema: string;
  readonly #name: string;
  readonly #keep: number;
  readonly #poll: number | undefined;
  readonly #transactions: Transactions<Tx>;
  readonly #effects: Effects<Tx>;
  readonly #shapes = new ContractShapes();
  /** By node of this process: its interface, and its part in the relay. */
  readonly #attached = new Set<{ readonly host: StoreHost; readonly relay: Relay }>();
  /** By node (its signal of the drain) and scope: the handler that has effects there. */
  readonly #handlers = new WeakMap<AbortSignal, Map<string, unknown>>();
  readonly #projections: Projection<Tx>[] = [];
  #hint: Timer | undefined;
  readonly #observers = new Set<() => (transaction: EndedTransaction) => void>();

  /** Use {@link sqlStore}. */
  constructor(database: SqlDatabase<Tx>, options: SqlStoreOptions) {
    checkKnown("sqlStore", options, OPTIONS);
    const { schema = "catga", name = "main", order = true, timeout = 30_000, keep = 30 * DAY, poll } = options;
    checkString("sqlStore: schema", schema);
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,47}$/.test(schema)) {
      throw new RangeError(`sqlStore: schema must be 1 to 48 letters, digits and _; got ${JSON.stringify(schema)}`);
    }
    checkToken("sqlStore: name", name);
    checkBoolean("sqlStore: order", order);
    checkNumber("sqlStore: timeout", timeout, 1, MAX_TIMEOUT, "ms");
    checkNumber("sqlStore: keep", keep, DAY, TEN_YEARS, "ms");
    if (poll !== undefined) checkNumber("sqlStore: poll", poll, 1, MAX_TIMEOUT, "ms");
    this.#db = database;
    this.#schema = schema;
    this.#name = name;
    this.#keep = keep;
    this.#poll = poll;
    const names = this.#names = tableNames(database.dialect, schema);
    this.#effects = new Effects(database, names);
    this.#transactions = new Transactions({
      ...{ db: database, names, schema, timeout },
      ordered: order,
      onCommit: () => this.wake(),
      tools: () => this.#tools,
      onBegin: () => {
        if (this.#observers.size === 0) return undefined;
        const observers = [...this.#observers].map((begun) => begun());
        const ordered = order || database.dialect === "sqlite";
        return (out, outcome) => {
          const transaction = { outcome, ordered, recorded: out[COLLECTED], effects: out[EFFECTS] };
          for (const ended of observers) ended(transaction);
        };
      },
    });
    const body: StoreBody = {
      name,
      handlers: this.#wokenBy(),
      attach: (host) => this.#attach(host),
      observe: (observer) => void this.#observers.add(observer),
      left: async () => (await this.backlog()).rows,
    };
    this["~store"] = body;
  }

  // The tables.

  /**
   * The statements that make the tables, for a migration tool of the program; each does nothing if its table is there.
   */
  tables(): string[] {
    return tableStatements(this.#db.dialect, this.#schema);
  }

  /** Makes the tables, if they are missing. Several processes may call it at once. */
  async migrate(): Promise<void> {
    const { run, dialect } = this.#db;
    const statements = this.tables();
    await this.#db.transaction((tx) =>
      inTurn((function* (): Generator<MaybePromise<readonly SqlRow[]>, void, readonly SqlRow[]> {
        if (dialect === "postgres") {
          yield run(tx, "SELECT pg_advisory_xact_lock(hashtextextended('catga.migrate', 0))::text AS locked", []);
        }
        for (const statement of statements) yield run(tx, statement, []);
      })())
    );
  }

  // The outbox.

  /**
   * Runs `fn` in a transaction; what it has collected in `out` is published if, and only if, the transaction commits. A
   * serialization failure, a deadlock and a busy SQLite run `fn` again. Resolves only when the server has committed.
   * Rejects with what `fn` threw; with `UNAVAILABLE` if the database is away; with `OUTCOME_UNKNOWN` if it is away
   * since COMMIT, or if the transaction does not end in twice the store's `timeout`.
   */
  async transaction<T>(fn: (tx: Tx, out: Out) => MaybePromise<T>): Promise<T> {
    return await this.#transactions.run(() => this.out(), fn);
  }

  /** Makes a collector for a transaction that the program has begun; {@link SqlStore.write} writes it. */
  out(): Out {
    return new Out(this.#shapes, this.#tools.random);
  }

  /**
   * Writes what was collected, in a transaction that the program has begun. It must be the last statement before
   * COMMIT: it holds the locks of the keys. SQLite: without a promise. Call {@link SqlStore.wake} after COMMIT to have
   * it published sooner. It empties `out`: if you run a transaction again, collect again; an `out` that has nothing
   * left is a `TypeError`.
   */
  write(tx: Tx, out: Out): MaybePromise<void> {
    if (out[SPENT]) {
      throw new TypeError("store.write: it was written already; if that was rolled back, collect it again");
    }
    return andThen(this.#transactions.write(tx, out), () => undefined);
  }

  /** Has the relay, wherever it runs, look at the outbox at once. Does nothing if no node of this process serves it. */
  wake(): void {
    for (const { relay } of this.#attached) relay.wake();
    const [attached] = this.#attached;
    // commits that follow each other share a message; if the relay is in this process, none is needed
    if (attached === undefined || this.#hint !== undefined || attached.relay.health.leads) return;
    this.#hint = attached.host.clock.after(HINT, () => {
      this.#hint = undefined;
      const { host } = [...this.#attached].find(({ host }) => host === attached.host) ?? {};
      if (host === undefined) return;
      // it is a hint: the relay looks by itself, too
      host.publish(WOKEN, this.#name).catch((error) => host.fault("waking the relay of an outbox", error));
    }, { background: true });
  }

  /** Asks the database how the outbox stands. */
  async backlog(): Promise<OutboxBacklog> {
    const { outbox } = this.#names;
    const [row] = await this.#db.run(
      undefined,
      this.#db.dialect === "postgres"
        ? `SELECT count(*) FILTER (WHERE refused IS NULL)::text AS rows, count(refused)::text AS refused, ` +
          `(extract(epoch FROM clock_timestamp() - min(at) FILTER (WHERE refused IS NULL)) * 1000)::text AS oldest ` +
          `FROM ${outbox}`
        : `SELECT count(*) - count(refused) AS rows, count(refused) AS refused, ` +
          `unixepoch('subsec') * 1000 - min(CASE WHEN refused IS NULL THEN at END) AS oldest FROM ${outbox}`,
      [],
    );
    return { rows: Number(row.rows), oldest: Math.max(0, Number(row.oldest ?? 0)), refused: Number(row.refused) };
  }

  /** The name of the store. */
  get name(): string {
    return this.#name;
  }

  /** Asks the database what waits in the outbox, the oldest first. `max`: number of lanes at most. Default: 1,000. */
  async lanes({ max = 1_000 }: { max?: number | undefined } = {}): Promise<OutboxLane[]> {
    checkInteger("store.lanes: max", max, 1, 100_000);
    const { outbox } = this.#names;
    const [rows, age, limit] = this.#db.dialect === "postgres"
      ? ["count(*)::text", "(extract(epoch FROM clock_timestamp() - min(at)) * 1000)::text", "$1::text::int"]
      : ["count(*)", "unixepoch('subsec') * 1000 - min(at)", "CAST(?1 AS INTEGER)"];
    const lane = "CASE WHEN kind IN ('start', 'tell') THEN 'run' ELSE kind END";
    const found = await this.#db.run(
      undefined,
      `SELECT ${lane} AS lane, contract, key, ${rows} AS count, ${age} AS age FROM ${outbox} WHERE refused IS NULL ` +
        `GROUP BY ${lane}, contract, key ORDER BY min(n) LIMIT ${limit}`,
      [String(max)],
    );
    return found.map(({ lane, contract, key, count, age }) => {
      // the columns have these types
      const row = { kind: lane, contract, key } as Pick<OutboxLane, "kind" | "contract"> & {
        readonly key: string | null;
      };
      const whys = [...this.#attached].map(({ relay }) =>
        relay.why({ ...row, kind: row.kind === "run" ? "start" : row.kind })
      );
      return {
        ...{ ...row, key: row.key ?? undefined, rows: Number(count), oldest: Math.max(0, Number(age)) },
        why: whys.find((why) => why !== undefined),
      };
    });
  }

  /** The rows that were set aside, the oldest first, each with what an operator can do about it. */
  async *refused(): AsyncIterableIterator<RefusedRow> {
    const { outbox } = this.#names;
    const [number, time, next, limit] = this.#db.dialect === "postgres"
      ? ["n::text", "(extract(epoch FROM at) * 1000)::text", "$1::text::bigint", "$2::text::int"]
      : ["CAST(n AS TEXT)", "at", "CAST(?1 AS INTEGER)", "CAST(?2 AS INTEGER)"];
    for (let after = "0";;) {
      const rows = await this.#db.run(
        undefined,
        `SELECT ${number} AS number, kind, contract, key, id, body, ${time} AS time, refused FROM ${outbox} ` +
          `WHERE refused IS NOT NULL AND n > ${next} ORDER BY ${outbox}.n LIMIT ${limit}`,
        [after, String(REFUSED_AT_ONCE)],
      );
      for (const { number, kind, contract, key, id, body, time, refused } of rows) {
        const n = after = number as string;
        yield {
          // the columns have these types
          ...{ n, kind, contract, id, body } as Pick<RefusedRow, "n" | "kind" | "contract" | "id" | "body">,
          key: key as string | null ?? undefined,
          at: Math.floor(Number(time)),
          why: refused as string,
          retry: async () => {
            const isChanged = await this.#changeRefused(`UPDATE ${outbox} SET refused = NULL`, n);
            this.wake();
            return isChanged;
          },
          discard: () => this.#changeRefused(`DELETE FROM ${outbox}`, n),
        };
      }
      if (rows.length < REFUSED_AT_ONCE) return;
    }
  }

  /** Changes a row that is set aside; false: it no longer is. */
  async #changeRefused(statement: string, n: string): Promise<boolean> {
    const number = this.#db.dialect === "postgres" ? "$1::text::bigint" : "CAST(?1 AS INTEGER)";
    const text = `${statement} WHERE n = ${number} AND refused IS NOT NULL RETURNING 1 AS changed`;
    return (await this.#db.run(undefined, text, [n])).length > 0;
  }

  /**
   * Goes on with a database that is older than what was published from it (`health().sql`, alarm `outbox-halted`). Call
   * it in a process whose `catga()` has the store.
   */
  async resume(): Promise<void> {
    const [attached] = this.#attached;
    if (attached === undefined) {
      throw new CatgaError("CLOSED", `no node of this process serves the store ${this.#name}`);
    }
    const { log } = attached.host;
    await this.#relayTable().resume(await log.mark(this.#name));
    await log.forgetMark(this.#name);
    for (const { relay } of this.#attached) relay.forget();
  }

  // The inbox.

  /**
   * Runs an effect in a transaction, once for each id of a scope: a later call does nothing, and resolves with what the
   * first one returned. The result must be a value that Catga can encode, 900,000 bytes at most. A returned `fail(…)`
   * takes the effect back, and is not recorded. Rejects like {@link SqlStore.transaction}: after a rejection with a
   * `CatgaError` call it again.
   */
  async once<T>(
    scope: string,
    id: string,
    fn: Effect<Tx, T>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    checkString("store.once: scope", scope);
    checkString("store.once: id", id);
    return await this.#once({ scope, id, keep: this.#keep }, fn, undefined, options.signal);
  }

  /** Internal: the effect of a step of a workflow; `flow.transaction` calls it. */
  "~step"<T>(id: string, fn: Effect<Tx, T>, signal: AbortSignal): Promise<T> {
    return this.#once({ scope: "flow", id, keep: this.#keep }, fn, undefined, signal);
  }

  /**
   * Makes a handler of a durable event, or of a durable or idempotent command, whose effect happens once for each
   * message, in a transaction: `Sold.on(store.handler(async (payload, ctx, tx, out) => …), { name: "stock" })`. What it
   * collects in `out` is published with the effect. A returned `fail(…)` takes the effect back.
   */
  handler<In, Returned>(fn: StoreHandler<Tx, In, Returned>): (payload: In, ctx: Context) => Promise<Returned> {
    return async (payload, ctx) => {
      const scope = this.#scopeFor(ctx, fn);
      const effect = { scope, id: ctx.id, keep: keptOf(ctx, this.#keep) };
      const refused = forgotten(ctx.stored, ctx.clock.now(), effect.keep);
      if (refused !== undefined) return refused as Returned; // a handler may return a failure
      return await this.#once(effect, (tx, out) => fn(payload, ctx, tx, out), ctx, ctx.signal);
    };
  }

  /**
   * Makes a handler of batches (`onBatch`) whose effect happens once for each message: `fn` gets the members that have
   * had none. A member must not fail by itself: throw, or return `fail(…)`, and all of them are tried again.
   */
  batch<In>(fn: StoreHandler<Tx, Batch<In>, unknown>): (batch: Batch<In>, ctx: Context) => Promise<void | Failure> {
    return async (batch, ctx) => {
      const scope = this.#scopeFor(ctx, fn);
      const keep = keptOf(ctx, this.#keep);
      const ids: string[] = [];
      for (const member of batch) {
        const refused = forgotten(member.stored, ctx.clock.now(), keep);
        if (refused === undefined) ids.push(member.id);
        else batch.fail(member, refused.error.code, refused.error.message, { final: true });
      }
      const all = { scope, ids, keep };
      try {
        await this.#transactions.run(
          () => this.#outIn(ctx),
          (tx, out) =>
            this.#effects.onceAll(tx, all, (fresh) => {
              out[EFFECTS].push(...Array.from(fresh, (id) => ({ scope, id })));
              return fn(freshMembers(batch, fresh), ctx, tx, out);
            }),
          { signal: ctx.signal, isRepeatable: true, clock: ctx.clock },
        );
      } catch (error) {
        if (error instanceof TakenBack) return error.failure;
        throw error;
      }
    };
  }

  // Tables that follow the log.

  /**
   * Keeps a table that is a function of the log: `apply` gets the events of a durable contract, each once, in the order
   * of the log, from its oldest event on; its position moves in the same transaction. One node at a time does it, of
   * those whose `catga()` has the store. Call it before `catga()`, on each of them. After an error it is tried again.
   */
  project<In>(
    name: string,
    event: DurableContract<"event", In>,
    apply: (events: readonly FollowedEvent<In>[], tx: Tx) => MaybePromise<unknown>,
    options: { max?: number | undefined } = {},
  ): void {
    checkToken("store.project: name", name);
    checkContract("store.project", event as AnyContract, "event");
    if (!event.options.durable) throw new TypeError(`store.project ${name}: ${event.name} is not durable`);
    checkFunction("store.project: apply", apply);
    checkKnown("store.project", options, PROJECT_OPTIONS);
    const { max = 500 } = options;
    checkInteger("store.project: max", max, 1, 10_000);
    if (this.#projections.some((each) => each.name === name)) {
      throw new TypeError(`store.project: the table ${name} is kept already`);
    }
    const projection = new Projection<Tx>({
      ...{ name, max, db: this.#db, names: this.#names, transactions: this.#transactions },
      event: event as AnyContract,
      // the cast is safe: the events are of this contract
      apply: apply as (events: readonly FollowedEvent<unknown>[], tx: Tx) => MaybePromise<unknown>,
      makeOut: () => this.out(),
    });
    this.#projections.push(projection);
    for (const { host } of this.#attached) this.#keepUp(projection, host);
  }

  /**
   * Has a table of {@link SqlStore.project} begin anew, in the transaction in which you then empty it: it is built from
   * the oldest event of the log on, while the program runs. Call it **before** you empty the table: events that are
   * applied meanwhile would leave their rows. {@link SqlStore.position} says how far it is.
   */
  rebuild(tx: Tx, name: string): MaybePromise<void> {
    return this.#projection(name).rebuild(tx);
  }

  /** Reads the position in the log up to which a table of {@link SqlStore.project} has been built; 0: it has begun. */
  async position(name: string): Promise<number> {
    return await this.#projection(name).position();
  }

  #projection(name: string): Projection<Tx> {
    const found = this.#projections.find((each) => each.name === name);
    if (found === undefined) throw new TypeError(`no table ${JSON.stringify(name)} is kept: call store.project before`);
    return found;
  }

  #keepUp(projection: Projection<Tx>, host: StoreHost): void {
    const name = `catga-sql-${this.#name}-${projection.name}`;
    host.lead(name, (signal) => projection.keep(host, signal), { ttl: LEAD });
  }

  async #once<T>(
    effect: { readonly scope: string; readonly id: string; readonly keep: number },
    fn: Effect<Tx, T>,
    ctx: Context | undefined,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const makeOut = () => ctx === undefined ? this.out() : this.#outIn(ctx);
    const run = (have: (tx: Tx, out: Out) => MaybePromise<T>) =>
      this.#transactions.run(
        makeOut,
        (tx, out) =>
          this.#effects.once(tx, effect, () => {
            out[EFFECTS].push({ scope: effect.scope, id: effect.id });
            return have(tx, out);
          }),
        { signal, isRepeatable: true, clock: ctx?.clock },
      );
    try {
      try {
        return await run(fn);
      } catch (error) {
        if (signal?.aborted || (isCatgaError(error) && error.code === "UNAVAILABLE")) throw error;
        // a run with the same id may have had its effect meanwhile, and this one have failed on what that one has
        // written, as on a unique key: looked up again
        return await run(() => {
          throw error;
        });
      }
    } catch (error) {
      if (error instanceof TakenBack) return error.failure as T; // `fn` has returned it
      throw error;
    }
  }

  #outIn(ctx: Context): Out {
    const [attached] = this.#attached;
    const parent: OutParent = { ctx, carried: attached?.host.carried ?? INHERITED_HEADERS };
    return new Out(this.#shapes, this.#tools.random, parent);
  }

  /**
   * Returns the scope of a handler's ids. Throws if another handler of the node has the same: the one that comes second
   * would find the ids of the first, and have no effect.
   */
  #scopeFor(ctx: Context, fn: unknown): string {
    const scope = scopeOf(ctx);
    let known = this.#handlers.get(ctx.draining);
    if (known === undefined) this.#handlers.set(ctx.draining, known = new Map());
    const other = known.get(scope);
    if (other === undefined) known.set(scope, fn);
    else if (other !== fn) {
      throw new TypeError(
        `two handlers share the ids of ${JSON.stringify(scope)}: give each subscription a name of its own`,
      );
    }
    return scope;
  }

  // The node.

  /**
   * Time and randomness of transactions: of the node that was attached last, so that they follow the time and the seed
   * of a test; without a node, of the system.
   */
  get #tools(): TransactionTools {
    const { host } = [...this.#attached].at(-1) ?? {};
    return host ?? SYSTEM;
  }

  #relayTable() {
    return relayTable(this.#db, this.#names, this.#name);
  }

  async #attach(host: StoreHost): Promise<StoreAttachment> {
    await this.#checkTables();
    const name = this.#name;
    const relay = new Relay({ name, table: this.#relayTable(), host, poll: this.#poll });
    const attached = { host, relay };
    this.#attached.add(attached);
    // what commits after this goes to the relay of another node
    host.onEnd(() => this.#attached.delete(attached));
    for (const projection of this.#projections) this.#keepUp(projection, host);
    host.lead(`catga-sql-${name}`, (signal) => relay.lead(signal), { ttl: LEAD });
    return {
      get health() {
        return relay.health;
      },
    };
  }

  /** Rejects if the tables are missing, or older than this version of Catga needs. */
  async #checkTables(): Promise<void> {
    const { version } = this.#names;
    let found: number;
    try {
      const [row] = await this.#db.run(
        undefined,
        `SELECT ${this.#db.dialect === "postgres" ? "max(n)::text" : "max(n)"} AS n FROM ${version}`,
        [],
      );
      found = Number(row.n ?? 0);
    } catch (error) {
      if (isOutage(error)) return; // the relay waits for it
      if (!isMissingTable(error)) throw error;
      found = 0;
    }
    if (found >= TABLES_VERSION) return;
    const what = found === 0
      ? "are missing"
      : `have version ${found}, and this version of Catga needs ${TABLES_VERSION}`;
    throw new CatgaError(
      "UNSUPPORTED",
      `the tables of the store ${this.#name} ${what}: call store.migrate(), or run\n${this.tables().join(";\n")};`,
    );
  }

  #wokenBy(): Handler {
    const woken = (name: string) => {
      if (name === this.#name) { for (const { relay } of this.#attached) relay.wake(); }
    };
    return WOKEN.on(woken, { each: "node" });
  }
}

/** Tells the nodes that rows were committed in another process; its payload is the name of the store. */
const WOKEN = event<string>("catga-sql-woken");
const OPTIONS = new Set(["schema", "name", "order", "timeout", "keep", "poll"]);
const PROJECT_OPTIONS = new Set(["max"]);
const DAY = 86_400_000;
const SYSTEM: TransactionTools = { clock: systemClock, random: systemRandom() };
/** Number of rows that are set aside which are read at once. */
const REFUSED_AT_ONCE = 100;
/** How long a node still counts as the one that relays when it has died, in ms. */
const LEAD = 3_000;
/** Time for which commits are collected into one message that wakes the relay, in ms. */
const HINT = 2;

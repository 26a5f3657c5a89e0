/** A store over each driver of a PostgreSQL server: what the server and the drivers do that PGlite does not. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { catga, CatgaError, event, fail } from "../../mod.ts";
import { type PostgresProcess, startPostgres } from "../../test/support/databases.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { DRIVERS, openDriver, type OpenedDatabase } from "../../test/support/sql_databases.ts";
import { CutProxy } from "../../test/support/cut_proxy.ts";
import { insertStatement } from "./insert.ts";
import { relayTable } from "./relay_table.ts";
import { tableNames } from "./tables.ts";
import type { SqlDatabase } from "./database.ts";
import { type Out, sqlStore, type SqlStoreOptions } from "./mod.ts";

const Counted = event<{ key: string; n: number }>("Counted", { durable: true, key: ({ key }) => key });
const slow = { timeout: 240_000 };

describe("a store in a PostgreSQL server", slow, () => {
  let server: PostgresProcess;
  let stores = 0;
  before(async () => void (server = await startPostgres()));
  after(async () => await server[Symbol.asyncDispose]());

  /** A store with tables of its own, and a table of counters, over a driver. */
  async function newStore(opened: OpenedDatabase, options: SqlStoreOptions = {}) {
    const schema = `p${stores++}`;
    const store = sqlStore(opened.db, { schema, name: schema, ...options });
    await store.migrate();
    const run = (text: string, params: string[] = [], tx?: unknown) => opened.db.run(tx, text, params);
    await run(`CREATE TABLE ${schema}.counter (key text PRIMARY KEY, v bigint NOT NULL)`);
    await run(`CREATE TABLE ${schema}.truth (id text PRIMARY KEY, key text, v bigint)`);
    return { store, schema, run, names: tableNames("postgres", schema) };
  }

  for (const driver of DRIVERS) {
    describe(`over ${driver}`, () => {
      it("rejects if an error was caught that has aborted the transaction, and nothing is committed", async () => {
        await using opened = await openDriver(driver, server);
        const { store, schema, run } = await newStore(opened);
        const swallow = async (tx: unknown) => {
          await run(`INSERT INTO ${schema}.truth VALUES ('a', 'a', 1)`, [], tx);
          await Promise.resolve(run("SELECT * FROM nowhere", [], tx)).catch(() => {});
        };
        await assertRejects(() => store.transaction((tx) => swallow(tx)));
        await assertRejects(() => store.once("s", "1", swallow));
        await assertRejects(() =>
          store.transaction(async (tx, out) => {
            out.publish(Counted, { key: "a", n: 1 });
            await swallow(tx);
          })
        );
        const count = async (table: string) => (await run(`SELECT count(*)::text AS n FROM ${schema}.${table}`))[0].n;
        assertEquals(await Promise.all(["truth", "outbox", "done"].map(count)), ["0", "0", "0"]);
      });

      // after lost connections postgres.js itself ends the process by an uncaught error, or never settles
      if (driver === "postgres") return;
      it("says committed exactly of what was, while its connections are cut at random moments", async () => {
        const proxy = await CutProxy.start(server.port);
        await using own = await openDriver("pg", server);
        await using opened = await openDriver(driver, { port: proxy.port, most: 8 });
        await using _ = proxy;
        const { schema, run } = await newStore(own);
        const store = sqlStore(opened.db, { schema, name: schema, timeout: 3_000 });
        const told = new Map<string, string>();
        for (let round = 0; round < 12; round++) {
          // moments by what has happened, not by the machine's pace: behind the first answer, the second, …
          let answers = 0;
          const all = Array.from({ length: 8 }, async (_, i) => {
            const id = `${round}-${i}`;
            try {
              await store.transaction((_, out) => void out.publish(Counted, { key: id, n: i }, { id }));
              told.set(id, "committed");
            } catch (error) {
              told.set(id, (error as { code?: string }).code ?? `${error}`);
            }
            if (++answers === 1 + round % 7) proxy.cut();
          });
          await Promise.all(all);
        }
        // what a driver does not go on with ends
        proxy.cut();
        await eventually("no open transaction", async () => {
          const [{ n }] = await run(
            "SELECT count(*)::text AS n FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()",
          );
          return n === "0";
        });
        const rows = new Set((await run(`SELECT id FROM ${schema}.outbox`)).map(({ id }) => id as string));
        const committed = [...told].filter(([, what]) => what === "committed").map(([id]) => id);
        assertEquals(committed.filter((id) => !rows.has(id)), [], "said committed, and is not there");
        const not = [...told].filter(([, what]) => what !== "committed" && what !== "OUTCOME_UNKNOWN");
        const there = not.filter(([id]) => rows.has(id));
        assertEquals(there, [], "said not committed, and is there");
        assert(committed.length > 0);
        await eventually(
          "a transaction after it",
          () =>
            store.transaction((_, out) => void out.publish(Counted, { key: "last", n: 0 })).then(
              () => true,
              () => false,
            ),
        );
      });
    });
  }

  it("says committed of no transaction whose number a crash has given to another one", async () => {
    await using opened = await openDriver("pg", server);
    const { schema, run } = await newStore(opened);
    const { db } = opened;
    const crashing: SqlDatabase<unknown> = {
      ...db,
      transaction: (fn) =>
        db.transaction(async (tx) => {
          await fn(tx);
          await server.kill();
          await server.start();
          // numbers that had written nothing to the disk are drawn again
          for (let i = 0; i < 20; i++) await run(`INSERT INTO ${schema}.counter VALUES (gen_random_uuid()::text, 0)`);
          throw Object.assign(new Error("the answer to COMMIT was lost"), { code: "ECONNRESET" });
        }),
    };
    const store = sqlStore(crashing, { schema, name: schema });
    const write = (_: unknown, out: Out) => void out.publish(Counted, { key: "a", n: 1 });
    const { code } = await assertRejects(() => store.transaction(write), CatgaError);
    assert(code === "OUTCOME_UNKNOWN" || code === "UNAVAILABLE", code);
    await assertRejects(() => store.once("s", "1", write), CatgaError, "database");
    assertEquals(await run(`SELECT id FROM ${schema}.outbox`), []);
  });

  it("publishes events of a key in the order of their commits, though transactions overlap", async () => {
    await using opened = await openDriver("pg", { port: server.port, most: 18 });
    const { store, schema, run } = await newStore(opened);
    const KEYS = 3;
    for (let key = 0; key < KEYS; key++) await run(`INSERT INTO ${schema}.counter VALUES ($1::text, 0)`, [`k${key}`]);
    const got: { readonly key: string; readonly n: number }[] = [];
    const handlers = Counted.onBatch((batch) => void got.push(...batch.map(({ payload }) => payload)), { name: "all" });
    await using _ = await catga({ sql: [store], handlers, logger: QUIET });
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      for (let i = 0; i < 25; i++) {
        const [key, n] = [`k${(writer + i) % KEYS}`, 100 * writer + i];
        // the counter's lock is taken before or after the event is collected, which must make no difference
        const count = (tx: unknown) =>
          run(
            `WITH c AS (UPDATE ${schema}.counter SET v = v + 1 WHERE key = $1::text RETURNING v) ` +
              `INSERT INTO ${schema}.truth SELECT $2::text, $1::text, v FROM c`,
            [key, `${n}`],
            tx,
          );
        await store.transaction(async (tx, out) => {
          if (i % 2 === 0) await count(tx);
          out.publish(Counted, { key, n }, i % 5 === 0 ? { id: `${n}` } : {});
          if (i % 2 === 1) await count(tx);
        });
      }
    });
    await Promise.all(writers);
    await eventually("all of them", () => got.length >= 400);
    const commits = new Map(
      (await run(`SELECT id, v::text AS v FROM ${schema}.truth`)).map(({ id, v }) => [id, Number(v)]),
    );
    for (let key = 0; key < KEYS; key++) {
      const own = got.filter((each) => each.key === `k${key}`).map(({ n }) => commits.get(`${n}`));
      assertEquals(own, own.map((_, i) => i + 1));
    }
    await eventually("an empty outbox", async () => (await store.backlog()).rows === 0);
    assertEquals(got.length, 400);
  });

  it("needs few rights: writers INSERT into the outbox, handlers see the ids, and only the relay more", async () => {
    await using opened = await openDriver("pg", server);
    const { store, schema, run, names } = await newStore(opened);
    const as = (role: string, statements: readonly string[]) =>
      opened.db.transaction(async (tx) => {
        await run(`SET LOCAL ROLE ${role}`, [], tx);
        for (const statement of statements) await run(statement, [], tx);
      });
    for (const role of ["writer", "handler"]) {
      await run(`CREATE ROLE ${schema}_${role}`);
      await run(`GRANT USAGE ON SCHEMA ${schema} TO ${schema}_${role}`);
    }
    await run(`GRANT INSERT ON ${names.outbox} TO ${schema}_writer`);
    await run(`GRANT SELECT, INSERT ON ${names.done} TO ${schema}_handler`);
    await opened.db.transaction(async (tx) => {
      await run(`SET LOCAL ROLE ${schema}_writer`, [], tx);
      const out = store.out();
      for (const n of [1, 2]) out.publish(Counted, { key: "k", n });
      await store.write(tx, out);
    });
    await assertRejects(async () => await as(`${schema}_writer`, [`SELECT * FROM ${names.outbox}`]));
    await as(`${schema}_handler`, [
      `SELECT result FROM ${names.done} WHERE scope = 's' AND id = '1'`,
      `INSERT INTO ${names.done} (scope, id) VALUES ('s', '1')`,
    ]);
    assertEquals((await store.backlog()).rows, 2);
  });

  it("draws a row's number behind its transaction's id, which the planner would drop if nothing used it", async () => {
    await using opened = await openDriver("pg", server);
    const { schema, run, names } = await newStore(opened);
    const rows = [{ kind: "event" as const, contract: "E", key: null, id: "1", body: "[]", head: "{}", lane: null }];
    const { text } = insertStatement("postgres", { names, schema, ordered: true, rows });
    const explained = text.replace("$1::text::jsonb", "'[{}]'::jsonb").replace("$2::text", "''");
    const plan = (await run(`EXPLAIN (VERBOSE) ${explained}`)).map((row) => String(Object.values(row)[0])).join("\n");
    assert(plan.includes("pg_current_xact_id()"), plan);
  });

  it("skips what is gone for good, while a reader keeps it from being removed, and no row that commits late", async () => {
    await using opened = await openDriver("pg", server);
    const { store, schema, run, names } = await newStore(opened);
    const table = relayTable(opened.db, names, schema);
    assert(await table.begin(undefined) !== "older");
    const late = Promise.withResolvers<void>();
    const drawn = Promise.withResolvers<void>();
    const long = opened.db.transaction(async (tx) => {
      const out = store.out();
      out.publish(Counted, { key: "late", n: 0 }, { id: "late" });
      await store.write(tx, out);
      drawn.resolve();
      await late.promise;
    });
    await drawn.promise;
    for (let n = 0; n < 5; n++) await store.transaction((_, out) => void out.publish(Counted, { key: "k", n }));
    await table.settle();
    const taken = await table.take(100, []);
    assertEquals(taken.rows.length, 5);
    const stored = taken.rows.map(({ n }) => n);
    assert(await table.note({ mark: { term: 1, batch: 0 }, stored, note: "[]" }));
    for (let i = 0; i < 3; i++) await table.settle();
    late.resolve();
    await long;
    assertEquals((await table.take(100, [])).rows.map(({ id }) => id), ["late"]);
    assert(
      await table.note({
        mark: { term: 1, batch: 1 },
        stored: (await table.take(9, [])).rows.map(({ n }) => n),
        note: "[]",
      }),
    );
    for (let i = 0; i < 3; i++) await table.settle();
    await store.transaction((_, out) => void out.publish(Counted, { key: "k", n: 9 }, { id: "after" }));
    assertEquals((await table.take(100, [])).rows.map(({ id }) => id), ["after"]);
    assertEquals(await table.note({ mark: { term: 1, batch: 1 }, stored: [], note: "[]" }), false);
    assertEquals((await run(`SELECT count(*)::text AS n FROM ${schema}.outbox`))[0].n, "1");
  });

  it("skips no row of the newest transaction, and none that was set aside and is mended", async () => {
    await using opened = await openDriver("pg", server);
    const { store, schema, run, names } = await newStore(opened);
    const table = relayTable(opened.db, names, schema);
    const publish = (id: string) => store.transaction((_, out) => void out.publish(Counted, { key: id, n: 0 }, { id }));
    const ids = async () => (await table.take(100, [])).rows.map(({ id }) => id);
    await publish("mended");
    await table.refuse([{ n: (await table.take(1, [])).rows[0].n, why: "ID_REUSED" }]);
    const late = Promise.withResolvers<void>();
    const drawn = Promise.withResolvers<void>();
    const newest = opened.db.transaction(async (tx) => {
      const out = store.out();
      out.publish(Counted, { key: "late", n: 0 }, { id: "late" });
      await store.write(tx, out);
      drawn.resolve();
      await late.promise;
    });
    await drawn.promise;
    for (let i = 0; i < 3; i++) await table.settle(); // no transaction with a greater id has ended yet
    late.resolve();
    await newest;
    assertEquals(await ids(), ["late"]);
    for (let i = 0; i < 3; i++) await table.settle();
    await run(`UPDATE ${names.outbox} SET refused = NULL`);
    assertEquals(await ids(), ["mended", "late"]);
  });

  it("builds a table anew while an event is being applied, if its position goes before its rows", async () => {
    await using opened = await openDriver("pg", server);
    const { store, schema, run } = await newStore(opened);
    await run(`CREATE TABLE ${schema}.seen (n text)`);
    const seen = async () => (await run(`SELECT n FROM ${schema}.seen ORDER BY n`)).map(({ n }) => n);
    const [applies, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    store.project("seen", Counted, async (events, tx) => {
      for (const { payload: { n } } of events) {
        await run(`INSERT INTO ${schema}.seen VALUES ($1::text)`, [`${n}`], tx);
        if (n !== 2) continue;
        applies.resolve();
        await go.promise;
      }
    });
    await using app = await catga({ sql: [store], logger: QUIET });
    await app.publish(Counted, { key: "k", n: 1 });
    await eventually("the first row", async () => (await seen()).length === 1);
    await app.publish(Counted, { key: "k", n: 2 });
    await applies.promise;
    const rebuilt = store.transaction(async (tx) => {
      await store.rebuild(tx, "seen");
      await run(`DELETE FROM ${schema}.seen`, [], tx);
    });
    await eventually("the lock is waited for", async () => {
      const waiting = "SELECT count(*)::text AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
      return (await run(waiting))[0].n !== "0";
    });
    go.resolve();
    await rebuilt;
    await eventually("both again", async () => (await seen()).length >= 2);
    assertEquals(await seen(), ["1", "2"]);
  });

  for (const refuses of ["by its unique key", "by a failure"] as const) {
    it(`gives the recorded result to who runs an effect beside another one, which refuses it ${refuses}`, async () => {
      await using opened = await openDriver("pg", server);
      const { store, schema, run } = await newStore(opened);
      await run(`CREATE TABLE ${schema}.seats (seat text PRIMARY KEY)`);
      const [took, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let runs = 0;
      const take = () =>
        store.once("seat", "order 7", async (tx) => {
          const n = ++runs;
          const onConflict = refuses === "by a failure" ? "ON CONFLICT DO NOTHING" : "";
          const rows = await run(`INSERT INTO ${schema}.seats VALUES ('1') ${onConflict} RETURNING seat`, [], tx);
          if (rows.length === 0) return fail("TAKEN", "another one has the seat");
          took.resolve();
          await go.promise;
          return `run ${n}`;
        });
      const first = take();
      await took.promise;
      const second = take();
      await eventually("the second waits for the first", async () => {
        const waiting = "SELECT count(*)::text AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        return (await run(waiting))[0].n !== "0";
      });
      go.resolve();
      assertEquals([await first, await second, runs], ["run 1", "run 1", 2]);
    });
  }

  it("goes on after its server has stopped as in a power failure: handlers count no attempt, and nothing is lost", async () => {
    await using opened = await openDriver("pg", server);
    const { store, schema, run } = await newStore(opened);
    const attempts: number[] = [];
    const once = store.handler(async ({ key, n }: { key: string; n: number }, ctx, tx) => {
      attempts.push(ctx.attempt);
      await run(`INSERT INTO ${schema}.truth VALUES ($1::text, $2::text, $3::text::bigint)`, [ctx.id, key, `${n}`], tx);
    });
    const retry = { attempts: 2, delay: [10, 50] } as const;
    const handlers = Counted.on(once, { name: "sink", retry });
    await using app = await catga({ sql: [store], handlers, logger: QUIET });
    const publish = (n: number) => store.transaction((_, out) => void out.publish(Counted, { key: `k${n % 3}`, n }));
    for (let n = 0; n < 10; n++) await publish(n);
    await server.kill();
    const failed = await assertRejects(() => publish(99), Error);
    assertEquals((failed as { code?: string }).code, "UNAVAILABLE");
    await app.publish(Counted, { key: "direct", n: 10 });
    await server.start();
    for (let n = 11; n < 20; n++) await publish(n);
    const count = async () => Number((await run(`SELECT count(*)::text AS n FROM ${schema}.truth`))[0].n);
    await eventually("all effects", async () => await count() === 20);
    assertEquals(await Array.fromAsync(app.deadLetters()), []);
  });
});

/** The promises of a store, for each kind of database. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { after, before, describe, it } from "node:test";
import {
  type Batch,
  catga,
  command,
  type Context,
  event,
  fail,
  type Failure,
  type Handlers,
  type Schema,
  unwrap,
  workflow,
} from "../../mod.ts";
import { systemClock } from "../ports/clock.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import type { OpenedDatabase } from "../../test/support/sql_databases.ts";
import type { SqlDatabase } from "./database.ts";
import { sqlStore, type SqlStoreOptions } from "./mod.ts";
import { relayTable } from "./relay_table.ts";
import { tableNames } from "./tables.ts";

const Booked = event<{ room: string; n: number }>("Booked", { durable: true, key: ({ room }) => room });
const Charge = command<{ cents: number }, string>("Charge", { durable: true, idempotent: true });
const Stay = workflow<{ room: string }, string>("Stay");
const Paid = Stay.signal<{ by: string }>("Paid");

/** Runs the tests with the databases that `open` makes. `skip`: why there is none. */
export function testStore(kind: string, open: () => Promise<OpenedDatabase>, skip?: string): void {
  describe(`a store in ${kind}`, { skip: skip ?? false, timeout: 120_000 }, () => {
    let opened: OpenedDatabase;
    before(async () => void (opened = await open()));
    after(async () => await opened[Symbol.asyncDispose]());
    let stores = 0;

    /** A store with tables of its own, and a table `seen` of the program. */
    async function newStore(options: SqlStoreOptions = {}) {
      const { db } = opened;
      const schema = `s${stores++}`;
      const store = sqlStore(db, { schema, poll: 20, ...options });
      await store.migrate();
      const table = db.dialect === "sqlite" ? `${schema}_seen` : `${schema}.seen`;
      const run = (text: string, params: string[] = [], tx?: unknown) => db.run(tx, inDialect(db, text), params);
      await run(`CREATE TABLE ${table} (what text NOT NULL)`);
      return {
        ...{ store, schema, run },
        names: (name: string) => db.dialect === "sqlite" ? `${schema}_${name}` : `${schema}.${name}`,
        see: (what: string, tx: unknown) => run(`INSERT INTO ${table} (what) VALUES (?1)`, [what], tx),
        seen: async () => (await run(`SELECT what FROM ${table} ORDER BY what`)).map(({ what }) => what),
        /** An app that serves the store. */
        start: (handlers: Handlers = [], id = "a") => catga({ sql: [store], handlers, id, logger: QUIET }),
      };
    }

    it("publishes what a transaction has collected when it commits, and nothing of one that is rolled back", async () => {
      const { store, see, seen, start } = await newStore();
      const got: number[] = [];
      await using _ = await start(Booked.on(({ n }) => void got.push(n)));
      const rolledBack = store.transaction((tx, out) => {
        out.publish(Booked, { room: "7", n: 0 });
        return then(see("never", tx), () => {
          throw new Error("no");
        });
      });
      await assertRejects(() => rolledBack, Error, "no");
      const id = await store.transaction((tx, out) =>
        then(see("booking", tx), () => [1, 2, 3].map((n) => out.publish(Booked, { room: "7", n }))[0])
      );
      assert(id.length > 10);
      await eventually("three events", () => got.length === 3);
      assertEquals([got, await seen()], [[1, 2, 3], ["booking"]]);
      await eventually("an empty outbox", async () => (await store.backlog()).rows === 0);
    });

    it("takes part in a transaction of the program's own", async () => {
      const { store, see, start } = await newStore();
      const got: number[] = [];
      await using _ = await start(Booked.on(({ n }) => void got.push(n)));
      const book = (n: number, how: "commit" | "roll back") => () =>
        opened.db.transaction((tx) => {
          const out = store.out();
          out.publish(Booked, { room: "7", n });
          return then(see("booking", tx), () =>
            then(store.write(tx, out), () => {
              if (how === "roll back") throw new Error("no");
            }));
        });
      await assertRejects(async () => await book(0, "roll back")(), Error, "no");
      await book(1, "commit")();
      store.wake();
      await eventually("an event", () => got.length > 0);
      assertEquals(got, [1]);
    });

    it("starts a run before the signals that the same transaction tells it, and enqueues commands", async () => {
      const { store, start } = await newStore();
      const stay = Stay.handle(async (flow, { room }) => `${room} ${(await flow.wait(Paid)).by}`);
      await using app = await start([stay, Charge.handle(({ cents }) => `paid ${cents}`)]);
      const run = await store.transaction((_, out) => {
        const run = out.start(Stay, { room: "7" }, { id: "stay-7", tags: ["suite"] });
        out.tell(Paid, run, { by: "ada" });
        out.enqueue(Charge, { cents: 420 }, { id: "charge-7" });
        return run;
      });
      await eventually("the run", async () => (await app.result(Stay, run)).ok);
      assertEquals(unwrap(await app.result(Stay, run)), "7 ada");
      assertEquals((await Array.fromAsync(app.runs({ tag: "suite" }))).length, 1);
      await eventually("the command", async () => (await store.backlog()).rows === 0);
      assertEquals(await app.send(Charge, { cents: 420 }, { id: "charge-7" }), { ok: true, value: "paid 420" });
    });

    it("has the effect of a handler once, though its process ends between COMMIT and the acknowledgement", async () => {
      const { store, see, seen, start } = await newStore();
      const said: number[] = [];
      const attempts: string[] = [];
      const once = store.handler(({ n }: { n: number }, ctx, tx, out) =>
        then(see(`${n}`, tx), () => void out.publish(Booked, { room: `${ctx.subscription}`, n: -n }))
      );
      // the first attempt of each is not acknowledged
      const dies = async (payload: { room: string; n: number }, ctx: Context) => {
        if (payload.n < 0) return void said.push(payload.n);
        await once(payload, ctx);
        attempts.push(`${payload.n} ${ctx.attempt}`);
        if (ctx.attempt === 1) throw new Error("died");
      };
      await using app = await start(Booked.on(dies, { name: "desk", retry: { delay: [1, 5] } }));
      for (const n of [1, 2]) await app.publish(Booked, { room: `${n}`, n });
      await eventually("both again", () => attempts.length === 4);
      await eventually("what they say", () => said.length === 2);
      assertEquals(await seen(), ["1", "2"]);
      assertEquals(said.toSorted(), [-1, -2]);
    });

    it("has the effects of a batch once for each member, also if some of them come again with others", async () => {
      const { store, see, seen, start } = await newStore();
      const sizes: number[] = [];
      const handle = store.batch<{ room: string; n: number }>((fresh, _, tx) => {
        sizes.push(fresh.length);
        return inOrder(fresh.map(({ payload }) => () => see(`${payload.n}`, tx)));
      });
      let runs = 0;
      const dies: typeof handle = async (batch, ctx) => {
        await handle(batch, ctx);
        if (++runs === 1) throw new Error("died");
      };
      const settings = { name: "bulk", within: 0, retry: { delay: [1, 5] } } as const;
      await using app = await start(Booked.onBatch(dies, settings));
      await Promise.all([1, 2, 3].map((n) => app.publish(Booked, { room: `${n}`, n })));
      await eventually("all", async () => (await seen()).length >= 3 && (await app.subscriptions())[0].open === 0);
      assertEquals([await seen(), sizes.reduce((sum, each) => sum + each)], [["1", "2", "3"], 3]);
      assert(runs > 1);
    });

    it("has no effect of messages that are older than ids are kept, as of a dead letter that is replayed late", async () => {
      const { store, see, seen } = await newStore();
      const DAY = 86_400_000;
      const handler = store.handler((_: unknown, ctx, tx) => then(see(ctx.id, tx), () => undefined));
      const bulk = store.batch((fresh, _, tx) => inOrder(fresh.map(({ id }) => () => see(id, tx))));
      const of = (age: number) => {
        const stored = new Date(Date.now() - age);
        return {
          ...{ id: `${age / DAY}`, stored, clock: systemClock, subscription: "s/desk", contract: Booked, headers: {} },
          ...{ draining: new AbortController().signal, signal: new AbortController().signal },
        } as unknown as Context;
      };
      assertEquals(await handler({}, of(29 * DAY)), undefined);
      const refused = await handler({}, of(31 * DAY)) as unknown as Failure;
      assertEquals([refused.error.code, refused.error.final], ["ID_FORGOTTEN", true]);
      assertEquals(await seen(), ["29"]);
      const failed: string[] = [];
      const members = [28, 32].map((days) => ({ id: `${days}`, stored: of(days * DAY).stored }));
      const fails = { fail: ({ id }: { id: string }, code: string) => void failed.push(`${id} ${code}`) };
      await bulk(Object.assign(members, fails) as unknown as Batch<unknown>, of(0));
      assertEquals([await seen(), failed], [["28", "29"], ["32 ID_FORGOTTEN"]]);
    });

    it("returns the recorded result of a command whose acknowledgement was lost", async () => {
      const { store, see, seen, start } = await newStore();
      let runs = 0;
      const once = store.handler(({ cents }: { cents: number }, _, tx) =>
        then(see(`${cents}`, tx), () => `run ${++runs}`)
      );
      const dies = async (payload: { cents: number }, ctx: Context) => {
        const result = await once(payload, ctx);
        if (ctx.attempt === 1) throw new Error("died");
        return result;
      };
      await using app = await start(Charge.handle(dies, { retry: { delay: [1, 5] } }));
      await app.enqueue(Charge, { cents: 5 }, { id: "c" });
      await eventually("a result", async () => (await app.send(Charge, { cents: 5 }, { id: "c" })).ok);
      assertEquals(await app.send(Charge, { cents: 5 }, { id: "c" }), { ok: true, value: "run 1" });
      assertEquals(await seen(), ["5"]);
    });

    it("has the effect of a step once, and gives its result to the attempt after a crash", async () => {
      const { store, see, seen, start } = await newStore();
      let steps = 0;
      const dying = {
        "~step": async <T>(...[id, fn, signal]: Parameters<typeof store["~step"]>) => {
          const value = await store["~step"](id, fn, signal);
          if (++steps === 1) throw new Error("died between COMMIT and the record");
          return value as T;
        },
      } as typeof store;
      let runs = 0;
      const stay = Stay.handle(async (flow, { room }) => {
        return await flow.transaction(dying, "book", (tx) => then(see(room, tx), () => `run ${++runs}`), {
          retry: { delay: [1, 5] },
        });
      });
      await using app = await start(stay);
      const run = unwrap(await app.start(Stay, { room: "7" }));
      assertEquals(unwrap(await app.result(Stay, run)), "run 1");
      assertEquals([await seen(), steps], [["7"], 2]);
    });

    it("has an effect once, with one result, for callers with the same id at the same time", async () => {
      const { store, see, seen } = await newStore();
      let made = 0;
      const results = await Promise.all(
        Array.from({ length: 8 }, () => store.once("s", "id", (tx) => then(see("it", tx), () => ++made))),
      );
      assertEquals([new Set(results).size, await seen()], [1, ["it"]]);
      await store.once("other", "id", (tx) => then(see("other", tx), () => undefined));
      assertEquals(await seen(), ["it", "other"]);
    });

    it("takes the effect back of a handler that returns a failure, and tries it again", async () => {
      const { store, see, seen, start } = await newStore();
      let runs = 0;
      const handler = store.handler((_: unknown, __, tx) =>
        then(see("it", tx), () => ++runs < 3 ? fail("NOT_YET", "") : undefined)
      );
      await using app = await start(Booked.on(handler, { retry: { delay: [1, 5] } }));
      await app.publish(Booked, { room: "7", n: 1 });
      await eventually("the third", async () => runs === 3 && (await seen()).length > 0);
      assertEquals(await seen(), ["it"]);
    });

    it("refuses a second handler that would find the ids of the first", async () => {
      const { store, see, seen, start } = await newStore();
      const errors: string[] = [];
      const handlers = ["a", "b"].map((which) => {
        const once = store.handler((_: unknown, __, tx) => then(see(which, tx), () => undefined));
        return Booked.on((payload, ctx) => once(payload, ctx).catch((error) => void errors.push(`${error}`)));
      });
      await using app = await start(handlers);
      await app.publish(Booked, { room: "7", n: 1 });
      await eventually("an error", () => errors.length > 0);
      assert(errors[0].includes("give each subscription a name of its own"), errors[0]);
      assertEquals((await seen()).length, 1);
    });

    it("rolls back what it cannot record, and says why", async () => {
      const { store, see, seen } = await newStore();
      const numbers: Schema<number> = {
        "~standard": {
          ...{ version: 1, vendor: "suite" },
          validate: (value) => typeof value === "number" ? { value } : { issues: [{ message: "no number" }] },
        },
      };
      const Counted = event("Counted", { durable: true, input: numbers });
      const Plain = event<string>("Plain");
      const tries: [work: Parameters<typeof store.transaction>[0], why: string][] = [
        [(_, out) => out.publish(Counted, "1" as never), "no number"],
        [(_, out) => out.publish(Booked, { room: "x".repeat(1_100_000), n: 1 }), "TOO_LARGE|bytes"],
        [(_, out) => out.publish(Booked, { room: "\ud800", n: 1 }), "well-formed"],
        [(_, out) => out.publish(Plain as never, "x" as never), "durable: true"],
      ];
      for (const [work, why] of tries) {
        const tried = store.transaction((tx, out) => then(see("never", tx), () => work(tx, out)));
        const error = await assertRejects(() => tried, Error);
        assert(new RegExp(why).test(`${error}`), `${error}`);
      }
      assertEquals([await seen(), (await store.backlog()).rows], [[], 0]);
    });

    it("checks an asynchronous schema before it commits, where a transaction can await", async () => {
      const { store } = await newStore();
      const slow: Schema<number> = {
        "~standard": {
          ...{ version: 1, vendor: "suite" },
          validate: (value) => Promise.resolve(value === 1 ? { value: 1 } : { issues: [{ message: "not one" }] }),
        },
      };
      const Slow = event("Slow", { durable: true, input: slow });
      const record = (n: number) => store.transaction((_, out) => void out.publish(Slow, n));
      if (opened.db.dialect === "sqlite") {
        await assertRejects(() => record(1), TypeError, "must not await");
      } else {
        await record(1);
        await assertRejects(() => record(2), Error, "not one");
      }
      assertEquals((await store.backlog()).rows, opened.db.dialect === "sqlite" ? 0 : 1);
    });

    it("sets a row aside that the log refuses, with an alarm, and goes on", async () => {
      const { store, run, names, start } = await newStore();
      const got: number[] = [];
      await using app = await start(Booked.on(({ n }) => void got.push(n)));
      const publish = (n: number, id?: string) =>
        store.transaction((_, out) => void out.publish(Booked, { room: "7", n }, { id }));
      await publish(1, "same");
      await publish(1, "same"); // a repeat of the first
      await publish(2, "same");
      await publish(3);
      await eventually("the last", () => got.includes(3));
      assertEquals(got, [1, 3]);
      const alarm = () => app.health().alarms.find(({ kind }) => kind === "outbox-refused");
      await eventually("the alarm", () => alarm() !== undefined);
      assertEquals([alarm()!.count, alarm()!.about], [1, "main"]);
      const [{ refused }] = await run(`SELECT refused FROM ${names("outbox")}`);
      assert(`${refused}`.startsWith("ID_REUSED"), `${refused}`);
    });

    it("lists the rows that were set aside; one is mended and published, the others are discarded", async () => {
      const { store, run, names, start } = await newStore();
      const got: number[] = [];
      await using _app = await start(Booked.on(({ n }) => void got.push(n)));
      const publish = (n: number, id: string) =>
        store.transaction((_, out) => void out.publish(Booked, { room: "7", n }, { id }));
      const REFUSED = 130; // more than are read at once
      await publish(0, "same");
      for (let n = 1; n <= REFUSED; n++) await publish(n, "same");
      await eventually("all to be set aside", async () => (await store.backlog()).refused === REFUSED);
      const rows = await Array.fromAsync(store.refused());
      const bodies = Array.from({ length: REFUSED }, (_, i) => `[{"room":"7","n":${i + 1}},"7","same"]`);
      assertEquals(rows.map(({ body }) => body), bodies);
      const [row] = rows;
      assertEquals([row.kind, row.contract, row.key, row.id], ["event", "Booked", "7", "same"]);
      assert(row.why.startsWith("ID_REUSED: "), row.why);
      assert(Math.abs(Date.now() - row.at) < 3_600_000, `${row.at}`);
      await run(`UPDATE ${names("outbox")} SET id = 'other' WHERE n = ${row.n}`);
      assertEquals([await row.retry(), await row.retry()], [true, false]);
      await eventually("the mended one", () => got.includes(1));
      for (const other of rows.slice(1)) assertEquals([await other.discard(), await other.discard()], [true, false]);
      assertEquals([await Array.fromAsync(store.refused()), (await store.backlog()).refused], [[], 0]);
      assertEquals(got, [0, 1]);
    });

    it("has the rows of runs by the first row of each, for a relay that goes through them", async () => {
      const { store, schema, run } = await newStore();
      // a transaction each: within one PostgreSQL may have other runs first
      const record = (id: string, by?: string) =>
        store.transaction((_, out) => {
          if (by === undefined) out.start(Stay, { room: id }, { id });
          else out.tell(Paid, id, { by });
        });
      const Other = workflow<{ room: string }, string>("Other");
      for (const [id, by] of [["a"], ["b"], ["a", "x"], ["c"], ["b", "y"]]) await record(id, by);
      await store.transaction((_, out) => void out.start(Other, { room: "1" }, { id: "z" }));
      await store.transaction((_, out) => void out.publish(Booked, { room: "c", n: 1 }));
      for (const [id, by] of [["c", "z"], ["d"], ["a", "z"]]) await record(id, by);
      const table = relayTable(opened.db, tableNames(opened.db.dialect, schema), "main");
      const all = await run(`SELECT n FROM ${tableNames(opened.db.dialect, schema).outbox} ORDER BY n`);
      const numbers = all.map(({ n }) => String(n));
      /** The keys and kinds of the rows behind that of an index. */
      const taken = async (after: number, most: number, without: number[] = []) => {
        const chosen = { workflow: "Stay", most, without: without.map((index) => numbers[index]) };
        const rows = await table.runs({ ...chosen, after: after < 0 ? "0" : numbers[after] });
        const places = rows.map(({ n }) => numbers.indexOf(n));
        assertEquals(places, places.toSorted((a, b) => a - b));
        return rows.map(({ key, kind }) => `${key} ${kind}`);
      };
      assertEquals(await taken(-1, 4), ["a start", "b start", "a tell", "c start"]);
      assertEquals(await taken(0, 3), ["b start", "c start", "b tell"]);
      // a signal does not go before its start
      assertEquals(await taken(1, 9), ["c start", "c tell", "d start"]);
      assertEquals(await taken(3, 9), ["d start"]);
      // what is under way, or is about to be deleted, is not taken again
      assertEquals(await taken(1, 9, [0, 2]), ["c start", "c tell", "d start", "a tell"]);
      assertEquals(await taken(9, 9), []);
    });

    it("lists what waits by key and run, the oldest first, with the cause where it relays", async () => {
      const { store, names, run, start } = await newStore();
      for (const [room, n] of [["7", 1], ["8", 2], ["7", 3]] as const) {
        await store.transaction((_, out) => void out.publish(Booked, { room, n }));
      }
      await store.transaction((_, out) => {
        out.start(Stay, { room: "7" }, { id: "r-1" });
        out.tell(Paid, "r-1", { by: "x" });
      });
      await store.transaction((_, out) => void out.enqueue(Charge, { cents: 1 }, { id: "c" }));
      const shown = (await store.lanes()).map(({ kind, contract, key, rows, why }) => [kind, contract, key, rows, why]);
      assertEquals(shown, [
        ["event", "Booked", "7", 2, undefined],
        ["event", "Booked", "8", 1, undefined],
        ["run", "Stay", "r-1", 2, undefined],
        ["command", "Charge", undefined, 1, undefined],
      ]);
      const [{ oldest }] = await store.lanes();
      assert(oldest >= 0 && oldest < 120_000, `${oldest}`);
      assertEquals((await store.lanes({ max: 1 })).map(({ key }) => key), ["7"]);
      await assertRejects(() => store.lanes({ max: 0 }), RangeError, "store.lanes: max");
      // what was set aside waits for nothing
      await run(`UPDATE ${names("outbox")} SET refused = 'ID_REUSED' WHERE id = ?1`, ["c"]);
      assertEquals((await store.lanes()).length, 3);
      await using _ = await start();
      // nothing here handles the workflow
      await eventually("the cause", async () => {
        const lanes = await store.lanes();
        return lanes.length === 1 && lanes[0].why !== undefined;
      });
      const [left] = await store.lanes();
      assertEquals([left.kind, left.key, left.why!.split(":")[0]], ["run", "r-1", "NO_HANDLER"]);
    });

    it("passes correlation, causation and carried headers on to what a handler collects", async () => {
      const { store, start } = await newStore();
      const seen: Record<string, unknown>[] = [];
      const chain = store.handler(({ n }: { n: number }, ctx, _, out) => {
        seen.push({
          n,
          id: ctx.id,
          of: ctx.correlationId,
          by: ctx.causationId,
          trace: ctx.headers.traceparent,
          own: ctx.headers.own,
        });
        if (n === 1) out.publish(Booked, { room: "7", n: 2 }, { id: "two", headers: { own: "yes" } });
      });
      await using app = await start(Booked.on(chain));
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
      await app.publish(Booked, { room: "7", n: 1 }, { id: "one", headers: { traceparent } });
      await eventually("both", () => seen.length === 2);
      assertEquals(seen, [
        { n: 1, id: "one", of: "one", by: undefined, trace: traceparent, own: undefined },
        { n: 2, id: "two", of: "one", by: "one", trace: traceparent, own: "yes" },
      ]);
    });

    it("does not start without its tables, and prints their statements; newer tables are taken", async () => {
      const { run, names, start } = await newStore();
      const missing = sqlStore(opened.db, { schema: `none${stores}` });
      const error = await assertRejects(() => catga({ sql: [missing], logger: QUIET }), Error, "are missing");
      assert(`${error}`.includes("CREATE TABLE"), `${error}`);
      await run(`UPDATE ${names("version")} SET n = 99`);
      await using _ = await start();
    });

    it("stops its relay with an alarm when the database is older than what was published from it", async () => {
      const { store, schema, run, names, start } = await newStore();
      const got: number[] = [];
      const handlers = Booked.on(({ n }) => void got.push(n));
      const app = await start(handlers);
      await using _ = app;
      const publish = (n: number) => store.transaction((_, out) => void out.publish(Booked, { room: "7", n }));
      await publish(1);
      await eventually("the first", () => got.length === 1);
      await eventually("an empty outbox", async () => (await store.backlog()).rows === 0);
      // as after a restore of a copy: the numbers of the relay are those of earlier
      await run(`UPDATE ${names("relay")} SET batch = 0`);
      await publish(2);
      const alarm = () => app.health().alarms.find(({ kind }) => kind === "outbox-halted");
      await eventually("the alarm", () => alarm() !== undefined);
      assertEquals([got, alarm()!.about], [[1], "main"]);
      // another process knows it from the cluster; here it is another store of the same process
      const other = sqlStore(opened.db, { schema });
      await assertRejects(() => other.resume(), Error, "no node of this process");
      await store.resume();
      await eventually("what waited", () => got.length === 2);
      assertEquals(app.health().alarms.filter(({ kind }) => kind === "outbox-halted"), []);
    });

    it("keeps a table that follows the log: each event once, in order, also after it is built anew", async () => {
      const { store, run, names, see, seen, start } = await newStore();
      let failures = 2;
      store.project("rooms", Booked, (events, tx) => {
        const rows = inOrder(events.map(({ payload: { n } }) => () => see(`${n}`, tx)));
        return then(rows, () => {
          if (failures-- > 0) throw new Error("not yet");
        });
      });
      assertThrows(() => store.project("rooms", Booked, () => {}), TypeError, "kept already");
      const app = await start();
      await using _ = app;
      for (const n of [1, 2, 3]) await app.publish(Booked, { room: `${n}`, n });
      await eventually("three rows", async () => (await seen()).length >= 3);
      const before = await store.position("rooms");
      assertEquals([await seen(), before > 0], [["1", "2", "3"], true]);
      await store.transaction((tx) =>
        then(store.rebuild(tx, "rooms"), () => void run(`DELETE FROM ${names("seen")}`, [], tx))
      );
      await eventually("three rows again", async () => (await seen()).length >= 3);
      await app.publish(Booked, { room: "4", n: 4 });
      await eventually("a fourth row", async () => (await seen()).length >= 4);
      assertEquals(await seen(), ["1", "2", "3", "4"]);
      assert(await store.position("rooms") > before);
    });

    it("has options that are checked", () => {
      assertThrows(() => sqlStore(opened.db, { schema: "a b" }), RangeError, "schema");
      assertThrows(() => sqlStore(opened.db, { keep: 1 }), RangeError, "keep");
      assertThrows(() => sqlStore(opened.db, { nam: "x" } as never), TypeError, "nam");
    });
  });
}

/** Returns a statement with its parameters as PostgreSQL takes them. */
function inDialect({ dialect }: SqlDatabase<unknown>, text: string): string {
  return dialect === "sqlite" ? text : text.replaceAll(/\?(\d+)/g, "$$$1::text");
}

/** Goes on with a value at once, or when its promise resolves: transactions of SQLite must not await. */
function then<A, B>(value: A | Promise<A>, next: (value: A) => B | Promise<B>): B | Promise<B> {
  return value instanceof Promise ? value.then(next) : next(value);
}

function inOrder(work: readonly (() => unknown)[]): void | Promise<void> {
  let last: unknown;
  for (const each of work) last = last instanceof Promise ? last.then(each) : each();
  return last instanceof Promise ? last.then(() => {}) : undefined;
}

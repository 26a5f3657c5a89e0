/** The recipe of docs/testing.md: `explore` over a program with a real database, if one can be had. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { event } from "@catga/catga";
import { sqlStore } from "@catga/catga/sql";
import { explore, ExploreError, type ExploreOptions, guarantees, mayHaveHappened } from "@catga/catga/testing";
import { type Database, findPglite, findPostgres } from "./support/databases.ts";
import { ofThisRuntime } from "./support/of_this_runtime.ts";
import { openSqlite } from "./support/sql_databases.ts";

const Sold = event<{ item: string }>("Sold", { durable: true, key: ({ item }) => item });

let tables = 0;

/** A table for each run, in which a subscription counts sales by what `count` writes. */
function program(database: Database, count: (table: string, id: string) => string): ExploreOptions<string> {
  return {
    world: () => `sales_${++tables}`,
    handlers: ({ world, io }) =>
      Sold.on(async (_, ctx) => void await io(database.query(count(world, ctx.id))), { name: "sales" }),
    workload: async ({ app, step, world, io }) => {
      await io(database.query(`create table ${world} (id text primary key, pieces int)`));
      for (const item of ["tea", "cups", "pots"]) await step("sell", () => app.publish(Sold, { item }));
    },
    check: async ({ history, world, io }) => {
      const [pieces] = await io(database.query(`select coalesce(sum(pieces), 0) from ${world}`));
      const sold = history.operations.filter(({ outcome }) => outcome?.type === "ok").length;
      const most = history.operations.filter(({ outcome }) => mayHaveHappened(outcome)).length;
      if (Number(pieces) >= sold && Number(pieces) <= most) return;
      throw new Error(`${sold} pieces were sold, and ${pieces} are counted`);
    },
    faults: ["kill", "redelivery"],
    repeatable: false, // queries that run at a time may end in another order
    shrink: 0,
  };
}

const counted = (table: string) =>
  `insert into ${table} values ('all', 1) on conflict (id) do update set pieces = ${table}.pieces + 1`;
const once = (table: string, id: string) => `insert into ${table} values ('${id}', 1) on conflict do nothing`;

// both with both runtimes: src/sql
for (const [name, source] of ofThisRuntime([["PGlite", await findPglite()], ["PostgreSQL", findPostgres()]] as const)) {
  describe(`explore with ${name}`, { skip: "missing" in source ? source.missing : false, timeout: 300_000 }, () => {
    it("finds a handler that counts each attempt, and accepts one that knows the id", async () => {
      if (!("open" in source)) return;
      await using database = await source.open();
      const error = await explore({ ...program(database, counted), seeds: 100 }).catch((error) => error);
      assertEquals(error instanceof ExploreError, true);
      assertMatch(error.cause.message, /^\d pieces were sold, and \d are counted$/);
      assertEquals((await explore({ ...program(database, once), seeds: 4 })).seeds, 4);
    });
  });
}

describe("guarantees with a store of explore", { timeout: 120_000 }, () => {
  it("waits for the outbox, and finds a driver that has committed what it says was rolled back", async () => {
    await using opened = await openSqlite();
    let lies = false;
    const store = sqlStore({
      ...opened.db,
      transaction: (fn) => {
        const value = opened.db.transaction(fn);
        if (lies) throw new Error("the disk is full");
        return value;
      },
    });
    await store.migrate();
    const options = (): ExploreOptions => ({
      sql: () => [store],
      handlers: Sold.on(() => {}, { name: "desk" }),
      workload: async ({ step }) => {
        lies = false;
        for (const item of ["tea", "cups"]) {
          await step("sell", () => store.transaction((_, out) => void out.publish(Sold, { item })));
        }
      },
      check: [guarantees(Sold), ({ history: { transactions, attempts } }) => {
        const sold = transactions.flatMap(({ recorded, outcome }) => recorded.map(({ key }) => [key, outcome]));
        assertEquals(sold, [["tea", "committed"], ["cups", "committed"]]);
        assertEquals(new Set(attempts.map(({ key }) => key)), new Set(["tea", "cups"]));
      }],
      seeds: 5,
    });
    await explore(options());
    const lying: ExploreOptions = {
      ...options(),
      workload: () => {
        lies = true;
        const sold = store.transaction((_, out) => void out.publish(Sold, { item: "pots" }));
        return sold.then(() => {}, () => void (lies = false));
      },
      check: guarantees(Sold),
      faults: [],
      seeds: 1,
      shrink: 0,
    };
    const error = await explore(lying).catch((error) => error);
    assertEquals(error instanceof ExploreError, true, `${error}`);
    assertMatch(error.cause.message, /event Sold .* its publisher got ROLLED_BACK/);
  });
});

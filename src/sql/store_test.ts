import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { catga, event, workflow } from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../testing/mod.ts";
import { findPglite } from "../../test/support/databases.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { openPglite, openSqlite } from "../../test/support/sql_databases.ts";
import { type SqlDatabase, sqlStore } from "./mod.ts";
import { testStore } from "./store_suite.ts";

testStore("SQLite", () => openSqlite());

const found = await findPglite();
testStore("PGlite", openPglite, "missing" in found ? found.missing : undefined);

describe("a store of a node", () => {
  it("draws its ids from the randomness of the node's network, so that a seed has the same ones each time", async () => {
    const Booked = event<{ n: number }>("Booked", { durable: true });
    const Stay = workflow<{ n: number }, void>("Stay");
    const Left = Stay.signal<void>("Left");
    const ids = async (seed: number) => {
      await using opened = await openSqlite();
      const store = sqlStore(opened.db);
      await store.migrate();
      const network = new MemoryNetwork({ seed });
      await using _ = await catga({ network, sql: [store], id: "a", logger: QUIET });
      return await store.transaction((_, out) => {
        const run = out.start(Stay, { n: 1 });
        return [run, out.tell(Left, run), out.publish(Booked, { n: 1 })];
      });
    };
    const first = await ids(7);
    assertEquals(new Set(first).size, 3);
    assertEquals(await ids(7), first);
    assertNotEquals(await ids(8), first);
  });

  it("has an effect when the time of its handler is over, if a driver never ends the first transaction", async () => {
    const Booked = event<{ n: number }>("Booked", { durable: true });
    let begun = 0;
    const lost: SqlDatabase<string> = {
      dialect: "postgres",
      run: (_, text) =>
        Promise.resolve(
          text.includes("AS life") ? [{ life: "1" }] : [{ place: "1", xid: "7" }].slice(+text.includes(" result ")),
        ),
      transaction: async (fn) => {
        if (++begun === 1) await new Promise(() => {}); // its connection was lost
        return await fn("tx");
      },
    };
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const had = Promise.withResolvers<number>();
    // twice the store's `timeout` would be 60 s
    const effect = sqlStore(lost).handler(() => had.resolve(clock.now()));
    const handlers = Booked.on(effect, { name: "desk", timeout: 2_000, retry: { delay: [20, 200] } });
    await using app = await catga({ network, handlers, id: "a", logger: QUIET });
    const began = clock.now();
    await app.publish(Booked, { n: 1 });
    const took = await clock.until(had.promise) - began;
    assert(took >= 2_000 && took < 2_500, `${took}`);
    assertEquals(begun, 2);
  });
});

describe("a store beside Catga's own file", () => {
  it("publishes at the next start what was committed without an app, and nothing again after it", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-sql-"));
    const Booked = event<{ n: number }>("Booked", { durable: true });
    const got: number[] = [];
    try {
      for (const [life, expected] of [[1], [1, 2], [1, 2, 3]].entries()) {
        await using opened = await openSqlite(join(folder, "shop.sqlite"));
        const store = sqlStore(opened.db, { poll: 20 });
        await store.migrate();
        await store.transaction((_, out) => void out.publish(Booked, { n: life + 1 }));
        const handlers = Booked.on(store.handler(({ n }) => void got.push(n)), { name: "desk", from: "start" });
        await using _ = await catga({ file: join(folder, "catga.db"), sql: [store], handlers, logger: QUIET });
        await eventually("the event", async () => got.length >= expected.length && (await store.backlog()).rows === 0);
        assertEquals(got, expected);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

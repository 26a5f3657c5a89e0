import { assertEquals } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { catga, event } from "../../mod.ts";
import { findPglite } from "../../test/support/databases.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { openPglite, openSqlite } from "../../test/support/sql_databases.ts";
import { sqlStore } from "./mod.ts";
import { testStore } from "./store_suite.ts";

testStore("SQLite", () => openSqlite());

const found = await findPglite();
testStore("PGlite", openPglite, "missing" in found ? found.missing : undefined);

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

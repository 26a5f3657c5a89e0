/** A transaction reports its commit truly, over drivers that lose connections, lie, or never answer. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { openSqlite } from "../../test/support/sql_databases.ts";
import { event } from "../../mod.ts";
import { CatgaError } from "../error.ts";
import type { SqlDatabase, SqlRow } from "./database.ts";
import { type SqlStore, sqlStore } from "@catga/catga/sql";

const Booked = event<number>("Booked", { durable: true });

/** A driver of a server: `commit` is what a COMMIT does, `status` what the server says of the transaction later. */
function driver(
  { commit, status = () => [{ status: "committed" }], guard, places = ["1", "1"], life = () => "first" }: {
    readonly commit: () => unknown;
    readonly status?: () => SqlRow[];
    readonly guard?: boolean;
    readonly places?: readonly string[];
    /** The life of the server, from one crash to the next. */
    readonly life?: () => string | Promise<string>;
  },
): SqlDatabase<string> {
  let looks = 0;
  return {
    dialect: "postgres",
    guard,
    run: (_, text) => {
      if (text.includes("pg_xact_status")) {
        return Promise.resolve().then(status).then(async (rows) => {
          const own = await life();
          return rows.map((row) => ({ ...row, life: own }));
        });
      }
      if (text.includes("pg_backend_pid")) {
        const place = places[looks++ % places.length];
        return Promise.resolve().then(async () => [{ place, xid: "7", life: guard ? await life() : undefined }]);
      }
      if (text.includes("AS life")) return Promise.resolve().then(async () => [{ life: await life() }]);
      return Promise.resolve([]);
    },
    transaction: async (fn) => {
      const value = await fn("tx");
      await commit();
      return value;
    },
  };
}

const reset = () => {
  throw Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
};

/** Runs a transaction and an effect with an id. Resolves with the value of each, or with its error's code. */
async function said(db: SqlDatabase<string>): Promise<string[]> {
  const store = sqlStore(db, { timeout: 300 });
  const each = async (work: (store: SqlStore<string>) => Promise<string>) =>
    await work(store).catch((error) => (error as CatgaError).code ?? (error as Error).message);
  return await Promise.all([
    each((store) => store.transaction(() => "value")),
    each((store) => store.once("scope", "id", () => "value")),
  ]);
}

describe("a transaction whose COMMIT was not answered", () => {
  it("succeeds if the server says that it has committed, and is UNAVAILABLE if not", async () => {
    assertEquals(await said(driver({ commit: reset })), ["value", "value"]);
    const status = () => [{ status: "aborted" }];
    assertEquals(await said(driver({ commit: reset, status })), ["UNAVAILABLE", "UNAVAILABLE"]);
  });

  it("is asked for again while it is in progress", async () => {
    let asked = 0;
    const status = () => [{ status: ++asked < 2 ? "in progress" : "committed" }];
    const store = sqlStore(driver({ commit: reset, status }));
    assertEquals([await store.transaction(() => "value"), asked], ["value", 2]);
  });

  it("is OUTCOME_UNKNOWN if the server stays away, or never had it; with an id UNAVAILABLE, to be tried again", async () => {
    assertEquals(await said(driver({ commit: reset, status: reset })), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
    const future = () => {
      throw Object.assign(new Error("transaction ID 7 is in the future"), { code: "22023" });
    };
    assertEquals(await said(driver({ commit: reset, status: future })), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
    const forgotten = () => [{ status: null }];
    assertEquals(await said(driver({ commit: reset, status: forgotten })), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
  });

  it("is OUTCOME_UNKNOWN if the server has crashed, and has perhaps given its number to another one", async () => {
    let life = "first";
    const crash = () => {
      life += " and next";
      reset();
    };
    assertEquals(await said(driver({ commit: crash, life: () => life })), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
    // a number that was rolled back was never committed in any life
    const aborted = () => [{ status: "aborted" }];
    const db = driver({ commit: crash, life: () => life, status: aborted });
    assertEquals(await said(db), ["UNAVAILABLE", "UNAVAILABLE"]);
    // the next transactions begin in the life that is there
    let isDown = true;
    const store = sqlStore(driver({ commit: () => isDown ? crash() : reset(), life: () => life }), { timeout: 300 });
    await assertRejects(() => store.transaction(() => "value"), CatgaError, "crashed");
    isDown = false;
    assertEquals(await store.transaction(() => "value"), "value");
  });

  it("is OUTCOME_UNKNOWN if its driver never ends it", async () => {
    const never = () => new Promise(() => {});
    assertEquals(await said(driver({ commit: never })), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
  });
});

describe("a transaction that its driver says has committed", () => {
  it("is UNAVAILABLE if the driver is one to be asked, and the server says that it was rolled back", async () => {
    const db = driver({ commit() {}, status: () => [{ status: "aborted" }], guard: true });
    assertEquals(await said(db), ["UNAVAILABLE", "UNAVAILABLE"]);
    assertEquals(await said(driver({ commit() {}, guard: true })), ["value", "value"]);
  });

  it("succeeds after the server has crashed while none ran, and the driver has connected again by itself", async () => {
    let life = "first";
    let crash = () => {};
    const store = sqlStore(driver({ commit: () => crash(), guard: true, life: () => life }));
    assertEquals(await store.transaction(() => "value"), "value");
    life = "next";
    assertEquals(await store.transaction(() => "value"), "value");
    crash = () => void (life = "last");
    await assertRejects(() => store.transaction(() => "value"), CatgaError, "crashed");
  });

  it("is UNAVAILABLE if its last statement ran on another connection than its first", async () => {
    const store = sqlStore(driver({ commit() {}, guard: true, places: ["1", "2"] }));
    await assertRejects(() => store.transaction(() => "value"), CatgaError, "connection of the transaction was lost");
  });
});

describe("a transaction that fails by itself", () => {
  it("leaves later ones alone, also if it was the first one of its store (all of them failed in the same way)", async () => {
    let isBusy = true;
    const life = () => {
      if (isBusy) throw Object.assign(new Error("canceling statement due to statement timeout"), { code: "57014" });
      return "first";
    };
    const store = sqlStore(driver({ commit() {}, life }));
    await assertRejects(() => store.transaction(() => "value"), Error, "statement timeout");
    isBusy = false;
    assertEquals(await store.transaction(() => "value"), "value");
  });

  it("holds up no later one, if the connection on which it asked for the life of the server never answers", async () => {
    let asked = 0;
    const never = new Promise<string>(() => {});
    const store = sqlStore(driver({ commit() {}, life: () => ++asked === 1 ? never : "first" }), { timeout: 300 });
    const first = store.once("scope", "1", () => "value");
    // beside it, and behind it
    assertEquals(await store.once("scope", "2", () => "value"), "value");
    await assertRejects(() => first, CatgaError, "has not ended after 600 ms");
    assertEquals(await store.once("scope", "3", () => "value"), "value");
  });

  it("holds up no later one, if its caller has given up", async () => {
    let asked = 0;
    const never = new Promise<string>(() => {});
    const store = sqlStore(driver({ commit() {}, life: () => ++asked === 1 ? never : "first" }), { timeout: 300 });
    const caller = new AbortController();
    const first = store.once("scope", "1", () => "value", { signal: caller.signal });
    caller.abort(new Error("given up"));
    await assertRejects(() => first, Error, "given up");
    assertEquals(await store.once("scope", "1", () => "value"), "value");
  });

  it("rejects with what its function threw, and is run again after a deadlock", async () => {
    const store = sqlStore(driver({ commit() {} }));
    const own = new Error("mine");
    assertEquals(await store.transaction(() => Promise.reject(own)).catch((error) => error), own);
    let runs = 0;
    const value = await store.transaction(() => {
      if (++runs < 3) throw Object.assign(new Error("deadlock detected"), { code: "40P01" });
      return "value";
    });
    assertEquals([value, runs], ["value", 3]);
  });

  it("is run again, and UNAVAILABLE, by what Prisma has beside its own codes", async () => {
    // as 7.10.1 with its adapter for pg throws them
    const prisma = (code: string, cause: object) =>
      Object.assign(new Error("Raw query failed"), { code, meta: { driverAdapterError: { cause } } });
    const store = sqlStore(driver({ commit() {} }));
    for (
      const cause of [{ originalCode: "40001" }, { originalCode: "23505", originalMessage: 'unique "done_pkey"' }]
    ) {
      let runs = 0;
      const value = await store.transaction(() => {
        if (++runs === 1) throw prisma("P2010", cause);
        return "value";
      });
      assertEquals([value, runs], ["value", 2]);
    }
    for (const code of ["P2010", "P1001"]) {
      const away = () => Promise.reject(prisma(code, { kind: "DatabaseNotReachable" }));
      assertEquals((await store.transaction(away).catch((error) => error)).code, "UNAVAILABLE");
    }
    const own = prisma("P2010", { originalCode: "23505", originalMessage: 'unique "booking_pkey"' });
    assertEquals(await store.transaction(() => Promise.reject(own)).catch((error) => error), own);
  });

  it("must collect again what it records, if the program has begun it and runs it again after a rollback", async () => {
    await using opened = await openSqlite();
    const { db } = opened;
    const store = sqlStore(db);
    await store.migrate();
    const out = store.out();
    const write = (then = () => {}) =>
      db.transaction((tx) => {
        store.write(tx, out);
        then();
      });
    write(); // nothing was collected
    out.publish(Booked, 1);
    const fail = () => {
      throw new Error("no");
    };
    assertThrows(() => write(fail), Error, "no");
    assertThrows(() => write(), TypeError, "collect it again"); // it committed without the event
    out.publish(Booked, 1);
    write();
    assertEquals((await store.backlog()).rows, 1);
  });
});

/** Tests of publishing, schedules included, on a real nats-server. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { catga, command, event, type Result, unwrap, workflow } from "../../../mod.ts";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { openTransport } from "../../nats/harness_suite.ts";
import { beforeItsTime } from "../../../test/support/before_its_time.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { readAll } from "../../../test/support/read_log.ts";
import { fillStore, SMALL_STORE } from "../../../test/support/small_store.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import type { LoggedMessage } from "../format/logged_message.ts";
import { QUIET } from "../../../test/support/quiet.ts";

const Placed = event<{ n: number }>("orders.Placed", { durable: true, key: ({ n }) => `${n % 5}` });
const Mail = command<{ n: number }>("Mail", { durable: { keep: 150_000 } });

const Nap = workflow<void, string>("Nap");

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };
const required = await requireNatsServer();

describe("publishing on NATS", required, () => {
  it("each ok is stored once and in order, over kills of the server", async () => {
    await using folder = await temporary();
    let server = await startNatsServer({ storeDir: folder.path });
    const { url, port } = server;
    const apps = await Promise.all(["a", "b"].map((id) => catga({ nats: url, id, logger: QUIET })));
    const results = new Map<number, Result<void>>();
    let n = 0;
    let stop = false;
    const publishing = apps.flatMap((app, of) =>
      Array.from({ length: 32 }, async () => {
        while (!stop) {
          const mine = n++ * 2 + of;
          const options = mine % 50 === 0 ? { id: `id.${mine}` } : undefined;
          results.set(mine, await app.publish(Placed, { n: mine }, options));
        }
      })
    );
    try {
      for (let round = 0; round < 3; round++) {
        const before = results.size;
        await eventually("some to be published", () => results.size > before + 2_000);
        await server.kill(round === 1 ? "SIGTERM" : "SIGKILL");
        await server.stop();
        await wait(50);
        server = await startNatsServer({ storeDir: folder.path, port });
      }
      const before = results.size;
      await eventually("the rest", () => results.size > before + 2_000);
      stop = true;
      await Promise.all(publishing);
      const places = new Map<number, number[]>();
      for (const { payload, position } of await all(url)) {
        const { n } = payload as { n: number };
        places.set(n, [...places.get(n) ?? [], position]);
      }
      const wrong: string[] = [];
      for (const [n, result] of results) {
        const { length } = places.get(n) ?? [];
        const code = result.error?.code ?? "ok";
        const right = code === "ok" ? length === 1 : code === "UNAVAILABLE" ? length === 0 : length <= 1;
        if (!right) wrong.push(`${n}: ${code}, stored ${length} times`);
      }
      assertEquals(wrong, []);
      for (const parity of [0, 1]) {
        const own = [...results].filter(([n, { ok }]) => ok && n % 2 === parity).map(([n]) => n).sort((a, b) => a - b);
        const overtaken = own.slice(1).filter((n, i) => places.get(n)![0] < places.get(own[i])![0]);
        assertEquals(overtaken, [], "stored before an earlier one of the same process");
      }
    } finally {
      stop = true;
      await Promise.all(apps.map((app) => app.drain({ timeout: 0 })));
      await server.stop();
    }
  });

  it("a user's id is stored once in each category; a payload over max_payload is TOO_LARGE", async () => {
    await using server = await startNatsServer({ config: "max_payload: 65536" });
    await using app = await catga({ nats: server.url, logger: QUIET });
    for (let i = 0; i < 3; i++) {
      assertEquals((await app.publish(Placed, { n: 0 }, { id: "same id" })).ok, true);
      assertEquals((await app.enqueue(Mail, { n: 0 }, { id: "same id" })).ok, true);
      const others = [
        await app.publish(Placed, { n: 1 }, { id: "same id" }),
        await app.enqueue(Mail, { n: 1 }, { id: "same id" }),
      ];
      assertEquals(others.map(({ error }) => error?.code), ["ID_REUSED", "ID_REUSED"]);
    }
    const Big = event<string>("Big", { durable: true });
    assertEquals((await app.publish(Big, "x".repeat(70_000))).error?.code, "TOO_LARGE");
    const together = await Promise.all(Array.from({ length: 100 }, () => app.publish(Big, "x".repeat(20_000))));
    assertEquals(together.filter(({ ok }) => ok).length, 100);
    const stored = await all(server.url);
    assertEquals(stored.slice(0, 2).map(({ category, id, payload, meta }) => ({ category, id, payload, meta })), [
      { category: "orders.Placed", id: "same id", payload: { n: 0 }, meta: undefined },
      { category: "Mail", id: "same id", payload: { n: 0 }, meta: { k: 150_000 } },
    ]);
    assertEquals(stored.length, 102);
  });

  it("a schedule fires once, not before its time; the same id replaces it; one that is taken back does not fire", async () => {
    await beforeItsTime(3_000, async (lead) => {
      await using server = await startNatsServer();
      await using app = await catga({ nats: server.url, logger: QUIET });
      const begin = Date.now();
      const later = { delay: 60_000 };
      await ok(app.enqueue(Mail, { n: 1 }, { id: "replaced", ...later }));
      await ok(app.enqueue(Mail, { n: 2 }, { id: "replaced", delay: 400 }));
      await ok(app.enqueue(Mail, { n: 3 }, { id: "taken back", delay: lead }));
      const takenBack = await app.unschedule(Mail, "taken back");
      if (Date.now() >= begin + lead) return false;
      assertEquals(takenBack, true);
      // the message is due after the schedule that was taken back
      await ok(app.publish(Placed, { n: 4 }, { at: new Date(begin + lead + 500) }));
      await ok(app.publish(Placed, { n: 5 }, { at: new Date(begin - 60_000), id: "past" }));
      await ok(app.enqueue(Mail, { n: 6 }, { id: "again", cron: "* * * * * *" }));
      assertEquals(await app.unschedule(Mail, "taken back"), false);
      assertEquals(await app.unschedule(Mail, "never"), false);
      const stored = await eventually("all to fire", async () => {
        const stored = await all(server.url);
        return new Set(numbers(stored)).size === 4 && numbers(stored).filter((n) => n === 6).length > 1
          ? stored
          : undefined;
      });
      assert(stored !== undefined);
      assertEquals(await app.unschedule(Mail, "again"), true);
      assertEquals(await app.unschedule(Mail, "replaced"), false);
      const { length } = await all(server.url);
      assertEquals(numbers(stored).filter((n) => n !== 6).sort(), [2, 4, 5]);
      for (const { payload, time, id } of stored) {
        const { n } = payload as { n: number };
        if (n === 2) {
          assert(time >= begin + 400, `${time - begin}`);
          assert(/^replaced@\d+$/.test(id), id);
        }
        if (n === 4) assert(time >= begin + lead + 500, `${time - begin}`);
        if (n === 6) assertEquals(id, `again@${time}`);
      }
      const ids = stored.map(({ id }) => id);
      assertEquals(new Set(ids).size, ids.length);
      await wait(1_500); // 1.5 s are long enough: a cron that still existed would fire in each second
      assertEquals((await all(server.url)).length, length);
      // the id of a schedule that was taken back may be used again
      await ok(app.enqueue(Mail, { n: 7 }, { id: "taken back", delay: 0 }));
      await eventually("it to fire", async () => numbers(await all(server.url)).includes(7));
      assert(!numbers(await all(server.url)).includes(3));
      return true;
    });
  });

  it("what is due already is stored once for its id, and takes the place of what was scheduled", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    for (let i = 0; i < 2; i++) {
      await ok(app.enqueue(Mail, { n: 1 }, { id: "twice", delay: 0 }));
      await ok(app.enqueue(Mail, { n: 2 }, { id: "past", at: new Date(Date.now() - 60_000) }));
      await ok(app.enqueue(Mail, { n: 3 }, { id: "books", cron: "0 0 0 29 2 *" }));
      await ok(app.enqueue(Mail, { n: 4 }, { id: "books", delay: 0 }));
      await wait(400);
    }
    assertEquals(await app.unschedule(Mail, "books"), false);
    assertEquals(await app.unschedule(Mail, "twice"), false);
    const stored = await all(server.url);
    assertEquals(stored.map(({ id, payload }) => [id, (payload as { n: number }).n]), [
      ["twice", 1],
      ["past", 2],
      ["books", 4],
    ]);
  });

  it("around its time, a schedule is either taken back or handled, never both", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    const count = 200;
    const at = new Date(Date.now() + 1_500);
    await Promise.all(Array.from({ length: count }, (_, n) => ok(app.enqueue(Mail, { n }, { id: `${n}`, at }))));
    await wait(at.getTime() - Date.now() - 20);
    const taken: boolean[] = [];
    await Promise.all(Array.from({ length: count }, async (_, n) => {
      await wait(n / 5);
      taken[n] = await app.unschedule(Mail, `${n}`);
    }));
    const expected = taken.flatMap((back, n) => back ? [] : [n]);
    await eventually("the others to fire", async () => (await all(server.url)).length >= expected.length);
    await wait(500);
    assertEquals(numbers(await all(server.url)).sort((a, b) => a - b), expected);
  });

  it(
    "schedules that are due while the store is full fire once when there is room; crons and runs go on",
    slow,
    async () => {
      await beforeItsTime(5_000, async (lead) => {
        await using server = await startNatsServer({ config: SMALL_STORE });
        const nap = Nap.handle(async (run) => {
          await run.sleep("nap", lead + 1_000);
          return "awake";
        });
        const handlers = [Mail.handle(() => {}), nap];
        await using app = await catga({ nats: server.url, logger: QUIET, handlers });
        await ok(app.enqueue(Mail, { n: 0 }, { id: "often", cron: "* * * * * *" }));
        const at = new Date(Date.now() + lead);
        for (const n of [1, 2, 3]) await ok(app.enqueue(Mail, { n }, { id: `${n}`, at }));
        await ok(app.start(Nap, undefined, { id: "nap" }));
        await eventually("the run to sleep", async () => {
          for await (const { status } of app.runs()) if (status === "waiting") return true;
        });
        const mails = async () => (await all(server.url)).filter(({ category }) => category === "Mail");
        const empty = await full(server.url);
        if (Date.now() >= at.getTime()) {
          await empty();
          return false;
        }
        const end = at.getTime() + 2_000;
        await eventually("all to be due", () => Date.now() > end);
        assertEquals(numbers(await mails()).filter((n) => n > 0), []);
        const before = (await mails()).length;
        await empty();
        await eventually("each to fire, and the cron again", async () => {
          const fired = numbers(await mails());
          return new Set(fired).size === 4 && fired.length > before + 4;
        });
        assertEquals(unwrap(await app.result(Nap, "nap", { timeout: 60_000 })), "awake");
        const once = (await mails()).map(({ id }) => id.split("@")[0]).filter((id) => id !== "often");
        assertEquals(once.sort(), ["1", "2", "3"]);
        assertEquals(await app.unschedule(Mail, "often"), true);
        return true;
      });
    },
  );

  it("unschedule: one that was due while the store was full, and never fires, is taken back", slow, async () => {
    await beforeItsTime(1_500, async (lead) => {
      await using server = await startNatsServer({ config: SMALL_STORE });
      await using app = await catga({ nats: server.url, logger: QUIET });
      const at = new Date(Date.now() + lead);
      for (const n of [1, 2]) await ok(app.enqueue(Mail, { n }, { id: `${n}`, at }));
      const empty = await full(server.url);
      if (Date.now() >= at.getTime()) {
        await empty();
        return false;
      }
      await eventually("both to be due", () => Date.now() > at.getTime() + 1_500);
      await empty();
      assertEquals(await app.unschedule(Mail, "1"), true);
      assertEquals(await app.unschedule(Mail, "1"), false);
      // an immediate message with the same id takes the schedule back
      const replaced = await app.enqueue(Mail, { n: 3 }, { id: "2", delay: 0 });
      // a server that stood still when it was due fires it only now
      if (replaced.error?.code === "OUTCOME_UNKNOWN") return false;
      unwrap(replaced);
      await ok(app.enqueue(Mail, { n: 4 }, { id: "4", delay: 500 }));
      await eventually("what follows to fire", async () => numbers(await all(server.url)).includes(4));
      assertEquals(numbers(await all(server.url)), [3, 4]);
      return true;
    });
  });

  it("a bad cron, or zone, is refused by the server: an error that says so, at once", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    await using local = await catga({ logger: QUIET, handlers: Mail.handle(() => {}) });
    for (const node of [app, local]) {
      for (
        const [schedule, named] of [
          [{ cron: "0 61 5 * * *" }, 'cron "0 61 5 * * *"'],
          [{ cron: "0 0 5 * * *", zone: "Nowhere/Land" }, 'cron "0 0 5 * * *" and zone "Nowhere/Land"'],
        ] as const
      ) {
        const { error } = await node.enqueue(Mail, { n: 1 }, { id: "x", ...schedule });
        assertEquals([error?.code, error?.retryable], ["INVALID_MESSAGE", false]);
        assertStringIncludes(`${error?.message}`, `command Mail was not stored, with ${named}: `);
      }
    }
  });
});

async function ok(result: Promise<Result<unknown>>): Promise<void> {
  const { error } = await result;
  if (error !== undefined) throw error;
}

/** Fills the store of a server. Resolves with a function that makes room again. */
async function full(url: NatsServer["url"]): Promise<() => Promise<void>> {
  const admin = await connect({ servers: url });
  await fillStore(admin);
  return async () => {
    await admin.request("$JS.API.STREAM.DELETE.junk", "", PATIENT);
    await admin.close();
  };
}

function numbers(stored: readonly LoggedMessage[]): number[] {
  return stored.map(({ payload }) => (payload as { n: number }).n);
}

/** Reads all messages in the log of a server. */
async function all(url: NatsServer["url"]): Promise<LoggedMessage[]> {
  const transport = await openTransport(url);
  try {
    return await readAll(new NatsEventLog(transport));
  } finally {
    await transport.close();
  }
}

async function temporary(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), "catga-publishing-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

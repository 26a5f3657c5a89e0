/** Fault: schedules that are cancelled as they fire, and a server that is down when they are due. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { catga, type CatgaError, command, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { contracts } from "../processes/log_messages.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { chances } from "../support/chances.ts";
import { COUNT, firings, plan } from "../support/due_at_once.ts";
import { eventually } from "../support/eventually.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { readLogEntries } from "../support/log_stream.ts";
import { QUIET } from "../support/quiet.ts";

const HANDLES: readonly LogHandler[] = [
  { category: "Happened", name: "billing" },
  { category: "Also", name: "also" },
  { category: "Charge" },
];
const SUB = "app/billing";
/** How long before they are due schedules are made that a server is down for, in ms. */
const DELAY = 3_000;
/** Replaced schedules that are answered before their publisher dies: most, for it is to die as they fire. */
const TOLD = 160;
const { Happened, Charge } = contracts();
const Mail = command<{ n: number }>("Mail", { durable: true });

describe("schedules of the log", await requireNatsServer(), () => {
  it(
    "are cancelled or handled, exactly one, and once, also across a server's death",
    { timeout: 1_200_000 },
    async () => {
      await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
      const { caller } = cluster;
      const isHandled = (entry: string) => cluster.history.isHandled(SUB, entry);
      const [cancelled, gone]: string[][] = [[], []];
      const cancel = async (entries: readonly string[]) => {
        const taken = await Promise.all(
          entries.map((entry) =>
            caller.unschedule(Happened, entry).catch(({ code }: CatgaError) => {
              // one that was due when the server had the request may have fired
              assertEquals(code, "OUTCOME_UNKNOWN");
            })
          ),
        );
        cancelled.push(...entries.filter((_, i) => taken[i] === true));
        gone.push(...entries.filter((_, i) => taken[i] === false));
        return taken.every((it) => it === true);
      };
      let round = 0;
      const hasBoth = () => cancelled.length > 0 && gone.length > 0;
      // around the moment when half of them are due, the others soon
      await chances(9, async () => {
        const entries = Array.from({ length: 300 }, (_, i) => `cancel-${round}-${i}`);
        round++;
        await Promise.all(entries.map((entry, i) => {
          return cluster.publish("Happened", { entry, key: entry }, {
            id: entry,
            delay: 2_000 + 20 * Math.max(0, i - 150),
          });
        }));
        await cluster.until("the first to fire", () => entries.some(isHandled));
        await cancel(entries);
      }, hasBoth);
      assert(hasBoth(), `${cancelled.length} were cancelled, ${gone.length} had fired`);
      await cluster.until("those that fired to be handled", () => gone.every(isHandled));
      console.log(`${gone.length} of ${gone.length + cancelled.length} had fired when they were cancelled`);

      // those that are cancelled well before, of which none may fire even after a restart
      const down: string[] = [];
      const outage = async () => {
        const names = (what: string) => Array.from({ length: 50 }, (_, i) => `${what}-${round}-${i}`);
        const [early, late] = [names("early"), names("down")];
        round++;
        down.push(...late);
        const began = performance.now();
        await Promise.all(
          [...early, ...late].map((entry) =>
            cluster.publish("Happened", { entry, key: entry }, { id: entry, delay: DELAY })
          ),
        );
        const stored = performance.now();
        const areTaken = await cancel(early);
        cluster.fault("SIGKILL");
        await cluster.server.kill("SIGKILL");
        // none was due by then
        const isBefore = performance.now() - began < DELAY;
        if (isBefore) assert(areTaken, "one was not cancelled, and not due");
        await wait(stored + DELAY + 500 - performance.now());
        await cluster.restartServer();
        const back = performance.now();
        await cluster.until("what was due to be handled", () => late.every(isHandled));
        const took = Math.round(performance.now() - back);
        console.log(`due while the server was down: handled ${took} ms after its return`);
        return isBefore;
      };
      assert(await chances(5, outage, (isBefore) => isBefore), "the server was never down when they were due");
      await cluster.until("those that fired to be handled", () => gone.every(isHandled));
      for (const entry of cancelled) assertEquals(cluster.history.countOf(SUB, entry).runs, 0, entry);
      for (const entry of [...gone, ...down]) assertGreater(cluster.history.countOf(SUB, entry).runs, 0, entry);
      // a schedule that was taken back is not in the log, though its publisher was told ok
      await cluster.finish({ stored: false, stream: false });
    },
  );

  it(
    "and ids are of one category each; what is scheduled again under an id replaces it",
    { timeout: 1_200_000 },
    async () => {
      await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
      const { caller } = cluster;
      await cluster.publish("Happened", { entry: "one", key: "k" }, { id: "same" });
      await cluster.publish("Also", { entry: "other" }, { id: "same" });
      await cluster.settled();
      assertEquals(cluster.history.countOf(SUB, "one").runs, 1);
      assertEquals(cluster.history.countOf("app/also", "other").runs, 1);

      await cluster.publish("Happened", { entry: "first", key: "k" }, { id: "again", delay: 60_000 });
      assert(await caller.unschedule(Happened, "again"));
      assertEquals(await caller.unschedule(Happened, "again"), false);
      await cluster.publish("Happened", { entry: "second", key: "k" }, { id: "again", delay: 600_000 });
      await cluster.publish("Happened", { entry: "third", key: "k" }, { id: "again", delay: 1_500 });
      await cluster.until("the third to be handled", (history) => history.isHandled(SUB, "third"));
      for (const entry of ["first", "second"]) assertEquals(cluster.history.countOf(SUB, entry).runs, 0, entry);
      assertEquals(cluster.history.countOf(SUB, "third").runs, 1);
      assertEquals((await cluster.read()).violations, []);
    },
  );

  it("by cron run each time, beside commands with an id, which run once", { timeout: 1_200_000 }, async () => {
    await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
    const { caller } = cluster;
    unwrap(await cluster.publish("Charge", { entry: "cron" }, { id: "books", cron: "*/1 * * * * *" }));
    unwrap(await cluster.publish("Charge", { entry: "once", seq: 1 }, { id: "once" }));
    const runs = (entry: string) => cluster.history.countOf("Charge", entry).runs;
    await cluster.until("some firings", () => runs("cron") >= 3 && runs("once") > 0);
    // its recorded result is what a send with that id gets
    const sent = await caller.send(Charge, { entry: "once", seq: 1 }, { id: "once" });
    assertEquals([sent.value, sent.error?.message], ["once", undefined]);
    assertEquals(runs("once"), 1);
    assert(await caller.unschedule(Charge, "books"));
    const stored = async () =>
      (await readLogEntries(cluster.urls, cluster.namespace)).filter((it) => it === "cron").length;
    const fired = await stored();
    await cluster.until("what fired to be handled", () => runs("cron") >= fired);
    await wait(2_500);
    assertEquals(await stored(), fired, "it fired after it was taken back");
    assertEquals(cluster.history.violations, []);
  });

  it("replaced around their time by a publisher that dies meanwhile are not lost", { timeout: 1_200_000 }, async () => {
    // on a busy machine all may be answered at once
    const { ok, unknown } = await chances(5, replaceAndDie, ({ unknown }) => unknown > 0);
    assertGreater(ok, 0);
    assertGreater(unknown, 0);
  });
});

/**
 * Schedules that are replaced around their time by a publisher that dies: how many replacements were `ok`, and of how
 * many that it had under way the outcome is unknown.
 */
async function replaceAndDie(): Promise<{ ok: number; unknown: number }> {
  await using server = await startNatsServer();
  const proxy = await startTcpProxy(server.port);
  try {
    await using app = await catga({ nats: proxy.url, logger: QUIET });
    await app.unschedule(Mail, "none"); // opens the log
    const due = await plan(server.url, "Mail");
    const told = new Map<number, string>();
    // on a busy machine they are due by now, and are to be answered one after the other nevertheless
    const first = Math.max(due - 150, Date.now());
    let isCut = false;
    const calls = Array.from({ length: COUNT }, async (_, n) => {
      await wait(first + 1.2 * n - Date.now());
      const { error } = await app.enqueue(Mail, { n: 1_000 + n }, { id: `${n}`, delay: 1_000 });
      told.set(n, error?.code ?? "ok");
      if (told.size < TOLD || isCut) return;
      isCut = true;
      proxy.cut();
    });
    await eventually("some to be told", () => isCut);
    await app.drain({ timeout: 0 });
    await Promise.all(calls);
    const fired = await firings(server.url, (fired) => {
      const lost = Array.from({ length: COUNT }, (_, n) => n).filter((n) => !fired.has(n) && !fired.has(1_000 + n));
      return [
        ...lost,
        ...[...told].flatMap(([n, what]) => what === "ok" && !fired.has(1_000 + n) ? [1_000 + n] : []),
      ];
    });
    for (const [n, times] of fired) assertEquals(times.length, 1, `${n} fired twice`);
    const outcomes = new Set(told.values());
    const counted = (code: string) => [...told.values()].filter((it) => it === code).length;
    console.log(`${[...outcomes]}: ${counted("ok")} of ${COUNT} were ok`);
    return { ok: counted("ok"), unknown: counted("OUTCOME_UNKNOWN") };
  } finally {
    await proxy.close();
  }
}

/** Fault: schedules that are cancelled as they fire, and a server that is down when they are due. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { catga, command, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { contracts } from "../processes/log_messages.ts";
import type { LogHandler } from "../processes/log_node.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { COUNT, firings, plan } from "../support/due_at_once.ts";
import { LogCluster } from "../support/log_cluster.ts";
import { readLogEntries } from "../support/log_stream.ts";
import { QUIET } from "../support/quiet.ts";

const HANDLES: readonly LogHandler[] = [
  { category: "Happened", name: "billing" },
  { category: "Also", name: "also" },
  { category: "Charge" },
];
const SUB = "app/billing";
const { Happened, Charge } = contracts();
const Mail = command<{ n: number }>("Mail", { durable: true });

describe("schedules of the log", await requireNatsServer(), () => {
  it(
    "are cancelled or handled, exactly one, and once, also across a server's death",
    { timeout: 300_000 },
    async () => {
      await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
      const { caller } = cluster;
      const entries = Array.from({ length: 300 }, (_, i) => `cancel-${i}`);
      await Promise.all(
        entries.map((entry) => cluster.publish("Happened", { entry, key: entry }, { id: entry, delay: 2_000 })),
      );
      // around the moment when they are due
      await cluster.until("the first to fire", (history) => history.handled(SUB).length > 0);
      const cancelled = new Map(
        await Promise.all(
          entries.map(async (entry) => [entry, await caller.unschedule(Happened, entry)] as const),
        ),
      );
      const gone = entries.filter((entry) => !cancelled.get(entry));
      await cluster.until(
        "those that fired to be handled",
        (history) => gone.every((it) => history.isHandled(SUB, it)),
      );

      // those that are cancelled well before, of which none may fire even after a restart
      const early = Array.from({ length: 50 }, (_, i) => `early-${i}`);
      const down = Array.from({ length: 50 }, (_, i) => `down-${i}`);
      await Promise.all(
        [...early, ...down].map((entry) =>
          cluster.publish("Happened", { entry, key: entry }, { id: entry, delay: 3_000 })
        ),
      );
      const taken = await Promise.all(early.map((entry) => caller.unschedule(Happened, entry)));
      assertEquals(taken, early.map(() => true));
      cluster.fault("SIGKILL");
      await cluster.server.kill("SIGKILL");
      await wait(3_500);
      await cluster.restartServer();
      const back = performance.now();
      await cluster.until("what was due to be handled", (history) => down.every((it) => history.isHandled(SUB, it)));
      console.log(
        `${gone.length} of ${entries.length} had fired when they were cancelled; due while the server was down: ` +
          `handled ${Math.round(performance.now() - back)} ms after its return`,
      );
      for (const [entry, was] of cancelled) if (was) assertEquals(cluster.history.countOf(SUB, entry).runs, 0, entry);
      for (const entry of early) assertEquals(cluster.history.countOf(SUB, entry).runs, 0, entry);
      for (const entry of [...gone, ...down]) assertGreater(cluster.history.countOf(SUB, entry).runs, 0, entry);
      // a schedule that was taken back is not in the log, though its publisher was told ok
      await cluster.finish({ stored: false, stream: false });
    },
  );

  it(
    "and ids are of one category each; what is scheduled again under an id replaces it",
    { timeout: 300_000 },
    async () => {
      await using cluster = await LogCluster.open({ handles: HANDLES, nodes: ["d1", "b1"] });
      const { caller } = cluster;
      await cluster.publish("Happened", { entry: "one", key: "k" }, { id: "same" });
      await cluster.publish("Also", { entry: "other" }, { id: "same" });
      await cluster.settled();
      assertEquals(cluster.history.countOf(SUB, "one").runs, 1);
      assertEquals(cluster.history.countOf("app/also", "other").runs, 1);

      await cluster.publish("Happened", { entry: "first", key: "k" }, { id: "again", delay: 1_500 });
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

  it("by cron run each time, beside commands with an id, which run once", { timeout: 300_000 }, async () => {
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

  it("replaced around their time by a publisher that dies meanwhile are not lost", { timeout: 300_000 }, async () => {
    await using server = await startNatsServer();
    const proxy = await startTcpProxy(server.port);
    try {
      await using app = await catga({ nats: proxy.url, logger: QUIET });
      await app.unschedule(Mail, "none"); // opens the log
      const due = await plan(server.url, "Mail");
      const told = new Map<number, string>();
      const calls = Array.from({ length: COUNT }, async (_, n) => {
        await wait(due - 150 + 1.2 * n - Date.now());
        const { error } = await app.enqueue(Mail, { n: 1_000 + n }, {
          id: `${n}`,
          delay: 1_000,
        });
        told.set(n, error?.code ?? "ok");
      });
      await wait(due + 100 - Date.now()); // the first have been told, others are on their way
      proxy.cut();
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
      console.log(`${[...outcomes]}: ${[...told.values()].filter((it) => it === "ok").length} of ${COUNT} were ok`);
    } finally {
      await proxy.close();
    }
  });
});

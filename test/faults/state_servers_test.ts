/**
 * Fault: of three NATS servers, which keep shared state with `replicas: 3`, the one dies that leads its stream. With
 * `CATGA_FAULT_SECONDS` set it dies three times.
 */
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { requireNatsServer, startNatsCluster } from "../../tools/nats_server.ts";
import { LockCluster, TTL } from "../support/lock_cluster.ts";
import { handovers, lockViolations } from "../support/lock_history.ts";
import { leaderOf } from "../support/log_stream.ts";
import { Standstill } from "../support/standstill.ts";
import { OnceCluster } from "../support/once_cluster.ts";
import { onceHistoryViolations, tally } from "../support/once_history.ts";

const ROUNDS = process.env.CATGA_FAULT_SECONDS === undefined ? 1 : 3;
const LIMIT = 20_000; // ms beyond the ttl: an election takes up to 10 s, a busy machine the rest

describe("shared state on three NATS servers whose leader dies", await requireNatsServer(), () => {
  it(
    "no lock is held twice, and the next waiter has it soon if its holder dies too",
    { timeout: 1_200_000 },
    async () => {
      await using nats = await startNatsCluster(3);
      const [key] = ["a"];
      const end = Date.now() + 60_000;
      const kept = { namespace: "three", replicas: 3 };
      await using cluster = await LockCluster.open({
        ...kept,
        ids: ["d1", "b1", "d2", "b2"],
        keys: [key],
        urls: nats.urls,
      });
      for (let round = 0; round < ROUNDS; round++) {
        const leader = await leaderOf(nats.urls, "KV_catga_three_locks");
        let dying: Promise<void> | undefined;
        const struck = await cluster.strike(key, end, (id) => {
          cluster.signal(id, "SIGKILL");
          dying = nats.servers[leader].kill("SIGKILL");
        });
        assert(struck !== undefined, "nobody could be struck");
        await dying;
        cluster.faults.push({ kind: "killed", ...struck, key, to: Infinity });
        await cluster.moved(key, struck, 40_000);
        await nats.restart(leader);
        await cluster.start(struck.id);
        cluster.faults.push({ ...cluster.faults.pop()!, to: Date.now() });
        cluster.spare(struck.id);
        await wait(2_000);
      }
      const history = await cluster.finish(LIMIT);
      const took = handovers(history).map(({ took }) => took);
      console.log(
        `holder and leader died together: the next one had the lock ${took.join(" and ")} ms later (ttl ${TTL} ms)`,
      );
      assertEquals(lockViolations(history), []);
      assertEquals(took.length, ROUNDS);
    },
  );

  it(
    "no id has two results, and every send ends with its result or an error in time",
    { timeout: 1_200_000 },
    async () => {
      await using nats = await startNatsCluster(3);
      await using cluster = await OnceCluster.open({
        handlers: ["d1", "b1", "d2"],
        senders: ["d8", "b8"],
        urls: nats.urls,
        namespace: "three",
        replicas: 3,
      });
      const entries = Array.from({ length: 200 }, (_, i) => `id-${i}`);
      const sending = cluster.send(entries, 4);
      await cluster.begun(30);
      const leader = await leaderOf(nats.urls, "KV_catga_three_idempotency");
      await using still = await Standstill.watch(nats.urls.filter((_, index) => index !== leader));
      await nats.servers[leader].kill("SIGKILL");
      const since = still.stopwatch();
      const reports = await sending;
      const took = Math.round(since());
      await nats.restart(leader);
      const history = await cluster.history(entries);
      const again = JSON.stringify(reports.map((report) => report.again));
      console.log(`leader killed: all done ${took} ms later; ${JSON.stringify(tally(history))}, sent again: ${again}`);
      assertEquals(onceHistoryViolations(history), []);
      assertEquals(reports.flatMap(({ failures }) => failures), []);
      assertEquals(reports.reduce((sum, { late }) => sum + late, 0), 0);
      assertLess(took, 60_000);
    },
  );
});

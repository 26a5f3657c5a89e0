/**
 * Fault: of three NATS servers one after the other is killed, stopped twice in a row, frozen, and replaced by one with
 * an empty store, under a load of commands and queries, and of locks. Then by seed; `CATGA_FAULT_SECONDS=60` does it
 * for longer.
 */
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import process from "node:process";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { blowText, drawServerBlow, type ServerBlow, strikeServer } from "../processes/server_storm.ts";
import { ServerTrio } from "../processes/server_trio.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { LockCluster } from "../support/lock_cluster.ts";
import { acquisitions, lockViolations } from "../support/lock_history.ts";
import { Load } from "../support/checked_sends.ts";

const SEED = 3;
const SECONDS = Number(process.env.CATGA_FAULT_SECONDS ?? 1);
const ELECTION = 20_000; // ms: up to 10 s, a busy machine the rest
const BLOWS: readonly ServerBlow[] = [
  [{ do: "stop", by: "SIGKILL", away: 300, wipe: false, up: 0 }],
  [{ do: "freeze", ms: 1_500 }],
  [
    { do: "stop", by: "SIGTERM", away: 0, wipe: false, up: 200 },
    { do: "stop", by: "SIGKILL", away: 0, wipe: false, up: 0 },
  ],
  [{ do: "stop", by: "SIGKILL", away: 0, wipe: true, up: 0 }],
];

describe("a storm of three NATS servers, replicas: 3", await requireNatsServer(), () => {
  it(
    "no command is lost or runs twice, no lock is held twice, and everything works again",
    { timeout: 1_200_000 },
    async () => {
      // Promise: with three servers and three replicas the loss of one costs an election, and what was in its
      // connections.
      await using nats = await ServerTrio.open();
      const shared = { replicas: 3, namespace: "trio" };
      await using cluster = await FaultCluster.open({
        url: nats.urlsFrom(0),
        node: shared,
        caller: shared,
      });
      const ids = ["d1", "b1", "d2"];
      await Promise.all(ids.map((id, i) => cluster.start(id, {}, nats.urlsFrom(i))));
      await cluster.complete();
      await using locks = await LockCluster.open({
        ids: ["d1", "b1"],
        keys: ["a"],
        urls: nats.cluster.urls,
        namespace: "trio-locks",
        replicas: 3,
      });
      const { caller, sends } = cluster;
      const load = new Load(24, (i) => sends.send(caller, [Read, Record, Slow][i % 3], 30));
      await eventually("some load", () => load.done > 200);
      const random = seededRandom(SEED);
      const end = Date.now() + SECONDS * 1_000;
      const said: string[] = [];
      for (let i = 0; i < BLOWS.length || Date.now() < end; i++) {
        const blow = BLOWS[i] ?? drawServerBlow(random);
        said.push(`n${i % 3}: ${blowText(blow)}`);
        const before = load.done;
        await locks.works();
        await strikeServer(nats.server(i % 3), blow);
        await eventually("the load to go on", () => load.done > before + 50);
      }
      await load.stop();
      console.log(`seed ${SEED}: ${said.join("; ")}: ${sends.tally()}`);
      // an answer that was in the connection of its sender's server is lost with that, and noticed at the deadline
      const failed = sends.sent.filter(({ kind, result }) => kind === "query" && !result?.ok);
      assertEquals(failed.filter(({ result }) => result?.error?.code !== "TIMEOUT"), []);
      const commands = sends.sent.filter(({ kind, result }) => kind !== "query" && !result?.ok);
      assertEquals(commands.filter(({ result }) => result?.error?.code !== "OUTCOME_UNKNOWN"), []);
      assertLess(failed.length, said.length + 1, "more queries unanswered than servers struck");
      await cluster.complete();
      await cluster.finish();
      const history = await locks.finish(ELECTION, { election: ELECTION });
      console.log(`${acquisitions(history)} acquisitions of a lock`);
      assertEquals(lockViolations(history), []);
      assertGreater(acquisitions(history), 0);
    },
  );
});

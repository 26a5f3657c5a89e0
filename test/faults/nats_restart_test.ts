/** Fault: the nats-server is killed under load and started again, with its store and with an empty one. */
import { assert, assertEquals } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { Load } from "../support/checked_sends.ts";

/** How many requests of each kind are sent while the server is away. */
const UNSENT = 50;

describe("a nats-server that is killed under load", await requireNatsServer(), () => {
  for (const store of ["its", "an empty"]) {
    it(
      `and started again on ${store} store: queries and unsent requests succeed, and nothing runs twice`,
      { timeout: 1_200_000 },
      async () => {
        // Promise: while the network is away requests wait for it; a command that was under way when it went ends with
        // OUTCOME_UNKNOWN or its answer; nodes that lived through it find each other again.
        const folder = await mkdtemp(join(tmpdir(), "catga-faults-"));
        let server: NatsServer = await startNatsServer({ storeDir: join(folder, "first") });
        try {
          await using cluster = await FaultCluster.open({ nodes: ["d1", "b1", "d2"], url: server.url });
          const { caller, sends } = cluster;
          const load = new Load(96, (i) => sends.send(caller, [Read, Record, Slow][i % 3], 30));
          await eventually("some load", () => load.done > 2_000);
          await server.kill("SIGKILL");
          const killed = Date.now();
          // the load is in hand: none of it may begin before the server is back
          await eventually("the caller to notice", () => caller.health().connection !== "connected");
          // how soon the server is back is the machine's
          const waiting = [Record, Read].map((it) => sends.many(UNSENT, caller, it, 0, { timeout: 120_000 }));
          await eventually("a second without it", () => Date.now() > killed + 1_000);
          assert(sends.pending >= 2 * UNSENT, "they were answered without a server");
          const { port } = server;
          await server.stop();
          server = await startNatsServer({ port, storeDir: join(folder, store === "its" ? "first" : "second") });
          const up = Date.now();
          const before = load.done;
          await eventually("the load to go on", () => load.done > before + 2_000);
          console.log(`${store} store: 2,000 messages done ${Date.now() - up} ms after the server was back`);
          await cluster.complete();
          await load.stop();
          console.log(`${store} store: every view is right; ${sends.tally()}`);
          assertEquals(sends.failures("OUTCOME_UNKNOWN"), []);
          const waited = (await Promise.all(waiting)).flat();
          assertEquals(waited.filter(({ result }) => !result.ok), [], "they waited");
          await cluster.start("b2");
          await cluster.complete();
          assertEquals((await sends.send(caller, Record, 0, { node: "b2" })).result.value, "b2");
          await cluster.finish();
        } finally {
          await server.stop();
          await rm(folder, { recursive: true, force: true });
        }
      },
    );
  }
});

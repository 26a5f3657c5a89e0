/** A service of one replica restarts under load: its callers wait, and none of them notices. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { DRAINED } from "../processes/node_process.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { Load } from "../support/checked_sends.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { itBeforeRelease } from "../support/before_release.ts";

const RESTARTS = 5;
/** How long nobody handles the contracts besides, in ms: longer than the 500 that an unknown contract is waited for. */
const GAP = 1_000;

for (const [runtime, id] of [["Deno", "d1"], ["Bun", "b1"]] as const) {
  describe(
    `the only replica of a service, in ${runtime}, restarted ${RESTARTS} times under load`,
    await requireNatsServer(),
    () => {
      // with each change: each signal in one runtime
      (id === "d1" ? it : itBeforeRelease)("with SIGTERM: no send fails, and no command runs twice", {
        timeout: 1_200_000,
      }, async () => {
        await using cluster = await FaultCluster.open({ nodes: [id] });
        const { caller, sends } = cluster;
        const load = new Load(128, (i) => {
          if (i % 8 === 0) return sends.send(caller, Slow, 30);
          return sends.send(caller, i % 3 === 0 ? Read : Record);
        });
        for (let i = 0; i < RESTARTS; i++) {
          const before = load.done;
          await eventually("some load", () => load.done > before + 1_000);
          cluster.signal(id, "SIGTERM");
          const { by } = await cluster.node(id).program.end();
          assert(DRAINED.includes(by), `ended by ${by}`);
          await wait(GAP);
          if (i === RESTARTS - 1) {
            // a sender that has just started learns from the caller that the service is expected back
            await using late = await cluster.app({ id: "late" });
            const sent = sends.send(late, Record);
            await cluster.start(id);
            assertEquals((await sent).result.error, undefined);
          } else await cluster.start(id);
        }
        await load.stop();
        console.log(`SIGTERM, ${runtime}: ${sends.tally()}`);
        assertEquals(sends.failures(), []);
        await cluster.complete();
        await cluster.finish();
      });

      (id === "b1" ? it : itBeforeRelease)("with SIGKILL: no query fails", { timeout: 1_200_000 }, async () => {
        await using cluster = await FaultCluster.open({ nodes: [id] });
        const { caller, sends } = cluster;
        const load = new Load(128, (i) => sends.send(caller, Read, i % 8 === 0 ? 30 : 0));
        for (let i = 0; i < RESTARTS; i++) {
          const before = load.done;
          await eventually("some load", () => load.done > before + 1_000);
          cluster.signal(id, "SIGKILL");
          assertEquals((await cluster.node(id).program.end()).by, "SIGKILL");
          await wait(GAP);
          await cluster.start(id);
        }
        await load.stop();
        console.log(`SIGKILL, ${runtime}: ${sends.tally()}`);
        assertEquals(sends.failures(), []);
        await cluster.complete();
        await cluster.finish();
      });
    },
  );
}

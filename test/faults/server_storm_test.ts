/**
 * Fault: a nats-server is stopped in sequences of SIGTERM, SIGKILL and lame duck, under locks whose holders are killed.
 * The sequences that made entries live for ever come first, the others by seed. `CATGA_FAULT_SECONDS=60` does it for
 * longer.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import process from "node:process";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { blowText, drawServerBlow, LoneServer, type ServerBlow, strikeServer } from "../processes/server_storm.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { LockCluster } from "../support/lock_cluster.ts";
import { acquisitions, lockViolations } from "../support/lock_history.ts";

const SEED = 10;
const SECONDS = Number(process.env.CATGA_FAULT_SECONDS ?? 8);
const LIMIT = 1_500; // ms beyond the ttl
const KEYS = ["a", "b"];
/** Leaves entries with a ttl for ever on nats-server 2.15.1. */
const TERM_KILL: ServerBlow = [
  { do: "stop", by: "SIGTERM", away: 0, wipe: false, up: 400 },
  { do: "stop", by: "SIGKILL", away: 0, wipe: false, up: 0 },
];

describe("a storm of one nats-server, and holders of locks that are killed in it", await requireNatsServer(), () => {
  it("every lock is acquired again within its ttl, and nothing outlives its own", { timeout: 1_200_000 }, async () => {
    // Promise: no entry is believed for longer than its ttl; what the server keeps for longer is removed.
    const folder = await mkdtemp(join(tmpdir(), "catga-storm-"));
    try {
      await using server = await LoneServer.open(join(folder, "store"));
      const ids = ["d1", "b1", "d2", "b2"];
      await using cluster = await LockCluster.open({ ids, keys: KEYS, urls: [server.url], namespace: "storm" });
      const random = seededRandom(SEED);
      const end = Date.now() + SECONDS * 1_000;
      const blows: string[] = [];
      for (let i = 0; i === 0 || Date.now() < end; i++) {
        const blow = i === 0 ? TERM_KILL : drawServerBlow(random, { wipes: false });
        const victim = ids[i % ids.length];
        await cluster.works();
        // it holds a lock, or waits for one, and its entries are there when the server comes back
        cluster.signal(victim, "SIGKILL");
        blows.push(blowText(blow));
        await strikeServer(server, blow);
        await cluster.start(victim);
      }
      // at last the same once more, with everybody who holds or waits dead in it
      await cluster.works();
      for (const id of ids) cluster.signal(id, "SIGKILL");
      await strikeServer(server, TERM_KILL);
      const history = await cluster.finish(LIMIT);
      console.log(`seed ${SEED}: ${acquisitions(history)} acquisitions; ${blows.join("; ")}`);
      assertEquals(lockViolations(history), []);
      assertGreater(acquisitions(history), 0);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

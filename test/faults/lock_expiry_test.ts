/**
 * Fault: a call of `lock` that was cut off from the servers finds its record just before that expires, and two of three
 * nats-servers are frozen until after that: the servers then store the renewal, and remove it with the record that it
 * has replaced (findings/expiry_removes_a_newer_message.sh).
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { StreamInfo } from "@nats-io/jetstream";
import { catga, type Lock } from "@catga/catga";
import { requireNatsServer, startNatsCluster } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { eventually } from "../support/eventually.ts";
import { connectTo } from "../support/store_check.ts";

const TTL = 10_000; // ms
const KEYS = Array.from({ length: 10 }, (_, i) => `key-${i}`);
const HELD = 1_000; // ms
const STREAM = "KV_catga_expiry_locks";

describe("locks whose records expire while they are renewed", await requireNatsServer(), () => {
  it("no two nodes hold a key at a time, and all get it", { timeout: 1_200_000 }, async () => {
    await using nats = await startNatsCluster(3);
    const shared = { namespace: "expiry", replicas: 3 };
    await using starter = await catga({ ...shared, nats: nats.urls[0], id: "starter" });
    await (await starter.lock("warm")).release();
    const connection = await connectTo(nats.urls);
    const info = async () => (await connection.request(`$JS.API.STREAM.INFO.${STREAM}`)).json<StreamInfo>();
    const name = await eventually("a leader", async () => (await info()).cluster?.leader ?? "");
    const leader = nats.servers[Number(name.slice(1))];
    await connection.close();
    await using link = await startTcpProxy(leader.port, { node: "cut" });
    await using cut = await catga({ ...shared, nats: link.url, id: "cut" });
    await using other = await catga({ ...shared, nats: leader.url, id: "other" });
    for (const app of [cut, other]) await (await app.lock("warm")).release();
    const holders = new Map<string, Lock>();
    const wrong: string[] = [];
    let taken = 0;
    const hold = async (taking: Promise<Lock>, key: string) => {
      const lock = await taking;
      const before = holders.get(key);
      if (before !== undefined && !before.signal.aborted && !lock.signal.aborted) {
        wrong.push(`${key}: ${lock.token} beside ${before.token}`);
      }
      taken++;
      holders.set(key, lock);
      await wait(HELD);
      if (holders.get(key) === lock) holders.delete(key);
      await lock.release();
    };
    const options = { ttl: TTL, timeout: 240_000 };
    const frozen = new Promise<void>((resolve) => {
      link.onWrite = (_, moment) => {
        if (moment !== "before its acknowledgement") return;
        link.onWrite = undefined;
        link.freeze();
        resolve();
      };
    });
    const holding = KEYS.map((key) => hold(cut.lock(key, options), key));
    await frozen;
    const began = performance.now();
    holding.push(...KEYS.map((key) => hold(other.lock(key, options), key)));
    const at = (ms: number) => wait(began + ms - performance.now());
    await at(TTL - 1_000);
    const followers = nats.servers.filter((server) => server !== leader);
    await Promise.all(followers.map((server) => server.kill("SIGSTOP")));
    await at(TTL - 600);
    link.restore();
    await at(TTL + 500);
    await Promise.all(followers.map((server) => server.kill("SIGCONT")));
    await Promise.all(holding);
    assertEquals(wrong, []);
    assertEquals(taken, 2 * KEYS.length);
  });
});

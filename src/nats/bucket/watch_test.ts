import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import type { Change } from "../../ports/key_value_store.ts";
import { beforeItsTime } from "../../../test/support/before_its_time.ts";
import { deleteConsumers } from "../../../test/support/delete_consumers.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { chances } from "../../../test/support/chances.ts";
import { openTransport, reached, removeStream, startClient, type StoreClient, streamState } from "../harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import { patientManager } from "../../../test/support/patient_jetstream.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };

describe("watchBucket", await requireNatsServer(), () => {
  it("watch: reports after a cut what changed meanwhile: new, changed, deleted and expired keys", slow, async () => {
    await beforeItsTime(5_000, async (ttl) => {
      await using server = await startNatsServer();
      await using proxy = await startTcpProxy(server.port);
      await using client = await startClient({ server, nats: proxy.url });
      await using other = await startClient({ server });
      await other.bucket.put("deleted", "");
      const changed = await other.bucket.put("changed", "1");
      await other.bucket.put("same", "");
      const changes = await follow(client);
      // the entry expires while the watch's connection is cut
      const expires = performance.now() + ttl;
      await other.bucket.put("expired", "", { ttl });
      await eventually("what will expire", () => changes.length >= 4);
      proxy.cut();
      await reached(client.transport, "disconnected");
      if (performance.now() >= expires) return false;
      assertEquals(changes.length, 4);
      changes.length = 0;
      await other.bucket.delete("deleted");
      await other.bucket.update("changed", "2", changed);
      await other.bucket.update("changed", "3", (await other.bucket.get("changed"))!.revision);
      await other.bucket.put("new", "");
      // wait until the stream has no marker left that the watch could receive
      await eventually(
        "the markers to go",
        async () => (await streamState(other.transport)).state.messages === 3,
      );
      proxy.restore();
      await eventually("four changes", () => changes.length === 4);
      assertEquals(summary(changes), ["put changed 3", "put new", "vanish deleted", "vanish expired"]);
      assertGrowing(changes);
      await other.bucket.put("after", "");
      await eventually("the next change", () => changes.length === 5);
      return true;
    });
  });

  it("watch: goes on after the server was killed and came back with its data", async () => {
    await using client = await startClient();
    await client.bucket.put("kept", "");
    const changes = await follow(client);
    await client.restart({ storeDir: client.server.storeDir });
    await client.bucket.put("new", "");
    await eventually("the new key", () => changes.length === 2);
    assertEquals(summary(changes), ["put kept", "put new"]);
  });

  it("watch: reports that everything has vanished after the server lost its data, and goes on", async () => {
    await using client = await startClient();
    await client.bucket.put("a", "");
    await client.bucket.put("b", "");
    const changes = await follow(client);
    await client.restart({});
    await eventually("the deletions", () => changes.length === 4);
    await client.bucket.put("a", "again");
    await eventually("the new key", () => changes.length === 5);
    assertEquals(summary(changes), ["put a", "put a again", "put b", "vanish a", "vanish b"]);
    assertGrowing(changes);
  });

  it(
    "watch: goes on after its consumer was deleted, and after another client made the bucket anew",
    slow,
    async () => {
      await using client = await startClient();
      await using other = await startClient({ server: client.server });
      await client.bucket.put("a", "");
      const changes = await follow(client);
      const manager = await patientManager(other.transport.connection);
      await deleteConsumers(manager, "KV_test");
      await other.bucket.put("b", "");
      await eventually("b", () => changes.length === 2);
      await removeStream(other.transport);
      await other.bucket.put("c", "");
      await eventually("c, and the others to be gone", () => changes.length === 5);
      assertEquals(summary(changes.slice(2)), ["put c", "vanish a", "vanish b"]);
      assertGrowing(changes);
    },
  );

  it(
    "watch: a process that was paused for longer than a ttl removes no entry that was renewed meanwhile",
    slow,
    async () => {
      const ttl = 2_000;
      // if the machine stands still for a ttl, which ends the entry rightly, the test begins anew
      for (let stoodStill = true; stoodStill;) {
        stoodStill = false;
        await using server = await startNatsServer();
        await using proxy = await startTcpProxy(server.port);
        await using client = await startClient({ server, nats: proxy.url });
        await using other = await startClient({ server });
        let written = performance.now();
        let revision = await other.bucket.put("renewed", "0", { ttl });
        const renew = async (value: string, lifetime = ttl) => {
          const before = written;
          written = performance.now();
          const renewed = await other.bucket.update("renewed", value, revision, { ttl: lifetime });
          if (performance.now() - before >= ttl) stoodStill = true;
          else assert(renewed !== undefined, "it was removed");
          revision = renewed ?? revision;
        };
        const changes = await follow(client);
        const end = performance.now() + 7_000;
        const thaw = performance.now() + 3_500;
        proxy.freeze();
        for (let i = 1; performance.now() < end && !stoodStill; i++) {
          if (performance.now() > thaw) proxy.restore();
          await renew(`${i}`);
          await wait(300);
        }
        // the last renewal has a long ttl, so the entry stays however late the watch sees it
        await renew("last", 600_000);
        if (stoodStill) continue;
        await eventually("the last renewal", () => changes.some((change) => change.revision === revision));
        assertEquals(changes.filter(({ type }) => type !== "put"), []);
      }
    },
  );

  it("watch: reports the deletion of a message for which the feed had no marker", slow, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using client = await startClient({ server, nats: proxy.url });
    await using other = await startClient({ server });
    await other.bucket.put("a", "");
    const changes = await follow(client);
    // deleteMessage deletes the entry and writes no marker
    const manager = await patientManager(other.transport.connection);
    await manager.streams.deleteMessage("KV_test", (await other.bucket.get("a"))!.revision);
    await eventually("the deletion", () => changes.length === 2);
    assertEquals(summary(changes), ["put a", "vanish a"]);
  });

  it(
    "watch: of keys of which there are none it is not begun anew while others are written (again and again)",
    slow,
    async () => {
      await using server = await startNatsServer();
      const begunAnew = async () => {
        await using other = await startClient({ server });
        const notices: string[] = [];
        const end = new AbortController();
        const transports = await Promise.all(Array.from({ length: 8 }, () => openTransport(server.url)));
        for (const transport of transports) {
          const bucket = await new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) }).open(
            "test",
          );
          await bucket.watch("none/", () => {}, { signal: end.signal });
        }
        // 17 s: each watch compares itself with the leader twice, and waits for the server's heartbeats
        for (const until = performance.now() + 17_000; performance.now() < until; await wait(20)) {
          await other.bucket.put("other", "");
        }
        end.abort();
        await Promise.all(transports.map((transport) => transport.close()));
        return notices;
      };
      assertEquals(await chances(2, begunAnew, (notices) => notices.length === 0), []);
    },
  );

  it("watch: what comes while the leader answers is not taken for gone", slow, async () => {
    const begunAnew = async () => {
      await using server = await startNatsServer();
      await using other = await startClient({ server });
      const transport = await openTransport(server.url);
      const notices: string[] = [];
      const bucket = await new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) }).open(
        "test",
      );
      const end = new AbortController();
      const changes: Change[] = [];
      await other.bucket.put("a", "0");
      await bucket.watch("", (change) => changes.push(change), { signal: end.signal });
      const { connection } = transport;
      const request = connection.request.bind(connection);
      let answers = 0;
      connection.request = async (subject, data, options) => {
        const answer = await request(subject, data, options);
        if (subject !== "$JS.API.STREAM.MSG.GET.KV_test") return answer;
        const written = await other.bucket.put("a", `${answers + 1}`);
        await eventually("the change", () => changes.at(-1)?.revision === written);
        answers++;
        return answer;
      };
      await eventually("two comparisons", () => answers > 1);
      end.abort();
      await transport.close();
      return notices;
    };
    // a watch also begins anew when a busy server is silent for long
    assertEquals(await chances(2, begunAnew, (notices) => notices.length === 0), []);
  });
});

async function follow(client: StoreClient): Promise<Change[]> {
  const changes: Change[] = [];
  await client.bucket.watch("", (change) => changes.push(change), { signal: client.signal });
  return changes;
}

/** Returns the changes as sorted lines; changes of several keys at once come in any order. */
function summary(changes: readonly Change[]): string[] {
  return changes.map((change) => `${change.type} ${change.key} ${change.type === "put" ? change.value : ""}`.trim())
    .sort();
}

function assertGrowing(changes: readonly Change[]): void {
  const last = new Map<string, number>();
  for (const { key, revision } of changes) {
    assertGreater(revision, last.get(key) ?? 0);
    last.set(key, revision);
  }
}

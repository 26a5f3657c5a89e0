/**
 * Tests of locks on a real nats-server: connections that break during a write, lost buckets, messages that are left
 * behind.
 */
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { systemClock, systemRandom } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import { openTransport, reached } from "../../nats/harness_suite.ts";
import { NatsKeyValueStore } from "../../nats/bucket/key_value_store.ts";
import type { NatsTransport } from "../../nats/connection/transport.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { BUCKET, type LockNode, lockNode, someone } from "./lock_harness_suite.ts";
import { PATIENT } from "../../../test/support/patient.ts";

// Timeout of these tests; the default in Bun is 5 s.
const slow = { timeout: 300_000 };

describe("locks on NATS: what happens to servers and links", await requireNatsServer(), () => {
  it(
    "an acknowledgement that is lost with the link: the lock is its taker's, and so is its release",
    slow,
    async () => {
      await using server = await startNatsServer();
      await using proxy = await startTcpProxy(server.port);
      await using near = await start(server);
      await using far = await start(server, proxy.url);
      const lost = async (happened: () => Promise<boolean>) => {
        await eventually("the write", happened);
        proxy.cut();
        await reached(far.transport, "disconnected");
        proxy.delay(0);
        proxy.restore();
      };
      await (await far.node.locks.lock("warm", {}, someone())).release();
      proxy.delay(200);
      const locking = far.node.locks.lock("key", {}, someone());
      await lost(async () => await near.bucket.get("h/key") !== undefined);
      const lock = await locking;
      assertEquals(lock.token, (await near.bucket.get("h/key"))!.revision);
      proxy.delay(200);
      const releasing = lock.release();
      await lost(async () => await near.bucket.get("h/key") === undefined);
      await releasing;
      await (await near.node.locks.lock("key", { timeout: 0 }, someone())).release();
      assertEquals(await near.bucket.entries(""), []);
    },
  );

  it("a waiter whose connection breaks has its turn all the same", slow, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using near = await start(server);
    await using far = await start(server, proxy.url);
    const first = await near.node.locks.lock("key", {}, someone());
    const waiting = far.node.locks.lock("key", {}, someone());
    await eventually("a place in the queue", async () => (await near.bucket.entries("w/")).length === 1);
    proxy.cut();
    await reached(far.transport, "disconnected");
    await first.release();
    proxy.restore();
    const second = await waiting;
    assertGreater(second.token, first.token);
    await second.release();
    await eventually("no record to be left", async () => (await near.bucket.entries("")).length === 0);
  });

  it("a bucket that is lost: holders lose their locks, waiters take them, and tokens grow", slow, async () => {
    await using server = await startNatsServer();
    await using red = await start(server);
    await using blue = await start(server);
    const first = await red.node.locks.lock("key", { ttl: 3_000 }, someone());
    const waiting = blue.node.locks.lock("key", { ttl: 3_000 }, someone());
    await eventually("a place in the queue", async () => (await red.bucket.entries("w/")).length === 1);
    await red.transport.connection.request(`$JS.API.STREAM.DELETE.KV_${BUCKET}`, "", PATIENT);
    const second = await waiting;
    assertGreater(second.token, first.token);
    await eventually("the loss", () => first.signal.aborted);
    await first.release();
    await second.release();
    const third = await red.node.locks.lock("key", {}, someone());
    assertGreater(third.token, second.token);
    await third.release();
  });

  it("10,000 released locks leave no message in the stream", slow, async () => {
    await using server = await startNatsServer();
    await using client = await start(server);
    for (let i = 0; i < 50; i++) {
      const keys = Array.from({ length: 200 }, (_, j) => `key ${i * 200 + j}`);
      const locks = await Promise.all(keys.map((key) => client.node.locks.lock(key, PATIENT, someone())));
      await Promise.all(locks.map((lock) => lock.release()));
    }
    const messages = async () => {
      const answer = await client.transport.connection.request(`$JS.API.STREAM.INFO.KV_${BUCKET}`, "", PATIENT);
      return answer.json<{ state: { messages: number } }>().state.messages;
    };
    await eventually("the markers to go", async () => await messages() === 0);
  });
});

interface Client extends AsyncDisposable {
  readonly node: LockNode;
  readonly bucket: Bucket;
  readonly transport: NatsTransport;
}

async function start(server: NatsServer, url = server.url): Promise<Client> {
  const transport = await openTransport(url);
  const store = new NatsKeyValueStore(transport);
  const node = lockNode("node", store, systemClock, systemRandom());
  const bucket = await store.open(BUCKET);
  return {
    node,
    bucket,
    transport,
    async [Symbol.asyncDispose]() {
      await node.locks.close();
      await transport.close();
    },
  };
}

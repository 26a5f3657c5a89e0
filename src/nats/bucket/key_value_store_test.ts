import { Kvm } from "@nats-io/kv";
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertStringIncludes } from "@std/assert";
import { requireNatsServer, startNatsCluster, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { CatgaError } from "../../error.ts";
import type { Change } from "../../ports/key_value_store.ts";
import { keyValueSuite } from "../../ports/key_value_store_suite.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { Standstill } from "../../../test/support/standstill.ts";
import { connectNats } from "../connection/connection.ts";
import { openTransport, removeStream, startClient, startKeyValueHarness, streamState } from "../harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import { NatsTransport } from "../connection/transport.ts";
import { patientJetStream, patientManager } from "../../../test/support/patient_jetstream.ts";

const required = await requireNatsServer();
/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };

if (!required.skip) keyValueSuite("NATS", startKeyValueHarness);

describe("NatsKeyValueStore: servers that fail and return", required, () => {
  it("writes: work again after the server was killed and came back with its data, and revisions grow", async () => {
    await using client = await startClient();
    const { bucket } = client;
    const revision = await bucket.put("kept", "1");
    await client.restart({ storeDir: client.server.storeDir });
    assertEquals(await bucket.get("kept"), { key: "kept", value: "1", revision });
    assertGreater(await bucket.update("kept", "2", revision) ?? 0, revision);
  });

  it("writes: a bucket that was lost with the server's data is made anew, with greater revisions", async () => {
    await using client = await startClient();
    const { bucket } = client;
    const revision = await bucket.put("lost", "1");
    await client.restart({});
    assertEquals(await bucket.get("lost"), undefined);
    assertEquals(await bucket.update("lost", "2", revision), undefined);
    assertGreater(await bucket.create("lost", "3") ?? 0, revision);
  });

  it("writes: a bucket that was deleted is made anew by any operation", async () => {
    await using client = await startClient();
    const { bucket, transport } = client;
    const operations: ((key: string) => Promise<unknown>)[] = [
      (key) => bucket.put(key, ""),
      (key) => bucket.create(key, ""),
      (key) => bucket.update(key, "", 1),
      (key) => bucket.delete(key),
      (key) => bucket.delete(key, { revision: 1 }),
      (key) => bucket.get(key),
      () => bucket.entries(""),
      () => bucket.watch("", () => {}, { signal: client.signal }),
    ];
    let last = await bucket.put("last", "");
    for (const [i, operation] of operations.entries()) {
      assertEquals(await removeStream(transport), true);
      await operation(`key${i}`);
      assertGreater(await bucket.put("last", ""), last);
      last = (await bucket.get("last"))!.revision;
    }
  });

  it("writes: are UNAVAILABLE at once when the link is lost under them, and CLOSED after the end", async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using client = await startClient({ server, nats: proxy.url });
    const { bucket, transport } = client;
    await using still = await Standstill.watch([server.url]);
    proxy.delay(300);
    const since = still.stopwatch();
    const writing = assertRejects(() => bucket.put("a", ""), CatgaError);
    proxy.cut();
    assertEquals((await writing).code, "UNAVAILABLE");
    assertEquals((await assertRejects(() => bucket.get("a"), CatgaError)).code, "UNAVAILABLE");
    assertEquals((await assertRejects(() => bucket.entries(""), CatgaError)).code, "UNAVAILABLE");
    const watching = () => bucket.watch("", () => {}, { signal: client.signal });
    assertEquals((await assertRejects(watching, CatgaError)).code, "UNAVAILABLE");
    assertLess(since(), 5_000); // sooner than the 5 s after which a request times out
    await transport.close();
    assertEquals((await assertRejects(() => bucket.get("a"), CatgaError)).code, "CLOSED");
    assertEquals((await assertRejects(watching, CatgaError)).code, "CLOSED");
  });

  it("cluster: operations work after the leader of a bucket was killed", slow, async () => {
    await using cluster = await startNatsCluster(3);
    const transport = new NatsTransport(await connectNats(cluster.urls, { name: "test" }), { onError: () => {} });
    const bucket = await new NatsKeyValueStore(transport).open("test", { replicas: 3 });
    const changes: Change[] = [];
    const end = new AbortController();
    await bucket.watch("", (change) => changes.push(change), { signal: end.signal });
    const revision = await bucket.put("before", "1");
    const manager = await patientManager(transport.connection);
    const { cluster: state } = await manager.streams.info("KV_test");
    await cluster.servers[Number(state?.leader?.slice(1))].kill("SIGKILL");
    // in a cluster of three servers nothing is acknowledged for 4 to 7 s after the leader's death
    const later = await eventually("a write", () => bucket.put("after", "2").catch(() => 0));
    assertGreater(later, revision);
    await eventually("both changes", () => changes.some((change) => change.key === "after"));
    // the killed server may also have led the API of JetStream, which a listing needs; then a second election follows
    const entries = await eventually("a listing", () => bucket.entries("").catch(() => undefined));
    assertEquals(entries?.map((entry) => entry.key), ["before", "after"]);
    end.abort();
    await transport.close();
  });
});

describe("NatsKeyValueStore.open", required, () => {
  it("open: more replicas than a lone server can have: the error says what to do", async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    const error = await assertRejects(() => new NatsKeyValueStore(transport).open("test", { replicas: 3 }), CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", false]);
    assertStringIncludes(error.message, "(10074): leave out `replicas`, or make a cluster of three servers");
    await transport.close();
  });

  it("open: an account with its maximum number of streams: the error says what to do", async () => {
    const config = "accounts { A { jetstream { max_streams: 1 }, users [{ user: a, password: a }] } }";
    await using server = await startNatsServer({ config });
    const transport = await openTransport(server.url.replace("//", "//a:a@"));
    const store = new NatsKeyValueStore(transport);
    await store.open("one");
    const error = await assertRejects(() => store.open("two"), CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", false]);
    assertStringIncludes(error.message, "(10027): raise max_streams of the account, or remove a stream");
    await transport.close();
  });

  it("open: a server without JetStream is UNAVAILABLE, and the error says how to enable it", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const transport = await openTransport(server.url);
    await using still = await Standstill.watch([server.url]);
    const since = still.stopwatch();
    const error = await assertRejects(() => new NatsKeyValueStore(transport).open("test"), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertStringIncludes(error.message, "nats-server -js");
    assertStringIncludes(error.message, `127.0.0.1:${server.port}`);
    assertLess(since(), 5_000); // sooner than the 5 s after which a request times out
    await transport.close();
  });

  it("open: an account without JetStream is UNAVAILABLE, and the error names the account", async () => {
    const config = `accounts { with { jetstream: enabled, users: [{ user: a, password: p }] }
      without { users: [{ user: me, password: p }] } }`;
    await using server = await startNatsServer({ config });
    const transport = await openTransport(`nats://me:p@127.0.0.1:${server.port}`);
    const error = await assertRejects(() => new NatsKeyValueStore(transport).open("test"), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertStringIncludes(error.message, "account");
    await transport.close();
  });

  it("open: a user without the permissions is UNAVAILABLE, and the error names the subject", async () => {
    const config = `authorization { users: [{ user: me, password: p, permissions: { publish: { deny: "$JS.>" } } }] }`;
    await using server = await startNatsServer({ config });
    const transport = await openTransport(`nats://me:p@127.0.0.1:${server.port}`);
    const error = await assertRejects(() => new NatsKeyValueStore(transport).open("test"), CatgaError);
    assertStringIncludes(error.message, "$JS.API.STREAM.INFO.KV_test");
    await transport.close();
  });

  it("open: a bucket with other settings is BUCKET_MISMATCH, with the setting, both values, and what to do", async () => {
    await using client = await startClient();
    await new Kvm(patientJetStream(client.transport.connection)).create("theirs", {
      history: 5,
      markerTTL: 1_000,
      allow_direct: false,
    });
    const error = await assertRejects(() => client.store.open("theirs"), CatgaError);
    assertEquals(error.code, "BUCKET_MISMATCH");
    assertEquals(error.details, { bucket: "theirs", setting: "max_msgs_per_subject", is: 5, wanted: 1 });
    for (const part of ["theirs", "max_msgs_per_subject", "5", "1", "nats kv rm theirs"]) {
      assertStringIncludes(error.message, part);
    }
  });

  it("open: 20 clients at once make one bucket", async () => {
    await using server = await startNatsServer();
    const transports = await Promise.all(Array.from({ length: 20 }, () => openTransport(server.url)));
    const buckets = await Promise.all(transports.map((transport) => new NatsKeyValueStore(transport).open("one")));
    const made = await Promise.all(buckets.map((bucket, i) => bucket.create("key", `${i}`)));
    assertEquals(made.filter((revision) => revision !== undefined).length, 1);
    await Promise.all(transports.map((transport) => transport.close()));
  });
});

describe("NatsKeyValueStore: what is left on the server", required, () => {
  it("delete: leaves no marker after two seconds, with and without a revision", slow, async () => {
    await using client = await startClient();
    const { bucket } = client;
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const revision = await bucket.create(`${i}`, "", { ttl: 60_000 });
      assertEquals(await bucket.delete(`${i}`, i % 2 ? { revision } : {}), true);
    }));
    const messages = async () => (await streamState(client.transport)).state.messages;
    assertGreater(await messages(), 0);
    await eventually("the last marker to go", async () => await messages() === 0);
  });

  it("create: writes a key that was just deleted in one request", async () => {
    await using client = await startClient();
    const { bucket, transport } = client;
    const sent = async () => {
      await transport.flush();
      return transport.connection.stats().outMsgs;
    };
    let revision = await bucket.create("key", "");
    const before = await sent();
    for (let i = 0; i < 10; i++) {
      await bucket.delete("key", { revision: revision! });
      revision = await bucket.create("key", "");
      assert(revision !== undefined);
    }
    assertEquals(await sent() - before, 20);
  });

  it("watch: its consumer ends with it, and that of a listing with the listing", async () => {
    await using client = await startClient();
    const end = new AbortController();
    const consumers = async () => (await streamState(client.transport)).state.consumer_count;
    await Promise.all([1, 2, 3].map(() => client.bucket.watch("", () => {}, { signal: end.signal })));
    await client.bucket.entries("");
    await eventually("three consumers", async () => await consumers() === 3);
    end.abort();
    await eventually("no consumer", async () => await consumers() === 0);
  });

  it("direct: a user who may not use direct gets reads from the leader, tries one for each connection, and reports nothing", async () => {
    const limited = `{ user: limited, password: p, permissions: { publish: { deny: "$JS.API.DIRECT.GET.>" } } }`;
    await using server = await startNatsServer({ config: `authorization { users: [ ${limited} ] }` });
    const errors: unknown[] = [];
    const transport = await openTransport(`nats://limited:p@127.0.0.1:${server.port}`, (error) => errors.push(error));
    const refused: string[] = [];
    transport.onViolation(({ subject }) => refused.push(subject));
    const bucket = await new NatsKeyValueStore(transport).open("test", { direct: true });
    const revision = await bucket.put("key", "1");
    for (let n = 0; n < 3; n++) assertEquals(await bucket.get("key"), { key: "key", value: "1", revision });
    assertEquals(await bucket.get("none"), undefined);
    assertEquals([refused, errors], [["$JS.API.DIRECT.GET.KV_test.$KV.test.key"], []]);
    const { generation } = transport.status;
    await transport.connection.reconnect();
    await eventually("the reconnect", () => transport.status.generation > generation);
    assertEquals((await bucket.get("key"))?.value, "1");
    assertEquals([refused.length, errors], [2, []]);
    await transport.close();
  });

  it("put: a write that an election loses is repeated", async () => {
    await using client = await startClient();
    const { transport: { connection }, bucket } = client;
    const revision = await bucket.put("key", "1");
    connection.subscribe("lost", { callback: () => {} });
    const request = connection.request.bind(connection);
    let lost = 0;
    connection.request = (subject, ...rest) =>
      request(subject === "$KV.test.key" && lost++ === 0 ? "lost" : subject, ...rest);
    assertGreater(await bucket.put("key", "2"), revision);
    assertEquals([lost, (await bucket.get("key"))?.value], [2, "2"]);
  });

  it("values: a value beyond the bucket's limit is TOO_LARGE", async () => {
    await using client = await startClient();
    const manager = await patientManager(client.transport.connection);
    await manager.streams.update("KV_test", { max_msg_size: 1_000 });
    const error = await assertRejects(() => client.bucket.put("key", "x".repeat(1_001)), CatgaError);
    assertEquals(error.code, "TOO_LARGE");
    assertStringIncludes(error.message, "1001");
  });
});

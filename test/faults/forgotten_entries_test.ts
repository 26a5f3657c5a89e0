/**
 * Fault: restarts after which a server has forgotten the ttl of entries: no read or watch returns them, and they are
 * removed from the store.
 */
import { headers } from "@nats-io/transport-node";
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { Bucket, Change } from "../../src/ports/key_value_store.ts";
import { eventually } from "../support/eventually.ts";
import { type ForgetfulServer, messagesOf, SEQUENCES, untilForgotten } from "../support/forgetful_server.ts";
import { Standstill } from "../support/standstill.ts";
import { openTransport } from "../../src/nats/harness_suite.ts";
import { NatsKeyValueStore, type NatsKeyValueStoreOptions } from "../../src/nats/bucket/key_value_store.ts";
import type { NatsTransport } from "../../src/nats/connection/transport.ts";
import { PATIENT } from "../support/patient.ts";

const slow = { timeout: 1_200_000 };
/** How many entries of each sort. */
const ENTRIES = 500;
const TTL = 3_000;
/** How long an entry may be seen after its ttl, in ms. */
const LATE = 1_500;

describe("NatsKeyValueStore: entries whose ttl a server has forgotten", await requireNatsServer(), () => {
  for (const sequence of SEQUENCES) {
    it(`after ${sequence} none of 1,000 is read, listed or reported, and create overwrites each`, slow, async () => {
      await untilForgotten(async (servers) => {
        await using client = await start(servers);
        await using other = await start(servers);
        const { bucket } = client;
        const changes: Change[] = [];
        await bucket.watch("", (change) => changes.push(change), { signal: client.signal });
        await fill(bucket);
        const back = await servers.forget(sequence, ["test"]);
        const faultOver = performance.now();
        await using still = await Standstill.watch([servers.url]);
        const since = still.stopwatch(faultOver);
        if (back.length === 0) return false;
        for (const each of [client, other]) await each.connected();

        await eventually("a listing of nothing", async () => (await names(other.bucket)).length === 0);
        assertLess(since(), TTL + LATE);
        for (let i = 0; i < ENTRIES; i += 50) {
          assertEquals(await other.bucket.get(`deleted/${i}`), undefined);
          assertEquals(await other.bucket.get(`expired/${i}`), undefined);
        }
        const late: Change[] = [];
        await other.bucket.watch("", (change) => late.push(change), { signal: other.signal });
        assertEquals(late.map(({ key }) => key), ["bystander"]);
        const there = new Set<string>();
        for (const { type, key } of changes) type === "put" ? there.add(key) : there.delete(key);
        assertEquals([...there], ["bystander"]);
        const keys = ["deleted", "expired"].flatMap((sort) =>
          Array.from({ length: ENTRIES }, (_, i) => `${sort}/${i}`)
        );
        const created = await Promise.all(keys.map((key) => other.bucket.create(key, "new", { ttl: 60_000 })));
        assertEquals(created.filter((revision) => revision === undefined), []);
        await eventually(
          "the watch to report all",
          () => late.filter(({ type }) => type === "put").length > keys.length,
        );
        return true;
      });
    });
  }

  it("a watch removes them from the store, within ttl + 1.5 s", slow, async () => {
    await untilForgotten(async (servers) => {
      await using client = await start(servers);
      await client.bucket.watch("", () => {}, { signal: client.signal });
      await fill(client.bucket);
      const back = await servers.forget("TK", ["test"]);
      const faultOver = performance.now();
      await using still = await Standstill.watch([servers.url]);
      const since = still.stopwatch(faultOver);
      if (back.length === 0) return false;
      await client.connected();
      const info = async () =>
        (await client.transport.connection.request("$JS.API.STREAM.INFO.KV_test", "", PATIENT)).json<
          { state: { messages: number } }
        >()
          .state.messages;
      await client.bucket.get("bystander");
      const keys = async () => (await client.bucket.entries("")).length;
      await eventually("nothing but the bystander to be listed", async () => await keys() === 1);
      assertLess(since(), TTL + LATE);
      // each removal leaves a marker of a second
      await eventually("nothing but the bystander to be stored", async () => await info() === 1);
      return true;
    });
  });

  it("a passive client reports the same, and removes nothing", slow, async () => {
    await untilForgotten(async (servers) => {
      await using client = await start(servers, { passive: true });
      const there = new Set<string>();
      await client.bucket.watch("", ({ type, key }) => type === "put" ? there.add(key) : there.delete(key), {
        signal: client.signal,
      });
      await fill(client.bucket);
      const back = await servers.forget("TK", ["test"]);
      if (back.length === 0) return false;
      await client.connected();
      await eventually("nothing to be left but the bystander", () => [...there].join() === "bystander");
      await eventually("a listing of nothing", async () => (await names(client.bucket)).length === 0);
      const stored = new Set<string>();
      for await (const { subject } of messagesOf(client.transport.connection, "test")) stored.add(subject);
      assertEquals(back.filter((subject) => !stored.has(subject)), []);
      return true;
    });
  });

  it("a client without a watch removes them from the store, within ttl + 5 s", slow, async () => {
    await untilForgotten(async (servers) => {
      await using client = await start(servers);
      await using other = await start(servers);
      await fill(client.bucket);
      const back = await servers.forget("TK", ["test"]);
      const faultOver = performance.now();
      await using still = await Standstill.watch([servers.url]);
      const since = still.stopwatch(faultOver);
      if (back.length === 0) return false;
      await Promise.all([client.connected(), other.connected()]);
      await eventually("nothing to be left", async () => await left(client.transport) === 0);
      assertLess(since(), TTL + 5_000);
      assertEquals((await client.bucket.entries("")).map(({ key }) => key), ["bystander"]);
      return true;
    });
  });

  it("a client that opens the bucket goes on with the sweep of one that has died", slow, async () => {
    await untilForgotten(async (servers) => {
      {
        await using dead = await start(servers);
        const { connection } = dead.transport;
        const turn = headers();
        turn.set("Nats-TTL", `${TTL / 1_000}s`);
        await connection.request("$KV.test.=sweep", "", { ...PATIENT, headers: turn });
        await dead.bucket.put("swept", "", { ttl: TTL });
        await eventually("their end", async () => await left(dead.transport) === 0);
      }
      const back = await servers.forget("TK", ["test"]);
      if (!["=sweep", "swept"].every((name) => back.includes(`$KV.test.${name}`))) return false;
      await using client = await start(servers);
      await eventually("nothing to be left", async () => await left(client.transport) === 0);
      assertEquals((await client.bucket.entries("")).map(({ key }) => key), ["bystander"]);
      return true;
    });
  });
});

/** How many entries with a ttl the store has. */
async function left({ connection }: NatsTransport): Promise<number> {
  let old = 0;
  for await (const { headers } of messagesOf(connection, "test")) {
    if (/Nats-TTL/.test(headers) && !/Nats-Marker-Reason/.test(headers)) old++;
  }
  return old;
}

/** Resolves when half of the entries have expired and half were deleted; their markers are still in the store. */
async function fill(bucket: Bucket): Promise<void> {
  const all = Array.from({ length: ENTRIES }, (_, i) => i);
  await Promise.all(all.map((i) => bucket.create(`deleted/${i}`, "old", { ttl: TTL + 2_000 })));
  await Promise.all(all.map((i) => bucket.create(`expired/${i}`, "old", { ttl: TTL })));
  await eventually("the expiry", async () => (await names(bucket, "expired/")).length === 0);
  await Promise.all(all.map((i) => bucket.delete(`deleted/${i}`)));
}

async function names(bucket: Bucket, prefix = ""): Promise<string[]> {
  return (await bucket.entries(prefix)).map(({ key }) => key).filter((key) => key !== "bystander");
}

interface Client extends AsyncDisposable {
  readonly transport: NatsTransport;
  readonly bucket: Bucket;
  readonly signal: AbortSignal;
  connected(): Promise<unknown>;
}

async function start(servers: ForgetfulServer, options: NatsKeyValueStoreOptions = {}): Promise<Client> {
  const transport = await openTransport(servers.url);
  const bucket = await new NatsKeyValueStore(transport, options).open("test");
  const end = new AbortController();
  return {
    transport,
    bucket,
    signal: end.signal,
    connected: () => eventually("the reconnect", () => transport.status.state === "connected"),
    async [Symbol.asyncDispose]() {
      end.abort();
      await transport.close();
    },
  };
}

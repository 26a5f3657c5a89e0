/**
 * Tests of Catga's buckets together with other clients of NATS KV: `@nats-io/kv`, and the `nats` tool by the headers
 * that it writes.
 */
import { type KV, Kvm, type KvWatchEntry } from "@nats-io/kv";
import { headers as makeHeaders } from "@nats-io/nats-core";
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { catga, command } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { CatgaError } from "../error.ts";
import { type Bucket, type BucketKind, bucketName, BUCKETS, type Change } from "../ports/key_value_store.ts";
import { openTransport } from "./harness_suite.ts";
import { encodeKey } from "./bucket/key_subject.ts";
import { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import type { NatsTransport } from "./connection/transport.ts";
import { patientJetStream } from "../../test/support/patient_jetstream.ts";

const required = await requireNatsServer();
const KINDS = Object.keys(BUCKETS) as readonly BucketKind[];
const KEYS = ["plain", "h/order:42", "ü/a b", "a/", "x".repeat(300)];

/** Another client of a bucket. Ttls and expected revisions are given as NATS clients give them. */
interface ForeignClient {
  put(subject: string, value: string): Promise<unknown>;
  create(subject: string, value: string, ttl?: string): Promise<unknown>;
  update(subject: string, value: string, revision: number): Promise<unknown>;
  delete(subject: string): Promise<unknown>;
  purge(subject: string, options?: { ttl?: string; revision?: number }): Promise<unknown>;
}

const FOREIGN: readonly [name: string, ttl: string, clientOf: (of: Opened) => ForeignClient][] = [
  ["@nats-io/kv", "60s", ({ kv }) => ({
    put: (subject, value) => kv.put(subject, value),
    create: (subject, value, ttl) => kv.create(subject, value, ttl),
    update: (subject, value, revision) => kv.update(subject, value, revision),
    delete: (subject) => kv.delete(subject),
    purge: (subject, { ttl, revision } = {}) =>
      kv.purge(subject, { ...(ttl && { ttl }), ...(revision && { previousSeq: revision }) }),
  })],
  // the nats tool writes a ttl as Go writes a duration
  ["the nats tool", "1m0s", ({ name, transport }) => {
    const js = patientJetStream(transport.connection);
    const write = (subject: string, value: string, fields: Readonly<Record<string, string | number | undefined>>) => {
      const headers = makeHeaders();
      for (const [field, text] of Object.entries(fields)) if (text !== undefined) headers.set(field, `${text}`);
      return js.publish(`$KV.${name}.${subject}`, value, { headers });
    };
    const expected = "Nats-Expected-Last-Subject-Sequence";
    return {
      put: (subject, value) => write(subject, value, {}),
      create: (subject, value, ttl) => write(subject, value, { [expected]: 0, "Nats-TTL": ttl }),
      update: (subject, value, revision) => write(subject, value, { [expected]: revision }),
      delete: (subject) => write(subject, "", { "KV-Operation": "DEL" }),
      purge: (subject, { ttl, revision } = {}) =>
        write(subject, "", {
          ...{ "KV-Operation": "PURGE", "Nats-Rollup": "sub" },
          ...{ "Nats-TTL": ttl, [expected]: revision },
        }),
    };
  }],
];

for (const kind of KINDS) {
  describe(`the bucket of ${kind} is an ordinary KV bucket`, required, () => {
    it("Kv reads, lists and watches what Catga wrote", async () => {
      await using opened = await open(kind);
      const { bucket, kv } = opened;
      const seen = await watchWith(kv);
      for (const key of KEYS) {
        const subject = encodeKey(key);
        const revision = await bucket.create(key, `1 ${key}`, { ttl: 60_000 });
        const entry = await kv.get(subject);
        assertEquals([entry?.operation, entry?.revision], ["PUT", revision]);
        assertEquals(valueOf(subject, entry!.string()), `1 ${key}`);
        const updated = await bucket.update(key, `2 ${key}`, revision!, { ttl: 60_000 });
        assertEquals((await kv.get(subject))?.revision, updated);
      }
      const keys: string[] = [];
      for await (const key of await kv.keys()) keys.push(key);
      assertEquals(keys.sort(), KEYS.map(encodeKey).sort());
      const status = await kv.status();
      assertEquals([status.bucket, status.history, status.markerTTL], [opened.name, 1, 1_000]);
      for (const key of KEYS) assertEquals(await bucket.delete(key), true);
      await eventually(
        "all changes",
        () => seen.filter(({ operation }) => operation === "PURGE").length === KEYS.length,
      );
      for (const key of KEYS) {
        const subject = encodeKey(key);
        const own = seen.filter((entry) => entry.key === subject);
        assertEquals([key, own.at(-1)?.operation], [key, "PURGE"]);
        assert(own.some((entry) => entry.operation === "PUT" && valueOf(subject, entry.string()) === `2 ${key}`), key);
      }
      await eventually("the last marker to go", async () => (await kv.status()).values === 0);
    });

    for (const [name, ttl, clientOf] of FOREIGN) {
      it(`Catga reads, lists and watches what ${name} wrote, and writes over it`, async () => {
        await using opened = await open(kind);
        const { bucket, kv } = opened;
        const client = clientOf(opened);
        const changes: Change[] = [];
        const end = new AbortController();
        await bucket.watch("", (change) => void changes.push(change), { signal: end.signal });
        const last = (key: string) => changes.findLast((change) => change.key === key)?.type;

        await client.put("put", "1");
        await client.create("h.order=3A42", "2", ttl);
        const created = await bucket.get("h/order:42");
        assertEquals([(await bucket.get("put"))?.value, created?.value], ["1", "2"]);
        assertEquals((await bucket.entries("h/")).map(({ key }) => key), ["h/order:42"]);
        await assertRejects(() => client.create("h.order=3A42", "3", ttl));
        assertEquals(await bucket.create("h/order:42", "3"), undefined);
        await client.update("h.order=3A42", "4", created!.revision);
        assertEquals(await bucket.update("h/order:42", "5", created!.revision), undefined);
        assertEquals((await bucket.get("h/order:42"))?.value, "4");

        const keys = ["deleted", "purged", "purged with a ttl", "purged at a revision"];
        for (const key of keys) await bucket.put(key, key);
        await client.delete(encodeKey("deleted"));
        await client.purge(encodeKey("purged"));
        await client.purge(encodeKey("purged with a ttl"), { ttl });
        const at = (await bucket.get("purged at a revision"))!.revision;
        await assertRejects(() => client.purge(encodeKey("purged at a revision"), { ttl, revision: at - 1 }));
        await client.purge(encodeKey("purged at a revision"), { ttl, revision: at });
        for (const key of keys) {
          await eventually(`the removal of ${key}`, () => last(key) === "delete");
          assertEquals([key, await bucket.get(key)], [key, undefined]);
          assertEquals(await bucket.delete(key), true);
          const revision = await bucket.create(key, "again", { ttl: 60_000 });
          assertGreater(revision ?? 0, at);
          assertEquals((await kv.get(encodeKey(key)))?.string(), "again");
        }
        await client.put("..", "no key of Catga").catch(() => {}); // some clients refuse such a key
        await client.put("a.key.of.theirs", "no key of Catga");
        const listed = (await bucket.entries("")).map(({ key }) => key);
        assertEquals(listed.sort(), ["h/order:42", "put", ...keys].sort());
        end.abort();
      });
    }

    it("a ttl of another client ends the entry, which Kv sees as PURGE, and Catga as its end", async () => {
      await using opened = await open(kind);
      const { bucket, kv } = opened;
      const changes: Change[] = [];
      const end = new AbortController();
      await bucket.watch("", (change) => void changes.push(change), { signal: end.signal });
      const seen = await watchWith(kv);
      await kv.create("theirs", "", "1s");
      await bucket.put("ours", "", { ttl: 1_000 });
      for (const key of ["theirs", "ours"]) {
        await eventually(
          `the end of ${key}`,
          () => changes.some(({ type, key: of }) => type === "expire" && of === key),
        );
        await eventually(
          `its marker`,
          () => seen.some(({ operation, key: of }) => operation === "PURGE" && of === key),
        );
        assertEquals(await bucket.get(key), undefined);
        assertGreater(await kv.create(key, "1", "60s"), 0);
      }
      end.abort();
    });
  });
}

describe("another client of a namespace's buckets", required, () => {
  it("writes values of the cache, and removes them", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url });
    await app.cache.set("price:tea", { cents: 420 }, { ttl: 60_000 });
    const transport = await openTransport(server.url);
    const cache = await new Kvm(patientJetStream(transport.connection)).open("catga_default_cache");
    const tea = await cache.get("price=3Atea");
    assertEquals(JSON.parse(tea!.string().split("\n")[1]), { cents: 420 });
    await cache.create("price=3Acoffee", '{}\n{"cents":550}', "60s");
    assertEquals(await app.cache.get("price:coffee"), { cents: 550 });
    await cache.put("price=3Atea", '{"fence":7}\n{"cents":430}');
    assertEquals(await app.cache.get("price:tea"), { cents: 430 });
    assertEquals(await app.cache.set("price:tea", { cents: 1 }, { fence: 6 }), false);
    await cache.purge("price=3Atea", { ttl: "1s" });
    await cache.delete("price=3Acoffee");
    assertEquals([await app.cache.get("price:tea"), await app.cache.get("price:coffee")], [undefined, undefined]);
    for (const text of ["420", '{"cents":420}', '{\n"cents":420}', ""]) {
      await cache.put("price=3Atea", text);
      const error = await assertRejects(() => app.cache.get("price:tea"), CatgaError);
      assertEquals([text, error.code], [text, "INVALID_RESPONSE"]);
    }
    await transport.close();
  });

  it("reads who holds a lock, whose revision is the token, and releases it by force", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url });
    const lock = await app.lock("order:42", { ttl: 15_000 });
    const transport = await openTransport(server.url);
    const locks = await new Kvm(patientJetStream(transport.connection)).open("catga_default_locks");
    const held = await locks.get("h.order=3A42");
    assertEquals([held?.revision, held?.json<{ node: string }>().node], [lock.token, app.self.id]);
    const waiting = app.lock("order:42", { timeout: 30_000 });
    let released = false;
    while (!released) {
      const { revision } = (await locks.get("h.order=3A42"))!; // a renewal by the holder changes the revision
      released = await locks.purge("h.order=3A42", { ttl: "1s", previousSeq: revision }).then(() => true, () => false);
    }
    await using next = await waiting;
    assertGreater(next.token, lock.token);
    await transport.close();
  });

  it("lists nodes by their ids, and makes the id of a command new", async () => {
    await using server = await startNatsServer();
    let runs = 0;
    const Pay = command<number, number>("Pay", { idempotent: true });
    await using app = await catga({ nats: server.url, id: "n-1", handlers: Pay.handle(() => ++runs) });
    const transport = await openTransport(server.url);
    const kvm = new Kvm(patientJetStream(transport.connection));
    const nodes = await kvm.open("catga_default_nodes");
    assertEquals((await nodes.get("n-1"))?.json<{ id: string }>().id, app.self.id);
    const pay = async () => (await app.send(Pay, 1, { id: "pay-42" })).value;
    assertEquals([await pay(), await pay()], [1, 1]);
    const claims = await kvm.open("catga_default_idempotency");
    const keys: string[] = [];
    for await (const key of await claims.keys()) keys.push(key);
    assertEquals(keys.length, 1);
    await claims.purge(keys[0], { ttl: "1s" });
    assertEquals(await pay(), 2);
    await transport.close();
  });
});

/** One bucket, opened twice: `bucket` by Catga and `kv` by the package `@nats-io/kv`, each on its own connection. */
interface Opened extends AsyncDisposable {
  readonly name: string;
  readonly bucket: Bucket;
  readonly kv: KV;
  readonly transport: NatsTransport;
}

async function open(kind: BucketKind): Promise<Opened> {
  const server = await startNatsServer();
  const [ours, theirs] = await Promise.all([openTransport(server.url), openTransport(server.url)]);
  const name = bucketName("default", kind);
  return {
    name,
    bucket: await new NatsKeyValueStore(ours).open(name, BUCKETS[kind]),
    kv: await new Kvm(patientJetStream(theirs.connection)).open(name),
    transport: theirs,
    async [Symbol.asyncDispose]() {
      await Promise.all([ours.close(), theirs.close()]);
      await server.stop();
    },
  };
}

/** Starts a watch, and returns the list to which it adds the entries that it receives. */
async function watchWith(kv: KV): Promise<KvWatchEntry[]> {
  const seen: KvWatchEntry[] = [];
  const entries = await kv.watch();
  (async () => {
    for await (const entry of entries) seen.push(entry);
  })();
  return seen;
}

/** Returns the value in a stored entry. An entry with a long key has the key in its first line. */
function valueOf(subject: string, stored: string): string {
  return subject.includes("==") ? stored.slice(stored.indexOf("\n") + 1) : stored;
}

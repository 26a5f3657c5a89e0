/**
 * Tests that the first revision of a bucket comes from the server's time, because the clocks of nodes may be wrong by
 * hours.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertLess, assertRejects, assertStrictEquals } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { type Clock, systemClock } from "../../ports/clock.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { connectNats } from "../connection/connection.ts";
import { createStream, openTransport, reached } from "../harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import { NatsTransport } from "../connection/transport.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { type BucketStream, type Removal, remove } from "./bucket_stream.ts";
import type { StreamWrite } from "../stream/jetstream.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import type { StreamRecord } from "../stream/stored_message.ts";

const HOUR = 3_600_000;

/** A transport whose wall clock is one hour behind. */
class LateTransport extends NatsTransport {
  override readonly clock: Clock = { ...systemClock, now: () => Date.now() - HOUR };
}

describe("BucketStream: revisions of a bucket that is made anew", await requireNatsServer(), () => {
  it("grow if the node that makes it has seen none of them, and its clock is an hour behind", async () => {
    await using server = await startNatsServer();
    await using early = await openClient(server.url);
    const before = await (await early.store.open("test")).put("key", "1");
    await early.transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
    await using late = await openClient(server.url, LateTransport);
    const after = await (await late.store.open("test")).put("key", "2");
    assertGreater(after, before);
  });

  it("grow if the server has lost everything, and the clock of the node that makes it is an hour behind", async () => {
    await using server = await startNatsServer();
    await using early = await openClient(server.url);
    const before = await (await early.store.open("test")).put("key", "1");
    await server.kill("SIGKILL");
    await using next = await startNatsServer({ port: server.port });
    await reached(early.transport, "connected");
    await using late = await openClient(next.url, LateTransport);
    assertGreater(await (await late.store.open("test")).put("key", "2"), before);
  });

  it("start at the server's time also for a user without the permission to ask for it, once a bucket was opened", async () => {
    const config = `authorization { users: [
      { user: admin, password: p }
      { user: node, password: p, permissions: { publish: { deny: "$SYS.>" } } } ] }`;
    await using server = await startNatsServer({ config });
    await using late = await openClient(`nats://node:p@127.0.0.1:${server.port}`, LateTransport);
    const first = await (await late.store.open("first")).put("key", "");
    const second = await (await late.store.open("second")).put("key", "");
    const now = Date.now() * 1_000;
    assertLess(first, now - HOUR * 900);
    assert(Math.abs(second - now) < 60_000_000, `${second} is not the server's time, ${now}`);
  });

  it("are greater than any that this process has seen, whatever the server's clock says", async () => {
    await using server = await startNatsServer();
    await using client = await openClient(server.url);
    const ahead = (Date.now() + HOUR) * 1_000;
    const { transport, store } = client;
    const bucket = await store.open("test");
    const { config } = (await transport.connection.request("$JS.API.STREAM.INFO.KV_test", "", PATIENT)).json<
      { config: { name: string } }
    >();
    await transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
    await createStream(transport, { ...config, first_seq: ahead });
    const before = await bucket.put("key", "1");
    assertEquals(before, ahead);
    await transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
    assertGreater(await bucket.put("key", "2"), before);
  });

  for (const [what, used] of [["a bucket is opened", false], ["a bucket that is used is made anew", true]] as const) {
    it(`${what} once the files of the deleted one are gone (10049)`, async () => {
      await using server = await startNatsServer();
      await using client = await openClient(server.url);
      const bucket = used ? await client.store.open("test") : undefined;
      await client.transport.connection.request("$JS.API.STREAM.DELETE.KV_test", "", PATIENT);
      const streams = `${server.storeDir}/jetstream/$G/streams`;
      // nats-server removes the file after it has failed to create the stream
      const block = () => mkdir(streams, { recursive: true }).then(() => writeFile(`${streams}/KV_test`, ""));
      await eventually("a file in the way", () => block().then(() => true, () => false));
      assertGreater(await (bucket ?? await client.store.open("test")).put("key", "1"), 0);
    });
  }
});

async function openClient(url: string, Transport: typeof NatsTransport = NatsTransport) {
  const transport = Transport === NatsTransport
    ? await openTransport(url)
    : new Transport(await connectNats(url), { onError: () => {} });
  return { transport, store: new NatsKeyValueStore(transport), [Symbol.asyncDispose]: () => transport.close() };
}

const FULL = new JetStreamRefusal("full", "no space left on device");

/** The answers of the fake server, in order. */
interface Answers {
  /** Answers to writes of markers: the new revision; `undefined` if the key is at another revision; or an error. */
  readonly writes: readonly (number | undefined | Error)[];
  /** Answers to requests for the last message of the key. */
  readonly last?: readonly (Partial<StreamRecord> | undefined)[];
  /** Answers to erasures: true if the store had such a message. */
  readonly erased?: readonly boolean[];
}

/**
 * Removes a key from a fake stream of a bucket. Returns the requests that the stream got, and the headers and data of
 * the markers.
 */
function removeFrom({ writes, last = [], erased = [] }: Answers, removal: Partial<Removal>) {
  const answers = { writes: [...writes], last: [...last], erased: [...erased] };
  const requests: string[] = [];
  const headers: Readonly<Record<string, string>>[] = [];
  const data: string[] = [];
  const stream = {
    name: "KV_b",
    prefix: "$KV.b.",
    attempt: (work: (limit: number) => unknown) => work(1_000),
    write(subject: string, text: string, { ttl = "none", expected, headers: own }: StreamWrite) {
      requests.push(`write ${subject} at ${expected ?? "any"}`);
      headers.push({ ...own, "Nats-TTL": ttl });
      data.push(text);
      const answer = answers.writes.shift();
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
    js: {
      last(name: string, subject: string) {
        requests.push(`last ${name} ${subject}`);
        return Promise.resolve(answers.last.shift());
      },
      erase(name: string, revision: number) {
        requests.push(`erase ${name} ${revision}`);
        return Promise.resolve(answers.erased.shift());
      },
    },
  } as unknown as BucketStream; // cast: the only members that `remove` uses
  return { removed: remove(stream, { subject: "a", ...removal }), requests, headers, data };
}

describe("remove", () => {
  it("writes a marker that expires after 1 s and replaces the entry, at its revision or at any", async () => {
    const at = removeFrom({ writes: [9] }, { revision: 7 });
    assertEquals({ removed: await at.removed, requests: at.requests }, {
      removed: { marker: 9 },
      requests: ["write a at 7"],
    });
    assertEquals(at.headers, [{ "KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": "1s" }]);
    const any = removeFrom({ writes: [9] }, {});
    assertEquals({ removed: await any.removed, requests: any.requests }, {
      removed: { marker: 9 },
      requests: ["write a at any"],
    });
  });

  it("an entry whose ttl was over gets a marker that watches report as an expiry; that of a hashed subject has the key", async () => {
    const { removed, headers, data } = removeFrom({ writes: [9] }, { expired: true, subject: "==h", key: "k" });
    await removed;
    assertEquals(headers, [{ "Nats-Marker-Reason": "MaxAge", "Nats-Rollup": "sub", "Nats-TTL": "1s" }]);
    assertEquals(data, ['"k"\n']);
  });

  it("a key at another revision is undefined, and nothing is erased", async () => {
    const written = removeFrom({ writes: [undefined] }, { revision: 7 });
    assertEquals({ removed: await written.removed, requests: written.requests }, {
      removed: undefined,
      requests: ["write a at 7"],
    });
    for (const last of [{ type: "put", revision: 8 } as const, undefined]) {
      const full = removeFrom({ writes: [FULL], last: [last] }, { revision: 7 });
      assertEquals({ removed: await full.removed, requests: full.requests }, {
        removed: undefined,
        requests: ["write a at 7", "last KV_b $KV.b.a"],
      });
    }
  });

  it("a full store: erases the entry, and writes a marker unless the key was written again", async () => {
    for (const [marker, expected] of [[9, { marker: 9 }], [undefined, {}], [FULL, {}]] as const) {
      const { removed, requests } = removeFrom({
        writes: [FULL, marker],
        last: [{ type: "put", revision: 7 }],
        erased: [true],
      }, { revision: 7 });
      assertEquals(await removed, expected);
      assertEquals(requests, ["write a at 7", "last KV_b $KV.b.a", "erase KV_b 7", "write a at 0"]);
    }
  });

  it("a full store, any revision: an entry that was written again meanwhile is erased at its new revision", async () => {
    const { removed, requests } = removeFrom({
      writes: [FULL, FULL],
      last: [{ type: "put", revision: 7 }, { type: "put", revision: 8 }],
      erased: [false, true],
    }, {});
    assertEquals(await removed, {});
    assertEquals(requests.filter((request) => request.startsWith("erase")), ["erase KV_b 7", "erase KV_b 8"]);
  });

  it("a full store: a key without an entry, or with a marker, is removed already", async () => {
    for (const last of [undefined, { type: "delete", revision: 7 } as const]) {
      const { removed, requests } = removeFrom({ writes: [FULL, FULL], last: [last] }, {});
      assertEquals(await removed, {});
      assertEquals(requests, ["write a at any", "last KV_b $KV.b.a", "write a at 0"]);
    }
  });

  it("rejects with every other refusal, of either marker", async () => {
    const silent = new JetStreamRefusal("no answer", "timed out");
    const first = removeFrom({ writes: [silent] }, {});
    assertStrictEquals(await assertRejects(() => first.removed), silent);
    const second = removeFrom({ writes: [FULL, silent] }, {});
    assertStrictEquals(await assertRejects(() => second.removed), silent);
    assertEquals(first.requests.length, 1);
  });
});

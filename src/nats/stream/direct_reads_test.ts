/** Tests of direct gets of a stream and a bucket that other streams mirror, on a real server. */
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { createStream, openTransport } from "../harness_suite.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { DirectReads } from "./direct_reads.ts";
import { NatsKeyValueStore } from "../bucket/key_value_store.ts";
import { OPTIONS, store, STREAM, textOf } from "../log_harness_suite.ts";
import { NatsEventLog } from "../log/log_stream.ts";
import type { NatsTransport } from "../connection/transport.ts";

/** Number of reads of each kind: that a mirror which answers half of the direct gets answers none is improbable. */
const READS = 30;

/** Settings of a mirror that keeps less than its origin. `subject`: of the last message; `last`: its sequence. */
type Keeps = (subject: string, last: number) => object;
const LESS: readonly (readonly [what: string, keeps: Keeps])[] = [
  ["a filter", (filter_subject) => ({ mirror: { filter_subject } })],
  ["a later start", (_, opt_start_seq) => ({ mirror: { opt_start_seq } })],
  ["max_msgs", () => ({ max_msgs: 1, mirror: {} })],
];

describe("direct gets of what another stream mirrors", await requireNatsServer(), () => {
  for (const [what, keeps] of LESS) {
    it(`a mirror with ${what}: everything stored is found (half was "not found")`, async () => {
      await using origin = await startOrigin();
      const { stream, bucket, transport } = origin;
      for (let i = 0; i < READS; i++) {
        await store(stream, `${i}`, `log.${i}`);
        await bucket.put(`key${i}`, `${i}`);
      }
      await origin.mirror(STREAM, keeps("log.other", await store(stream, "other", "log.other")));
      await origin.mirror("KV_test", keeps("$KV.test.other", await bucket.put("other", "1")));
      for (const [name, subject] of [[STREAM, "log.0"], ["KV_test", "$KV.test.key0"]]) {
        await eventually(`a wrong answer about ${name}`, async () => !await hasDirect(transport, name, subject));
      }
      for (let i = 0; i < READS; i++) {
        assertEquals((await stream.last(`log.${i}`))?.data.length, `${i}`.length, `log.${i} was not found`);
        assertEquals((await stream.read(`log.${i}`, { from: 1 })).map(textOf), [`${i}`]);
        assertEquals((await bucket.get(`key${i}`))?.value, `${i}`);
      }
      const all = await stream.read("log.>", { from: 1 });
      assertEquals(all.length, READS + 1);
    });
  }

  it("a full mirror: a client reads its own writes, and nothing that was deleted", async () => {
    await using origin = await startOrigin();
    const { stream, bucket, transport } = origin;
    await store(stream, "first", "log.first");
    await bucket.put("first", "1");
    for (const name of [STREAM, "KV_test"]) await origin.mirror(name, { mirror: {} });
    await eventually("an answer of the mirror", async () => {
      const answer = await direct(transport, STREAM, "log.first");
      return answer.headers?.get("Nats-Stream") === `copy_${STREAM}`;
    });
    const passed: string[] = [];
    for (let i = 0; i < 4 * READS; i++) {
      const sequence = await store(stream, `${i}`);
      assertEquals((await stream.last("log.a"))?.sequence, sequence);
      const onMessage = (message: Parameters<typeof textOf>[0]) => void passed.push(textOf(message));
      assertEquals((await stream.read("log.a", { from: sequence, onMessage })).map(textOf), [`${i}`]);
      await bucket.put("key", `${i}`);
      assertEquals((await bucket.get("key"))?.value, `${i}`);
      await bucket.delete("key");
      assertEquals(await bucket.get("key"), undefined);
    }
    assertEquals(passed, Array.from({ length: 4 * READS }, (_, i) => `${i}`), "a batch's messages passed on once");
  });

  it("no mirror: neither what is found nor what is not costs a second request", async () => {
    await using origin = await startOrigin();
    const { stream, bucket } = origin;
    await store(stream, "first", "log.first");
    await bucket.put("first", "1");
    const missed = async () => {
      const before = await origin.askedLeader();
      await stream.last("log.none");
      await stream.read("log.none", { from: 1 });
      await bucket.get("none");
      return await origin.askedLeader() - before;
    };
    assertGreater(await missed(), 0); // nothing is known yet: the leader is asked
    await eventually("to know that there is no mirror", async () => await missed() === 0);
    const before = await origin.askedLeader();
    for (let i = 0; i < READS; i++) {
      assertEquals([await stream.last("log.none"), await bucket.get("none")], [undefined, undefined]);
      assertEquals(await stream.read("log.none", { from: 1 }), []);
      assertEquals((await stream.read("log.first", { from: 1 })).length, 1);
      assertEquals([(await stream.last("log.first"))?.data.length, (await bucket.get("first"))?.value], [5, "1"]);
    }
    assertEquals(await origin.askedLeader() - before, 0, "reads that went to the leader");
  });
});

describe("DirectReads", () => {
  it("what a look finds out on one connection is worth nothing on the next one", async () => {
    const looks: (() => void)[] = [];
    const first = { subject: "log.a", data: new Uint8Array() };
    const js = {
      direct: (_: string, read: () => Promise<unknown>) => read(),
      message: () => new Promise((resolve) => looks.push(() => resolve(first))),
      askLastDirect: () => Promise.resolve({ found: first, by: STREAM }),
    };
    const options = { name: STREAM, js, clock: new VirtualClock(), hasStaleReplica: () => false };
    const reads = new DirectReads(options as never); // what else a stream has is not used
    let ofLeader = 0;
    const missed = () =>
      reads.read(
        "x",
        () => Promise.resolve({ found: undefined, by: undefined }),
        () => Promise.resolve(void ofLeader++),
      );
    await missed();
    reads.reset();
    looks[0]();
    await new Promise((resolve) => setImmediate(resolve));
    await missed();
    assertEquals(ofLeader, 2);
    looks[1]();
    await new Promise((resolve) => setImmediate(resolve));
    await missed();
    assertEquals(ofLeader, 2);
  });
});

/** Sends a direct get of the last message on a subject. */
async function direct({ connection }: NatsTransport, stream: string, subject: string) {
  return await connection.request(`$JS.API.DIRECT.GET.${stream}.${subject}`, "", PATIENT);
}

/** Resolves with true if a direct get of a subject finds a message. */
async function hasDirect(transport: NatsTransport, stream: string, subject: string): Promise<boolean> {
  return (await direct(transport, stream, subject)).headers?.code === 0;
}

interface Origin extends AsyncDisposable {
  readonly transport: NatsTransport;
  readonly stream: LogStream;
  readonly bucket: Bucket;
  /** Creates a stream with these settings that mirrors the named one. */
  mirror(name: string, settings: { readonly mirror?: object }): Promise<void>;
  /** Resolves with the number of reads that were sent to the leader so far. */
  askedLeader(): Promise<number>;
}

/** Starts a server and a client with a stream and a bucket. */
async function startOrigin(): Promise<Origin> {
  const server = await startNatsServer();
  const [transport, admin] = [await openTransport(server.url), await openTransport(server.url)];
  let asked = 0;
  admin.subscribe("$JS.API.STREAM.MSG.GET.>", {}, () => void asked++);
  await admin.flush();
  return {
    transport,
    stream: await new NatsEventLog(transport).open(STREAM, OPTIONS),
    bucket: await new NatsKeyValueStore(transport).open("test", { direct: true }),
    async mirror(name, { mirror, ...settings }) {
      await createStream(admin, { name: `copy_${name}`, ...settings, mirror: { name, ...mirror } });
    },
    async askedLeader() {
      await transport.flush();
      await admin.flush();
      return asked;
    },
    async [Symbol.asyncDispose]() {
      await transport.close();
      await admin.close();
      await server.stop();
    },
  };
}

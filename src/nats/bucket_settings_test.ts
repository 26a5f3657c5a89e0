/** Tests of buckets that another NATS client has created or changed. */
import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { catga } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { systemClock } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { bucketSettings, checkSettings } from "./stream/stream_settings.ts";
import { connectNats } from "./connection/connection.ts";
import { createStream, openTransport } from "./harness_suite.ts";
import { JetStream } from "./stream/jetstream.ts";
import { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import { NatsTransport } from "./connection/transport.ts";

const slow = { timeout: 300_000 };
const wanted = (bucket: string) => ({
  name: `KV_${bucket}`,
  ...bucketSettings(bucket, { direct: false, replicas: 1 }),
});
const nodes = wanted("catga_default_nodes");

/** Opens the connection of another client, whose `api` sends requests to the API of JetStream. */
async function stranger(url: string): Promise<AsyncDisposable & { api(name: string, body: object): Promise<void> }> {
  const transport = await openTransport(url);
  const js = new JetStream(transport);
  return {
    async api(name, body) {
      const answer = await js.request(`$JS.API.${name}`, JSON.stringify(body), undefined, PATIENT.timeout);
      assertEquals(answer.json<{ error?: unknown }>().error, undefined);
    },
    [Symbol.asyncDispose]: () => transport.close(),
  };
}

/**
 * Settings of a stream that do harm, each in a stream that is otherwise as Catga wants it, with the setting that the
 * error must name.
 */
const HARMFUL: readonly (readonly [setting: string, config: Record<string, unknown>])[] = [
  ["republish", { republish: { src: "$KV.catga_default_nodes.>", dest: "catga.default.node.>" } }],
  ["sources", { sources: [{ name: "KV_evil" }] }],
  ["mirror", { mirror: { name: "KV_evil" }, subjects: undefined, subject_delete_marker_ttl: undefined }],
  ["subject_transform", {
    subject_transform: { src: "$KV.catga_default_nodes.a", dest: "$KV.catga_default_nodes.b" },
  }],
  ["no_ack", { no_ack: true }],
  ["sealed", { sealed: true }],
  ["discard_new_per_subject", { discard_new_per_subject: true }],
  ["allow_msg_counter", { allow_msg_counter: true, discard: "old", allow_msg_ttl: false }],
  ["allow_atomic", { allow_atomic: true }],
  ["allow_batched", { allow_batched: true }],
  ["allow_msg_schedules", { allow_msg_schedules: true, discard: "old" }],
  ["consumer_limits", { consumer_limits: { inactive_threshold: 1_000_000_000 } }],
  ["persist_mode", { persist_mode: "async" }],
  ["max_age", { max_age: 3_600_000_000_000, subject_delete_marker_ttl: 1_000_000_000 }],
  ["subjects", { subjects: ["$KV.catga_default_nodes.>", "catga.default.>"] }],
  ["first_seq", { first_seq: 2 ** 53 }],
];

describe("checkSettings: a stream that another client made", await requireNatsServer(), () => {
  it("a bucket that Catga made, and one with settings that an operator may choose, are accepted", async () => {
    await using server = await startNatsServer();
    await using other = await stranger(server.url);
    await other.api("STREAM.CREATE.KV_operated", {
      ...wanted("operated"),
      description: "of the orders",
      metadata: { team: "orders" },
      compression: "s2",
      max_bytes: 10_000_000,
      max_msg_size: 100_000,
      max_msgs: 1_000,
      max_consumers: 100,
      duplicate_window: 10_000_000_000,
      first_seq: 1_000,
    });
    const transport = await openTransport(server.url);
    const store = new NatsKeyValueStore(transport);
    assertEquals(await (await store.open("operated")).create("a", "b"), 1_000);
    await store.open("ours");
    await store.open("ours");
    await transport.close();
  });

  for (const [setting, config] of HARMFUL) {
    it(
      `a node does not start on a bucket with ${setting}; the error names the setting and what to do`,
      slow,
      async () => {
        await using server = await startNatsServer();
        await using other = await stranger(server.url);
        if (setting === "mirror" || setting === "sources") {
          await other.api("STREAM.CREATE.KV_evil", { name: "KV_evil", subjects: ["evil"], storage: "file" });
        }
        await other.api("STREAM.CREATE.KV_catga_default_nodes", { ...nodes, ...config }).catch(async (error) => {
          // the server accepts `sealed` only in an update, not when a stream is created
          if (setting !== "sealed") throw error;
          await other.api("STREAM.CREATE.KV_catga_default_nodes", nodes);
          await other.api("STREAM.UPDATE.KV_catga_default_nodes", { ...nodes, sealed: true });
        });
        const error = await assertRejects(() => catga({ nats: server.url, id: "a" }), CatgaError);
        assertEquals(error.code, "BUCKET_MISMATCH");
        assertEquals((error.details as { setting: string }).setting, setting);
        for (const part of [setting, "nats kv rm catga_default_nodes", "catga setup"]) {
          assertStringIncludes(error.message, part);
        }
      },
    );
  }

  it("other replicas: the message gives the option that fits, and the edit that keeps all entries", () => {
    const settings = bucketSettings("b", { direct: false, replicas: 3 });
    const { message } = assertThrowsCatga(() => checkSettings("b", wanted("b"), settings));
    assertEquals(
      message,
      "the bucket b exists with num_replicas 1; Catga needs 3: give `replicas: 1`, or change it, which keeps all entries " +
        "(`nats stream edit KV_b --replicas 3`)",
    );
  });

  it("other settings: the message says what is lost with a bucket that is not filled anew by itself", () => {
    const messageOf = (bucket: string, more: object) =>
      assertThrowsCatga(() => {
        checkSettings(bucket, { ...wanted(bucket), ...more }, bucketSettings(bucket, { direct: false, replicas: 1 }));
      }).message;
    for (const more of [{ storage: "memory" }, { republish: { src: ">", dest: "x" } }]) {
      const lost = (kind: string) =>
        /, which loses ([^`]*)\) and make it anew/.exec(messageOf(`catga_x_${kind}`, more))?.[1];
      assertEquals(lost("idempotency"), "the recorded results: a command whose id comes again runs again");
      assertEquals(lost("nodes"), undefined);
    }
  });

  it("an unknown setting must be off, so that one of a later server is refused", () => {
    const settings = bucketSettings("b", { direct: false, replicas: 1 });
    const check = (more: object) => checkSettings("b", { ...settings, ...more }, settings);
    for (const off of [false, 0, -1, "", null, [], {}, { inactive_threshold: 0 }]) check({ of_the_future: off });
    for (const on of [true, 1, "x", ["x"], { src: ">" }]) {
      const error = assertThrowsCatga(() => check({ of_the_future: on }));
      assertMatch(error.message, /^the bucket b exists with of_the_future .*; Catga needs it to be off: /);
    }
  });

  it(
    "a bucket that is deleted and made anew with other settings while it is used is refused within 30 s",
    slow,
    async () => {
      await using server = await startNatsServer();
      let ahead = 0;
      const transport = new ShiftedTransport(await connectNats(server.url), () => ahead);
      const notices: string[] = [];
      const store = new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) });
      const bucket = await store.open("used");
      await using other = await stranger(server.url);
      await bucket.put("a", "1");
      await other.api("STREAM.DELETE.KV_used", {});
      const republish = { src: "$KV.used.>", dest: "catga.default.node.>" };
      await createStream(transport, { ...wanted("used"), republish });
      // this write reaches the new stream at once: the client never got the refusal "no stream", after which it would
      // check the settings
      await bucket.put("a", "2");
      ahead = 30_000;
      const operations = [
        () => bucket.put("b", ""),
        () => bucket.get("b"),
        () => bucket.entries(""),
        () => bucket.delete("b"),
      ];
      for (const operation of operations) await refused(operation);
      // operations are refused until an operator restores the settings
      await refused(operations[0]);
      await other.api("STREAM.UPDATE.KV_used", { ...wanted("used"), republish: undefined });
      assertEquals((await bucket.get("a"))?.value, "2");
      await transport.close();
    },
  );

  it("a change of settings interrupts the watch, with one notice, until it is undone", slow, async () => {
    await using server = await startNatsServer();
    let ahead = 0;
    const transport = new ShiftedTransport(await connectNats(server.url), () => ahead);
    const notices: string[] = [];
    const store = new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) });
    const bucket = await store.open("watched");
    const stop = new AbortController();
    const seen: string[] = [];
    await bucket.watch("", ({ key }) => seen.push(key), { signal: stop.signal });
    await using other = await stranger(server.url);
    await other.api("STREAM.UPDATE.KV_watched", {
      ...wanted("watched"),
      republish: { src: "$KV.watched.>", dest: "catga.default.node.>" },
    });
    ahead = 30_000;
    // a server that stands still interrupts the watch as well, with other notices
    const about = () => notices.filter((notice) => notice.includes("the bucket watched exists with"));
    await eventually("the notice", () => about().length > 0);
    assertMatch(about()[0], /^watching \$KV\.watched\.> anew: the bucket watched exists with republish /);
    await other.api("STREAM.UPDATE.KV_watched", { ...wanted("watched"), republish: undefined });
    // the first writes may still be refused, by a check that read the wrong settings before the operator restored them
    await eventually("a write", () => bucket.put("after", "").then(() => true, () => false));
    await eventually("the watch to go on", () => seen.includes("after"));
    assertEquals(about().length, 1);
    stop.abort();
    await transport.close();
  });

  it("a bucket that was changed while the client was disconnected is refused at its first use", slow, async () => {
    await using server = await startNatsServer();
    const { port, storeDir } = server;
    const transport = await openTransport(server.url);
    const bucket = await new NatsKeyValueStore(transport).open("kept");
    await bucket.put("a", "1");
    {
      await using other = await stranger(server.url);
      await other.api("STREAM.UPDATE.KV_kept", {
        ...wanted("kept"),
        republish: { src: "$KV.kept.>", dest: "catga.default.node.>" },
      });
    }
    await server.kill("SIGTERM");
    await using _again = await startNatsServer({ port, storeDir });
    await eventually("the link", () => transport.status.state === "connected" && transport.status.generation > 1);
    await refused(() => bucket.get("a"));
    await transport.close();
  });
});

/**
 * Repeats the operation until it is refused: the first attempts may still succeed, before the check of the settings has
 * ended.
 */
function refused(operation: () => Promise<unknown>): Promise<boolean> {
  const refusal = () => operation().then(() => false, (error) => error.code === "BUCKET_MISMATCH");
  return eventually("the refusal", refusal);
}

/** A transport whose monotonic clock is ahead by `ahead()` ms. */
class ShiftedTransport extends NatsTransport {
  override readonly clock;

  constructor(link: ConstructorParameters<typeof NatsTransport>[0], ahead: () => number) {
    super(link);
    this.clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead() };
  }
}

function assertThrowsCatga(work: () => void): CatgaError {
  try {
    work();
  } catch (error) {
    if (error instanceof CatgaError) return error;
    throw error;
  }
  throw new Error("it did not throw");
}

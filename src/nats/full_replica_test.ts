/** Tests of consumers at a server of three whose store is full: it delivers nothing, and seems healthy. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { eventually } from "../../test/support/eventually.ts";
import { FULL, FullReplica } from "../../test/support/full_replica.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import type { Change } from "../ports/key_value_store.ts";
import type { LogStream } from "../ports/event_log.ts";
import { openTransport } from "./harness_suite.ts";
import { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import { follow, OPTIONS, store, STREAM } from "./log_harness_suite.ts";
import { NatsEventLog } from "./log/log_stream.ts";

const slow = { timeout: 300_000 };
/** Number of readers that begin while the server is full: that none is placed there by chance is improbable. */
const LATE_READERS = 12;

describe("a server of three whose store is full", await requireNatsServer(), () => {
  it(
    "readers there go on, and those that begin are placed elsewhere: all get all, once and in order",
    slow,
    async () => {
      await using replica = await FullReplica.start();
      await using streams = openStreams(replica);
      const stream = await streams.open();
      const readers = [follow(await streams.open())];
      // each has a connection of its own, so that it has a consumer of its own
      for (let there = 0; there < 2; there = (await replica.consumers(STREAM, FULL)).length) {
        readers.push(follow(await streams.open()));
        await eventually("the reader to catch up", () => readers.at(-1)!.reader.caughtUp);
      }
      const stored: number[] = [];
      const storeMore = async (count: number) => {
        for (let i = 0; i < count; i++) stored.push(await store(stream, `${stored.length}`));
      };
      await storeMore(20);
      await replica.fill([STREAM]);
      await storeMore(50);
      const haveAll = () => readers.every(({ sequences }) => sequences.length === stored.length);
      await eventually("the readers to have all", haveAll);
      for (let i = 0; i < LATE_READERS; i++) {
        const late = follow(await streams.open());
        readers.push(late);
        await eventually("the late reader to catch up", () => late.reader.caughtUp);
        assertEquals(late.sequences.length, stored.length, "a reader has caught up, and lacks messages");
      }
      // one whose removal was not answered ends by itself
      await eventually("no consumer to be there", async () => (await replica.consumers(STREAM, FULL)).length === 0);
      await storeMore(20);
      await eventually("all readers to have all", haveAll);
      await replica.makeRoom();
      await storeMore(20);
      await replica.caughtUp(STREAM);
      await storeMore(20);
      await eventually("all readers to have all", haveAll);
      for (const { sequences, losses } of readers) {
        assertEquals(sequences, stored);
        assertEquals(losses, losses.map(() => undefined));
      }
    },
  );

  it("answers no reads soon: what has been stored is read by all of them", slow, async () => {
    await using replica = await FullReplica.start();
    await using streams = openStreams(replica);
    const stream = await streams.open();
    const bucket = await streams.bucket({ direct: true });
    await store(stream, "before");
    await bucket.put("key", "before");
    await replica.fill([STREAM, "KV_test"]);
    const stored = await bucket.put("key", "after");
    let last = 0;
    for (let i = 0; i < 10; i++) last = await store(stream, `${i}`);
    const isRight = async () => {
      const [all, message, entry] = await Promise.all([
        stream.read("log.>", { from: 1 }),
        stream.last("log.a"),
        bucket.get("key"),
      ]);
      return all.length === 11 && message?.sequence === last && entry?.revision === stored;
    };
    await eventually("a hundred reads in a row to be right", async () => {
      for (let i = 0; i < 100; i++) if (!await isRight()) return false;
      return true;
    });
  });

  for (const which of ["begun", "settled"] as const) {
    it(
      `watches there that have ${which} go on, and those that begin list what is stored now`,
      slow,
      () => watches(which),
    );
  }
});

/** A watch that has settled shares a consumer; before that it has a feed of its own. */
async function watches(which: "begun" | "settled"): Promise<void> {
  await using replica = await FullReplica.start();
  await using streams = openStreams(replica);
  const bucket = await streams.bucket();
  const end = new AbortController();
  const watch = async () => {
    const state = new Map<string, string>();
    const revisions = new Map<string, number[]>();
    const own = await streams.bucket();
    await own.watch("", (change: Change) => {
      revisions.set(change.key, [...revisions.get(change.key) ?? [], change.revision]);
      if (change.type === "put") state.set(change.key, change.value);
      else state.delete(change.key);
    }, { signal: end.signal });
    return { state, revisions };
  };
  await bucket.put("gone", "1");
  await bucket.put("kept", "1");
  const watches: Awaited<ReturnType<typeof watch>>[] = [];
  for (let there = 0; there === 0; there = (await replica.consumers("KV_test", FULL)).length) {
    watches.push(await watch());
    if (which === "settled") {
      await eventually("the watch to settle", async () => await replica.feeds("KV_test") === 0);
    }
  }
  await replica.fill(["KV_test"]);
  await bucket.put("kept", "2");
  await bucket.put("new", "2");
  await bucket.delete("gone");
  const expected = { kept: "2", new: "2" };
  const agree = () =>
    watches.every(({ state }) => JSON.stringify(Object.fromEntries([...state].sort())) === JSON.stringify(expected));
  await eventually("the watches to have what is stored", agree);
  // until then a watch that begins may be placed there, and has what is stored a little later
  await replica.knownToStandStill("KV_test");
  for (let i = 0; i < LATE_READERS; i++) {
    const late = await watch();
    watches.push(late);
    assertEquals(Object.fromEntries([...late.state].sort()), expected);
  }
  await replica.makeRoom();
  await bucket.put("kept", "3");
  await bucket.delete("new");
  expected.kept = "3";
  delete (expected as { new?: string }).new;
  await replica.caughtUp("KV_test");
  await eventually("the watches to have what is stored", agree);
  for (const { revisions } of watches) {
    for (const [key, each] of revisions) {
      assertEquals(each, [...new Set(each)].sort((a, b) => a - b), `a change of ${key} came twice or out of order`);
    }
  }
  end.abort();
}

function openStreams(replica: FullReplica) {
  const transports: Awaited<ReturnType<typeof openTransport>>[] = [];
  const connect = async () => {
    const transport = await openTransport(replica.urls[0]);
    transports.push(transport);
    return transport;
  };
  return {
    async open(): Promise<LogStream> {
      return await new NatsEventLog(await connect()).open(STREAM, { ...OPTIONS, replicas: 3 });
    },
    async bucket({ direct = false } = {}) {
      return await new NatsKeyValueStore(await connect()).open("test", { replicas: 3, direct });
    },
    async [Symbol.asyncDispose]() {
      for (const transport of transports) await transport.close();
    },
  };
}

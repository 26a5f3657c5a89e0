/** Tests of readers and watches that share the consumers of their process. */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { chances } from "../../../test/support/chances.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { requireNatsServer } from "../../../tools/nats_server.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { startClient } from "../harness_suite.ts";
import {
  assertStarts,
  follow,
  type Following,
  type LogClient,
  startLogClient,
  store,
  STREAM,
  TIMEOUT,
} from "../log_harness_suite.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };

describe("readers of one stream", await requireNatsServer(), () => {
  it("a hundred that begin at the end share one consumer, and each gets what is its own", slow, async () => {
    await assertStarts(1, async () => {
      await using client = await startLogClient();
      const readers = Array.from(
        { length: 100 },
        (_, i) => follow(client.stream, { subjects: [`log.${i % 20}`, "log.all"] }),
      );
      await caughtUp(readers);
      // the first readers had an earlier consumer; it is removed when the next consumer delivers
      await eventually("one consumer", async () => await consumers(client) === 1);
      for (let i = 0; i < 20; i++) await store(client.stream, `${i}`, `log.${i}`);
      await store(client.stream, "end", "log.all");
      await eventually("the end", () => readers.every(({ texts }) => texts.includes("end")));
      for (const [i, { texts }] of readers.entries()) assertEquals(texts, [`${i % 20}`, "end"]);
      return readers;
    });
  });

  it(
    "of 150 subjects: three consumers, of 64 subjects each at most; none is left when all are closed",
    slow,
    async () => {
      await using client = await startLogClient();
      const readers = Array.from({ length: 150 }, (_, i) => follow(client.stream, { subjects: [`log.${i}`] }));
      await caughtUp(readers);
      await eventually("three consumers", async () => await consumers(client) === 3);
      for (let i = 0; i < 150; i++) await store(client.stream, `${i}`, `log.${i}`);
      await eventually("all", () => readers.every(({ texts }) => texts.length === 1));
      assertEquals(readers.map(({ texts: [text] }) => text), Array.from({ length: 150 }, (_, i) => `${i}`));
      for (const { reader } of readers) reader.close();
      await eventually("the consumers to go", async () => await consumers(client) === 0);
    },
  );

  it("that come and go while messages come: each gets all of its messages, once and in order", slow, async () => {
    await assertStarts(1, async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const lasting = [follow(stream), ...["a", "b", "c"].map((name) => follow(stream, { subjects: [`log.${name}`] }))];
      await caughtUp(lasting);
      const stored: { subject: string; sequence: number }[] = [];
      let over = false;
      const storing = (async () => {
        for (let i = 0; !over; i++) {
          const subject = `log.${"abc"[i % 3]}`;
          stored.push({ subject, sequence: await store(stream, `${i}`, subject) });
        }
      })();
      const passing: { following: Following; subject: string; after: number }[] = [];
      const { created } = (await stream.state())!;
      for (let round = 0; round < 10; round++) {
        const subject = `log.${"abc"[round % 3]}`;
        const before = stored.length;
        const after = stored.at(Math.max(0, before - 100))?.sequence ?? 0;
        passing.push({
          following: follow(stream, { subjects: [subject], after: { created, sequence: after } }),
          subject,
          after,
        });
        await eventually("more", () => stored.length > before + 50);
        if (round % 3 === 1) passing[round].following.reader.close();
      }
      over = true;
      await storing;
      const open = passing.filter((_, round) => round % 3 !== 1);
      await eventually("all", () =>
        open.every(({ following, subject }) => {
          const last = stored.findLast((each) => each.subject === subject)!;
          return following.sequences.at(-1) === last.sequence;
        }));
      await eventually("all of the first", () => lasting[0].sequences.length === stored.length);
      assertEquals(lasting[0].sequences, stored.map(({ sequence }) => sequence));
      for (const { following, subject, after } of passing) {
        const own = stored.filter((each) => each.subject === subject && each.sequence > after).map(({ sequence }) =>
          sequence
        );
        assertEquals(following.sequences, own.slice(0, following.sequences.length));
      }
      return lasting;
    });
  });

  it(
    "one that takes nothing holds up no other, gets 256 messages at most meanwhile, and all of them later",
    slow,
    () =>
      assertStarts(2, async () => {
        await using client = await startLogClient();
        const { stream } = client;
        const [slowest, ...others] = Array.from({ length: 5 }, () => follow(stream));
        await caughtUp([slowest, ...others]);
        await eventually("one consumer", async () => await consumers(client) === 1);
        slowest.reader.pause();
        const count = 2_000;
        await storeMany(stream, count);
        await eventually("all of the others", () => others.every(({ texts }) => texts.length === count));
        assert(slowest.texts.length <= 256, `${slowest.texts.length} came to a reader that had paused`);
        await eventually("one consumer", async () => await consumers(client) === 1);
        slowest.reader.resume();
        await eventually("all of the slowest", () => slowest.texts.length === count);
        assertEquals(slowest.sequences, others[0].sequences);
        // the slow reader first has its own consumer, until it has kept up for a while
        await eventually("one consumer", async () => await consumers(client) === 1);
        await store(stream, "after");
        await eventually("the next", () => slowest.texts.at(-1) === "after");
        return [slowest];
      }),
  );

  it("one that is far behind catches up by itself, and then joins the others", slow, async () => {
    await assertStarts(1, async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const count = 6_000;
      await storeMany(stream, count);
      const { created, last } = (await stream.state())!;
      const others = [1, 2].map(() => follow(stream, { after: { created, sequence: last } }));
      await caughtUp(others);
      const behind = follow(stream);
      await eventually("all", () => behind.texts.length === count);
      await eventually("one consumer", async () => await consumers(client) === 1);
      await store(stream, "after");
      await eventually("the next", () => [behind, ...others].every(({ texts }) => texts.at(-1) === "after"));
      assertEquals(behind.texts.length, count + 1);
      return [behind];
    });
  });

  it("a restart of the server: all go on behind what they had, with one consumer", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const readers = Array.from({ length: 30 }, (_, i) => follow(stream, { subjects: [`log.${i}`, "log.all"] }));
    await caughtUp(readers);
    await store(stream, "before", "log.all");
    await client.restart({ storeDir: client.server.storeDir });
    await store(stream, "after", "log.all");
    await eventually("the next", () => readers.every(({ texts }) => texts.length === 2));
    for (const { texts } of readers) assertEquals(texts, ["before", "after"]);
    for (const { losses } of readers) assertEquals(losses, losses.map(() => undefined));
    await eventually("one consumer", async () => await consumers(client) === 1);
  });
});

describe("watches of one bucket", await requireNatsServer(), () => {
  it("soon share one consumer, and get each change once", slow, async () => {
    // a marker expires after 1 s; if a busy server delivers later, a watch never gets the marker: hence a second
    // chance
    const wrong = await chances(2, changesOfOneBucket, (wrong) => wrong.length === 0);
    assertEquals(wrong, []);
  });
});

/**
 * Watches 40 parts of a bucket while their keys change. Resolves with the watches that did not report exactly their
 * changes.
 */
async function changesOfOneBucket(): Promise<string[]> {
  await using client = await startClient();
  const { bucket, transport, signal } = client;
  const stop = new AbortController();
  const seen: string[][] = [];
  for (let i = 0; i < 40; i++) {
    const own: string[] = [];
    seen.push(own);
    if (i % 2 === 0) await bucket.put(`k${i}.a`, "0");
    const onChange = ({ type, key }: { type: string; key: string }) => void own.push(`${type} ${key}`);
    await bucket.watch(`k${i}.`, onChange, { signal: i < 39 ? signal : stop.signal });
  }
  const count = async () => {
    const answer = await transport.connection.request("$JS.API.STREAM.INFO.KV_test", "", PATIENT);
    return answer.json<{ state: { consumer_count: number } }>().state.consumer_count;
  };
  await eventually("one consumer", async () => await count() === 1);
  for (let i = 0; i < 40; i++) await bucket.put(`k${i}.b`, "1");
  for (let i = 0; i < 40; i += 2) await bucket.delete(`k${i}.a`);
  const expected = (i: number) => i % 2 === 0 ? [`put k${i}.a`, `put k${i}.b`, `delete k${i}.a`] : [`put k${i}.b`];
  const wrong = () => seen.flatMap((own, i) => `${own}` === `${expected(i)}` ? [] : [`${i}: ${own}`]);
  const since = performance.now();
  await eventually("all, or too late", () => wrong().length === 0 || performance.now() - since > 20_000);
  if (wrong().length > 0) return wrong();
  stop.abort();
  await bucket.put("k38.c", "2");
  await eventually("the next", () => seen[38].at(-1) === "put k38.c");
  await eventually("one consumer", async () => await count() === 1);
  return [];
}

function caughtUp(readers: readonly Following[]): Promise<boolean> {
  return eventually("all to catch up", () => readers.every(({ reader }) => reader.caughtUp));
}

async function consumers(client: LogClient): Promise<number> {
  const { state } = await client.ask<{ state: { consumer_count: number } }>(`STREAM.INFO.${STREAM}`);
  return state.consumer_count;
}

async function storeMany(stream: LogStream, count: number): Promise<void> {
  for (let i = 0; i < count; i += 500) {
    const some = Array.from({ length: Math.min(500, count - i) }, (_, j) => `${i + j}`);
    await Promise.all(some.map((text) => stream.append("log.a", text, { timeout: TIMEOUT, id: text })));
  }
}

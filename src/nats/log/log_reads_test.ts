/** Tests of batches of which a part gets lost, read from a fake server. */
import { errors } from "@nats-io/nats-core";
import { describe, it } from "node:test";
import {
  assertEquals,
  assertGreaterOrEqual,
  assertInstanceOf,
  assertLessOrEqual,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { block } from "../../../test/support/block.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { chances } from "../../../test/support/chances.ts";
import { CatgaError } from "../../error.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { type Random, systemClock } from "../../ports/clock.ts";
import { type LogStream, messagesFrom } from "../../ports/event_log.ts";
import type { TransportMessage } from "../../ports/transport.ts";
import { openTransport } from "../harness_suite.ts";
import { JetStream } from "../stream/jetstream.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import { OwnedStream } from "../stream/owned_stream.ts";
import { readBatch } from "./log_reads.ts";
import { startLogClient, store, textOf } from "../log_harness_suite.ts";

describe("readBatch", await requireNatsServer(), () => {
  const settings = {
    name: "log",
    what: "the log",
    settings: () => ({}),
    check() {},
    perMs: 1,
    most: 2 ** 42,
    heartbeat: 500,
  };
  const request = { subject: "log.>", from: 1, most: 10 };
  const head = (sequence: number, before: number) => ({
    "Nats-Stream": "log",
    "Nats-Sequence": `${sequence}`,
    "Nats-Last-Sequence": `${before}`,
    "Nats-Subject": "log.a",
    "Nats-Time-Stamp": "2026-01-01T00:00:00.123456789Z",
  });
  type Answer = readonly [data: string, headers?: Readonly<Record<string, string>>];
  const cases: readonly (readonly [what: string, answers: readonly Answer[], texts: readonly string[] | string])[] = [
    ["the end is lost: what came is the batch", [["1", head(1, 0)], ["5", head(5, 1)]], ["1", "5"]],
    ["a message in the middle is lost: the batch ends before it", [["1", head(1, 0)], ["9", head(9, 5)]], ["1"]],
    ["the first message is lost: it rejects", [["5", head(5, 1)]], "a message of a batch was lost"],
    ["nothing comes: it rejects", [], "timed out"],
    ["an answer that is none: it rejects", [["rubbish"]], "direct get"],
    ["sequences and times that are none: it rejects", [["1", { ...head(1, 0), "Nats-Time-Stamp": "?" }]], "direct get"],
  ];
  for (const [what, answers, expected] of cases) {
    it(what, async () => {
      await using server = await startNatsServer({ jetstream: false });
      const transport = await openTransport(server.url);
      const fake = await openTransport(server.url);
      fake.subscribe("$JS.API.DIRECT.GET.log", {}, ({ reply }: TransportMessage) => {
        for (const [data, headers] of answers) fake.publish(reply!, data, { headers });
      });
      await fake.flush();
      const stream = new OwnedStream(transport, new JetStream(transport), settings);
      let limit = 100;
      // a busy machine may take longer than the limit for the answers: the batch is read again, with more time
      const reading = () => readBatch(stream, request, limit *= 3).then((batch) => batch.map(textOf), (error) => error);
      const isExpected = (outcome: unknown) =>
        outcome instanceof JetStreamRefusal ? outcome.message.includes(`${expected}`) : `${outcome}` === `${expected}`;
      const outcome = await chances(4, reading, isExpected);
      if (typeof expected === "string") {
        assertInstanceOf(outcome, JetStreamRefusal);
        assertStringIncludes(outcome.message, expected);
      } else assertEquals(outcome, expected);
      await transport.close();
      await fake.close();
    });
  }

  it("a message before the first one that was asked for: it rejects", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const [transport, fake] = [await openTransport(server.url), await openTransport(server.url)];
    fake.subscribe("$JS.API.DIRECT.GET.log", {}, ({ reply }: TransportMessage) => {
      fake.publish(reply!, "4", { headers: head(4, 0) });
    });
    await fake.flush();
    const stream = new OwnedStream(transport, new JetStream(transport), settings);
    const error = await assertRejects(() => readBatch(stream, { ...request, from: 5, most: 1 }, 30_000));
    assertInstanceOf(error, JetStreamRefusal);
    assertStringIncludes(error.message, "a message of a batch was lost");
    await transport.close();
    await fake.close();
  });

  it("of a connection that closes at this moment: it rejects, once (it was an unhandled rejection, too)", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const transport = await openTransport(server.url);
    const stream = new OwnedStream(transport, new JetStream(transport), settings);
    // nats.js throws this error while it drains, after the end of its subscriptions
    const draining = new errors.DrainingConnectionError();
    Object.assign(transport.connection, {
      publish: () => {
        throw draining;
      },
    });
    const error = await assertRejects(async () => await readBatch(stream, request, 300), CatgaError);
    assertEquals(error.code, "CLOSED");
    await transport.close();
  });

  it("from the leader: a message that was stored behind an end that another request met is left to the next batch", async () => {
    const limited = `{ user: limited, password: p, permissions: { publish: { deny: "$JS.API.DIRECT.GET.>" } } }`;
    await using server = await startNatsServer({
      config: `authorization { users: [ ${limited}, { user: all, password: p } ] }`,
      jetstream: false,
    });
    const connected = (user: string) => openTransport(`nats://${user}:p@127.0.0.1:${server.port}`);
    const [transport, fake] = await Promise.all(["limited", "all"].map(connected));
    const asked: number[] = [];
    fake.subscribe("$JS.API.STREAM.MSG.GET.log", {}, ({ data, reply }: TransportMessage) => {
      const { seq } = JSON.parse(new TextDecoder().decode(data));
      asked.push(seq);
      const time = "2026-01-01T00:00:00Z";
      // message 4 is not stored yet when it is asked for; the messages behind it are found, as if they were stored
      // meanwhile
      const found = { message: { seq, subject: "log.a", data: btoa(`${seq}`), time } };
      fake.publish(reply!, JSON.stringify(seq === 4 ? { error: { code: 404, err_code: 10037 } } : found));
    });
    await fake.flush();
    const stream = new OwnedStream(transport, new JetStream(transport), settings);
    assertEquals((await readBatch(stream, { ...request, most: 100 }, 30_000)).map(textOf), ["1", "2", "3"]);
    assertEquals(asked, [1, 2, 3, 4, 5, 6, 7]);
    await transport.close();
    await fake.close();
  });

  /** A leader that has messages with these sequences; `arrive` is called at each request. */
  function leaderOf(sequences: readonly number[], arrive: (stored: number[]) => void = () => {}) {
    const stored = [...sequences];
    const counted = { requests: 0, rounds: 0, most: 0 };
    let inHand = 0;
    const message = async (_: string, { seq }: { readonly seq: number }) => {
      if (inHand++ === 0) counted.rounds++;
      counted.requests++;
      counted.most = Math.max(counted.most, inHand);
      arrive(stored);
      const found = stored.find((sequence) => sequence >= seq);
      await Promise.resolve(); // the answer comes when all requests of this round are sent
      inHand--;
      return found === undefined ? undefined : { sequence: found };
    };
    const direct = { read: (_kind: string, _direct: unknown, ofLeader: () => unknown) => ofLeader() };
    const stream = { name: "log", direct, transport: { clock: systemClock }, js: { message } };
    return { stream: stream as unknown as OwnedStream, counted, stored };
  }

  /** Sequences of messages of one subject among those of others: on average each hundredth one is of that subject. */
  function sparse(random: Random, count: number, distance = 100): number[] {
    let last = 0;
    return Array.from({ length: count }, () => last += 1 + Math.floor(random() * 2 * distance));
  }

  for (const [what, distance, rounds] of [["dense", 0, 24], ["sparse", 100, 60]] as const) {
    it(`from the leader: several requests at once where messages are ${what} (sparse ones were read one by one)`, async () => {
      const sequences = sparse(seededRandom(1), 300, distance);
      const { stream, counted } = leaderOf(sequences);
      const batch = await readBatch(stream, { ...request, most: 1_000 }, 30_000);
      assertEquals(batch.map(({ sequence }) => sequence), sequences);
      assertLessOrEqual(counted.rounds, rounds);
      assertLessOrEqual(counted.requests, 1.5 * sequences.length);
      assertLessOrEqual(counted.most, 16);
    });
  }

  it("from the leader: one request for one message, and two for an end behind it", async () => {
    const one = leaderOf([7, 700, 70_000]);
    assertEquals((await readBatch(one.stream, { ...request, most: 1 }, 30_000)).map(({ sequence }) => sequence), [7]);
    assertEquals(one.counted.requests, 1);
    const none = leaderOf([]);
    assertEquals(await readBatch(none.stream, request, 30_000), []);
    assertEquals(none.counted.requests, 1);
  });

  it("from the leader: a batch has no gap, also while messages are stored", async () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = seededRandom(seed);
      const distance = [0, 1, 30, 3_000][seed % 4];
      // each second seed: clusters of messages far from each other
      const sequences = sparse(random, Math.floor(random() * 60), distance)
        .map((sequence, i) => seed % 2 === 0 ? sequence : sequence + 1_000 * Math.floor(i / 10));
      const { stream, stored } = leaderOf(sequences, (stored) => {
        while (random() < 0.4) stored.push((stored.at(-1) ?? 0) + 1 + Math.floor(random() * 10));
      });
      const from = 1 + Math.floor(random() * 200);
      const most = 1 + Math.floor(random() * 50);
      const batch = (await readBatch(stream, { ...request, from, most }, 30_000)).map(({ sequence }) => sequence);
      const behind = stored.filter((sequence) => sequence >= from);
      assertEquals(batch, behind.slice(0, batch.length), `seed ${seed}`);
      const before = sequences.filter((sequence) => sequence >= from);
      assertGreaterOrEqual(batch.length, Math.min(most, before.length), `seed ${seed}`);
      assertLessOrEqual(batch.length, most);
    }
  });

  it("from the leader: begins at a time (it began with the first message, however old)", async () => {
    await using server = await startNatsServer({
      config: `authorization { users: [
        { user: limited, password: p, permissions: { publish: { deny: "$JS.API.DIRECT.GET.>" } } } ] }`,
    });
    await using client = await startLogClient({ server, nats: `nats://limited:p@127.0.0.1:${server.port}` });
    const { stream } = client;
    for (let n = 0; n < 20; n++) await store(stream, `${n}`);
    const { time } = (await stream.last("log.a", { latest: true }))!;
    const late = async () => {
      const stored = await stream.at(await store(stream, "late"));
      return stored!.time > time;
    };
    await eventually("a later message", late);
    const texts = (await stream.read("log.a", { since: time + 1 })).map(textOf);
    assertEquals([...new Set(texts)], ["late"]);
    // a batch ends early if the server did not answer one of its requests in time
    const found = await stream.read("log.a", { since: 0 });
    for await (const message of messagesFrom(stream, "log.a", found.at(-1)!.sequence + 1)) found.push(message);
    assertEquals(found.map(textOf).slice(0, 20), Array.from({ length: 20 }, (_, n) => `${n}`));
    assertEquals(await stream.read("log.a", { since: Date.now() + 3_600_000 }), []);
  });
});

describe("reads of large messages", await requireNatsServer(), () => {
  // together the messages have more than 64 MiB: a server disconnects a client for which so much unread data waits
  const COUNT = 120;
  const LARGE = "x".repeat(900_000);

  for (
    const [what, read] of [
      ["a batch", (log: LogStream) => log.read("log.*", { from: 1 })],
      ["many at once", (log: LogStream) => {
        return Promise.all(Array.from({ length: COUNT }, (_, n) => log.last(`log.${n}`, { latest: true })));
      }],
    ] as const
  ) {
    it(`${what}: the server does not disconnect the reader (a run with many large steps could not be loaded)`, async () => {
      await using client = await startLogClient();
      const { transport, stream } = client;
      for (let n = 0; n < COUNT; n++) await stream.append(`log.${n}`, LARGE, { timeout: 60_000 });
      let lost = 0;
      transport.onStatus(({ state }) => state === "connected" || lost++);
      const reading = read(stream);
      // the requests have left when the process blocks, so everything that the server sends has to wait
      await transport.flush();
      block(1_000);
      // on a busy machine a read may come too late; the test is about the connection
      await Promise.allSettled([reading]);
      await transport.flush();
      assertEquals(lost, 0);
    });
  }
});

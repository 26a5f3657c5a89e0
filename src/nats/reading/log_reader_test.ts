/** Tests of readers of a log while servers stop and streams are lost. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import { requireNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { createStream } from "../harness_suite.ts";
import { assertStarts, follow, OPTIONS, startLogClient, store, STREAM, TIMEOUT } from "../log_harness_suite.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };

describe("NatsLogReader", await requireNatsServer(), () => {
  for (const by of ["SIGTERM", "SIGKILL"] as const) {
    it(`goes on behind what it has read after a ${by} of the server, without loss`, slow, async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const { texts, losses } = follow(stream);
      for (let i = 0; i < 20; i++) await store(stream, `${i}`);
      await eventually("the first", () => texts.length === 20);
      const appending = (async () => {
        for (let i = 20; i < 60; i++) await store(stream, `${i}`);
      })();
      await client.restart({ storeDir: client.server.storeDir }, by);
      await appending;
      await eventually("all of them", () => texts.length >= 60);
      assertEquals(texts, Array.from({ length: 60 }, (_, i) => `${i}`));
      assertEquals(losses.filter((lost) => lost !== undefined), []);
    });
  }

  it("begins at the first message of a stream that was lost with its server, and says so", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { texts, losses, reader } = follow(stream);
    const before = await store(stream, "lost");
    await eventually("the first", () => texts.length === 1);
    const created = reader.mark!.created;
    await client.restart({});
    const after = await store(stream, "new");
    assertGreater(after, before);
    await eventually("the new one", () => texts.length === 2);
    assertEquals(texts, ["lost", "new"]);
    const [loss, ...others] = losses.filter((lost) => lost !== undefined);
    assertEquals([loss.reason, loss.after, others], ["remade", before, []]);
    assert(loss.next <= after);
    assert(reader.mark!.created !== created);
  });

  it("begins at the first message of a stream that was deleted while it followed", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { texts, losses } = follow(stream);
    await store(stream, "1");
    await eventually("the first", () => texts.length === 1);
    await client.ask(`STREAM.DELETE.${STREAM}`);
    await store(stream, "2");
    await eventually("the next", () => texts.length === 2);
    assertEquals(texts, ["1", "2"]);
    assertEquals(losses.at(-1)?.reason, "remade");
  });

  for (const sequences of ["lower", "higher"] as const) {
    it(
      `a stream of ${sequences} sequences made anew between its look and its consumer: begins at its first message`,
      slow,
      async () => {
        await using client = await startLogClient();
        const { stream, transport: { connection } } = client;
        const last = await store(stream, "lost");
        const { created } = (await stream.state())!;
        const { config } = await client.ask<{ config: object }>(`STREAM.INFO.${STREAM}`);
        const request = connection.request.bind(connection);
        let looked = false;
        connection.request = async (subject, ...more) => {
          if (!looked && subject.startsWith(`$JS.API.CONSUMER.CREATE.${STREAM}.`)) {
            looked = true;
            await client.ask(`STREAM.DELETE.${STREAM}`);
            await createStream(client.transport, {
              ...config,
              name: STREAM,
              first_seq: sequences === "lower" ? 1 : last + 9,
            });
            await request("log.a", "new", PATIENT);
          }
          return await request(subject, ...more);
        };
        const { texts, losses } = follow(stream, { after: { created, sequence: last } });
        await eventually("the new one", () => texts.length === 1);
        assertEquals([looked, texts, losses.flatMap((lost) => lost?.reason ?? [])], [true, ["new"], ["remade"]]);
      },
    );
  }

  it("makes the stream anew when it was deleted and nobody appends", slow, async () => {
    await using client = await startLogClient();
    const { losses } = follow(client.stream);
    await eventually("the start", () => losses.length > 0);
    await client.ask(`STREAM.DELETE.${STREAM}`);
    await eventually("the loss", () => losses.at(-1)?.reason === "remade");
    assert(await client.stream.state());
  });

  it("goes on when its consumer was deleted", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { texts, losses } = follow(stream);
    await store(stream, "1");
    await eventually("the first", () => texts.length === 1);
    // a reader whose server stood still has begun anew, and its earlier consumer may still be there
    const { consumers } = await client.ask<{ consumers: string[] }>(`CONSUMER.NAMES.${STREAM}`);
    assertGreater(consumers.length, 0);
    for (const name of consumers) await client.ask(`CONSUMER.DELETE.${STREAM}.${name}`);
    await store(stream, "2");
    await eventually("the second", () => texts.length === 2);
    assertEquals(losses.filter((lost) => lost !== undefined), []);
  });

  it(
    "a mark behind the end of the stream: goes on behind the end, and says that the stream was truncated",
    slow,
    async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const last = await store(stream, "1");
      const { created } = (await stream.state())!;
      const { texts, losses } = follow(stream, { after: { created, sequence: last + 100 } });
      await eventually("the start", () => losses.length > 0);
      assertEquals(losses[0], { reason: "truncated", after: last + 100, next: last + 1 });
      await store(stream, "2");
      await eventually("the second", () => texts.length === 1);
      assertEquals(texts, ["2"]);
    },
  );

  it("another message in the place of the mark: goes on with what was stored since", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const first = await store(stream, "0");
    const { time } = (await stream.last("log.a", { latest: true }))!;
    await eventually("the clock to move", () => Date.now() > time + 5);
    for (const text of ["1", "2", "3"]) await store(stream, text);
    const { created } = (await stream.state())!;
    // the mark (the position read last) looks as if the stream had lost all messages but the first, and had then given
    // their sequences to new messages
    const { texts, losses } = follow(stream, { after: { created, sequence: first + 2, time: time + 2 } });
    await eventually("the messages", () => texts.length === 3);
    assertEquals(losses[0], { reason: "replaced", after: first + 2, next: first + 1 });
    assertEquals(texts, ["1", "2", "3"]);
  });

  it("a mark before the first message: says that messages have expired", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const first = await store(stream, "1");
    for (const text of ["2", "3", "4"]) await store(stream, text);
    const { created } = (await stream.state())!;
    await stream.purge("log.>", { before: first + 3 });
    const { texts, losses } = follow(stream, { after: { created, sequence: first } });
    await eventually("the last", () => texts.length === 1);
    assertEquals(losses[0], { reason: "expired", after: first, next: first + 3 });
    assertEquals(texts, ["4"]);
  });

  it("the mark follows messages of other subjects: that they expire is no loss", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { texts, reader, losses } = follow(stream, { subjects: ["log.a"] });
    await store(stream, "1");
    await eventually("the first", () => texts.length === 1);
    const other = await store(stream, "other", "log.b");
    await eventually("the mark to follow", () => reader.mark!.sequence === other);
    assertEquals(reader.mark!.time, (await stream.last("log.b"))!.time);
    await stream.purge("log.>");
    await client.restart({ storeDir: client.server.storeDir });
    await store(stream, "2");
    await eventually("the second", () => texts.length === 2);
    assertEquals(losses.filter((lost) => lost !== undefined), []);
  });

  it("several subjects, some of which cover others: each message comes once", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { texts } = follow(stream, { subjects: ["log.a", "log.b", "log.*", "log.b"] });
    const two = follow(stream, { subjects: ["log.a", "log.c"] });
    for (const subject of ["log.a", "log.b", "log.c", "at.x"]) await store(stream, subject, subject);
    await store(stream, "end", "log.c");
    await eventually("the end", () => texts.at(-1) === "end" && two.texts.at(-1) === "end");
    assertEquals(texts, ["log.a", "log.b", "log.c", "end"]);
    assertEquals(two.texts, ["log.a", "log.c", "end"]);
  });

  it("pause: stops the server's sending without losing the consumer; resume goes on", slow, async () => {
    await assertStarts(1, async () => {
      await using client = await startLogClient();
      const { stream } = client;
      const size = 100_000;
      const count = 600;
      for (let i = 0; i < count; i += 50) {
        await Promise.all(
          Array.from({ length: 50 }, () => stream.append("log.a", "x".repeat(size), { timeout: TIMEOUT })),
        );
      }
      const paused = follow(stream);
      const { texts, reader } = paused;
      reader.pause();
      await eventually("the first", () => texts.length > 0);
      // 3 s: longer than a consumer may be silent
      let before = -1;
      const end = performance.now() + 3_000;
      await eventually("the delivery to stop", async () => {
        if (performance.now() < end) return false;
        const still = texts.length === before;
        before = texts.length;
        await client.transport.flush();
        return still;
      });
      assert(texts.length < count, `${texts.length} came`);
      reader.resume();
      await eventually("all", () => texts.length === count);
      assertEquals(reader.caughtUp, true);
      return [paused];
    });
  });

  it("a callback that throws is reported, and reading goes on", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    let got = 0;
    const { faults } = follow(stream, {
      onMessage() {
        got++;
        throw new Error("no");
      },
      onStart() {
        throw new Error("not this either");
      },
    });
    await store(stream, "1");
    await store(stream, "2");
    await eventually("both", () => got === 2);
    assertEquals(faults.map(({ code }) => code), ["HANDLER_FAILED", "HANDLER_FAILED"]);
  });

  it("close: no message comes afterwards, and the consumer goes", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { reader, texts } = follow(stream);
    await store(stream, "1");
    await eventually("the first", () => texts.length === 1);
    reader.close();
    reader.close();
    await store(stream, "2");
    await eventually("the consumer to go", async () => {
      const { consumers } = await client.ask<{ consumers: string[] | null }>(`CONSUMER.NAMES.${STREAM}`);
      return (consumers ?? []).length === 0;
    });
    assertEquals(texts, ["1"]);
  });

  it("messages with headers that nats.js cannot read, and bodies of any bytes, do not stop it", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const headers: unknown[] = [];
    follow(stream, { onMessage: (message) => headers.push(message.headers) });
    const raw = await client.log.open(STREAM, OPTIONS);
    await store(raw, "1");
    const socket = client.transport.connection as unknown as {
      protocol: { sendCommand(text: string): void };
    };
    const block = "NATS/1.0\r\nbad name: \u0001\r\n: empty\r\nno colon\r\n\r\n";
    socket.protocol.sendCommand(`HPUB log.a ${block.length} ${block.length + 2}\r\n${block}xx\r\n`);
    await store(raw, "2");
    await eventually("all three", () => headers.length === 3);
  });
});

/** Tests of appends that were not simply stored: what the caller gets. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater, assertStringIncludes, assertThrows } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { CatgaError } from "../../error.ts";
import type { Appended } from "../../ports/event_log.ts";
import { sequenceOf, startLogClient, store, STREAM, TIMEOUT } from "../log_harness_suite.ts";
import { openTransport, reached } from "../harness_suite.ts";
import type { NatsLogStream } from "./log_stream.ts";

/** Timeout of these tests; the default in Bun is 5 s. */
const slow = { timeout: 300_000 };
const timeout = TIMEOUT;

describe("NatsLogStream.append", await requireNatsServer(), () => {
  it("10,000 at once are all stored, each once and in order", slow, async () => {
    await using client = await startLogClient();
    const all = await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => client.stream.append("log.a", `${i}`, { timeout: 30_000 })),
    );
    const sequences = all.map(sequenceOf);
    assertEquals(sequences, sequences.map((_, i) => sequences[0] + i));
    assertEquals((await client.stream.state())!.messages, 10_000);
  });

  it("no answer in time: the outcome is unknown, and what was sent later is not confused with it", slow, async () => {
    await using server = await startNatsServer();
    await using client = await startLogClient({ server });
    const { stream } = client;
    await store(stream, "first");
    await server.kill("SIGSTOP");
    const begun = performance.now();
    const appended = await stream.append("log.a", "late", { timeout: 200 });
    await server.kill("SIGCONT");
    assertGreater(performance.now() - begun, 190);
    assertEquals(appended.type, "unknown");
    assertEquals(errorOf(appended).code, "OUTCOME_UNKNOWN");
    sequenceOf(await stream.append("log.b", "other", { timeout }));
    assertEquals((await stream.read("log.>", { from: 0 })).length, 3);
  });

  it(
    "a connection that is lost under it: unknown at once; while it is lost: not stored, and transient",
    slow,
    async () => {
      await using server = await startNatsServer();
      await using proxy = await startTcpProxy(server.port);
      await using client = await startLogClient({ server, nats: proxy.url });
      const { stream, transport } = client;
      proxy.delay(2_000);
      const under = stream.append("log.a", "under", { timeout: 30_000 });
      proxy.cut();
      assertEquals((await under).type, "unknown");
      await reached(transport, "disconnected");
      const after = await stream.append("log.a", "after", { timeout });
      assertEquals([after.type, after.type === "not stored" && after.transient], ["not stored", true]);
      proxy.restore();
      proxy.delay(0);
      await reached(transport, "connected");
      sequenceOf(await stream.append("log.a", "again", { timeout }));
    },
  );

  it("after close: not stored, CLOSED, and what was under way settles", slow, async () => {
    await using server = await startNatsServer();
    await using client = await startLogClient({ server });
    const { stream, transport } = client;
    await server.kill("SIGSTOP");
    const under = stream.append("log.a", "", { timeout: 60_000 });
    const closing = transport.close();
    await server.kill("SIGCONT");
    await closing;
    assert(["stored", "unknown"].includes((await under).type));
    const after = await stream.append("log.a", "", { timeout });
    assertEquals([after.type, errorOf(after).code], ["not stored", "CLOSED"]);
    for (const work of [() => stream.state(), () => stream.last("log.a"), () => stream.read("log.a", { from: 0 })]) {
      assertEquals(await work().then(() => "", (error) => error.code), "CLOSED");
    }
  });

  it("while the connection drains: CLOSED, for reads as well (it was a DrainingConnectionError)", slow, async () => {
    await using server = await startNatsServer();
    await using client = await startLogClient({ server });
    const { stream, transport } = client;
    // a drain lasts until the server has answered, so the server is stopped
    await server.kill("SIGSTOP");
    const drained = transport.connection.drain();
    const appended = await stream.append("log.a", "", { timeout });
    assertEquals([appended.type, errorOf(appended).code], ["not stored", "CLOSED"]);
    for (const work of [() => stream.state(), () => stream.last("log.a"), () => stream.read("log.a", { from: 0 })]) {
      assertEquals(await work().then(() => "", (error) => error.code), "CLOSED");
    }
    const error = assertThrows(() => transport.subscribe("any", {}, () => {}), CatgaError);
    assertEquals(error.code, "CLOSED");
    await server.kill("SIGCONT");
    await drained;
  });

  it("a user whose acknowledgements are forbidden for a while appends again when they are allowed", slow, async () => {
    const config = (denied: string) =>
      `authorization { users: [ { user: node, password: p, permissions: { subscribe: { deny: [${denied}] } } } ] }`;
    await using server = await startNatsServer({ config: config("") });
    await using client = await startLogClient({ server, nats: `nats://node:p@127.0.0.1:${server.port}` });
    const { stream } = client;
    await store(stream, "before");
    await server.configure(config('"_INBOX.>"'));
    await eventually("the violation", async () => errorOf(await stream.append("log.a", "", { timeout })).details);
    const forbidden = await stream.append("log.a", "forbidden", { timeout });
    assertEquals([forbidden.type, errorOf(forbidden).code], ["not stored", "UNAVAILABLE"]);
    await server.configure(config(""));
    await eventually("an append", async () => (await stream.append("log.a", "", { timeout })).type === "stored");
  });

  it("a stream that was deleted: not stored, transient; it is made anew, with greater sequences", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    let doubts = 0;
    stream.onDoubt(() => doubts++);
    const before = await store(stream, "1");
    await client.ask(`STREAM.DELETE.${STREAM}`);
    const appended = await stream.append("log.a", "2", { timeout });
    assertEquals([appended.type, appended.type === "not stored" && appended.transient], ["not stored", true]);
    assertGreater(await store(stream, "2"), before);
    await eventually("one doubt", () => doubts === 1);
  });

  it("a stream that another client made anew: a doubt when that is found out", slow, async () => {
    await using client = await startLogClient();
    await using other = await startLogClient({ server: client.server });
    let doubts = 0;
    client.stream.onDoubt(() => doubts++);
    await client.ask(`STREAM.DELETE.${STREAM}`);
    await store(other.stream, "1");
    await store(client.stream, "2");
    await (client.stream as NatsLogStream).open();
    assertEquals(doubts, 1);
    await (client.stream as NatsLogStream).open();
    assertEquals(doubts, 1);
  });

  it("a stream that was deleted, and that this user may not make: the error says who has to", slow, async () => {
    await using server = await startNatsServer({
      config: `authorization { users: [
        { user: node, password: p, permissions: { publish: { deny: "$JS.API.STREAM.CREATE.>" } } }
        { user: admin, password: p } ] }`,
    });
    await using admin = await startLogClient({ server, nats: `nats://admin:p@127.0.0.1:${server.port}` });
    await using client = await startLogClient({ server, nats: `nats://node:p@127.0.0.1:${server.port}` });
    await admin.ask(`STREAM.DELETE.${STREAM}`);
    await eventually("the reason", async () => {
      const appended = await client.stream.append("log.a", "", { timeout });
      assertEquals([appended.type, appended.type === "not stored" && appended.transient], ["not stored", true]);
      return errorOf(appended).message.includes("have an operator run `catga setup`");
    });
    await store(admin.stream, "made by another");
    await store(client.stream, "stored again");
  });

  it("expectations: of two concurrent appends one is stored, the other is a conflict", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const both = await Promise.all(
      ["1", "2"].map((text) => stream.append("log.a", text, { timeout, expect: 0 })),
    );
    assertEquals(both.map(({ type }) => type), ["stored", "conflict"]);
    const { sequence } = both[0] as Appended & { type: "stored" };
    sequenceOf(await stream.append("log.a", "3", { timeout, expect: sequence, rollup: true }));
    assertEquals((await stream.read("log.a", { from: 0 })).length, 1);
  });

  it("ttl: the message goes after it", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    sequenceOf(await stream.append("log.a", "short", { timeout, ttl: 500 }));
    sequenceOf(await stream.append("log.a", "long", { timeout }));
    await eventually("the first to go", async () => (await stream.state())!.messages === 1);
    assertEquals((await stream.read("log.a", { from: 0 })).length, 1);
  });

  it("a full store: not stored, and transient; it is stored when there is room", slow, async () => {
    await using client = await startLogClient({ config: "jetstream { max_file_store: 60000 }" });
    const { stream } = client;
    // the server's limit is reached, not the stream's, so the stream discards nothing
    let appended: Appended;
    do appended = await stream.append("log.a", "x".repeat(4_000), { timeout }); while (appended.type === "stored");
    assertEquals([appended.type, appended.type === "not stored" && appended.transient], ["not stored", true]);
    assertStringIncludes(errorOf(appended).message, "the store is full");
    assertGreater(await stream.purge("log.a"), 5);
    sequenceOf(await stream.append("log.a", "x".repeat(4_000), { timeout }));
  });

  it("a stream without schedules with max_bytes that is full: not stored, and transient", slow, async () => {
    await using client = await startLogClient();
    const entities = await client.log.open("entities", { subjects: ["entity.>"], replicas: 1, schedules: false });
    const { config } = await client.ask<{ config: Record<string, unknown> }>("STREAM.INFO.entities");
    assertEquals(config.discard, "new");
    await client.ask("STREAM.UPDATE.entities", { ...config, max_bytes: 20_000 });
    assertEquals((await entities.state())!.maxBytes, 20_000);
    let appended: Appended;
    do appended = await entities.append("entity.a", "x".repeat(4_000), { timeout }); while (appended.type === "stored");
    assertEquals([appended.type, appended.type === "not stored" && appended.transient], ["not stored", true]);
    assertStringIncludes(errorOf(appended).message, "the store is full");
  });

  it("a message over max_payload, and one over max_msg_size: TOO_LARGE, and not transient", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const { config } = await client.ask<{ config: Record<string, unknown> }>(`STREAM.INFO.${STREAM}`);
    await client.ask(`STREAM.UPDATE.${STREAM}`, { ...config, max_msg_size: 200_000 });
    for (const size of [300_000, 2_000_000]) {
      const appended = await stream.append("log.a", "x".repeat(size), { timeout });
      assertEquals([appended.type, appended.type === "not stored" && appended.transient], ["not stored", false]);
      assertEquals(errorOf(appended).code, "TOO_LARGE");
    }
  });

  it("a subject that this user may not publish to: not stored, with the permission in the error", slow, async () => {
    await using server = await startNatsServer({
      config: `authorization { users: [ { user: node, password: p, permissions: { publish: { deny: "log.a" } } } ] }`,
    });
    await using client = await startLogClient({ server, nats: `nats://node:p@127.0.0.1:${server.port}` });
    const { stream } = client;
    // a test ends sooner than this timeout
    const appended = await stream.append("log.a", "", { timeout: 3_600_000 });
    assertEquals([appended.type, appended.type === "not stored" && appended.transient], ["not stored", false]);
    assertStringIncludes(errorOf(appended).message, "may not publish to log.a");
    sequenceOf(await stream.append("log.b", "", { timeout }));
  });

  it("answers that nobody who stores has sent are ignored: forged, unreadable, of another stream", slow, async () => {
    await using client = await startLogClient();
    const { stream, server, ask } = client;
    await using other = await openTransport(server.url).then((transport) => ({
      transport,
      [Symbol.asyncDispose]: () => transport.close(),
    }));
    const bodies = [
      "",
      "no JSON",
      "null",
      "7",
      "[]",
      "{}",
      `{"stream":"evil", "seq":7}`,
      `{"stream":"${STREAM}", "seq":-7}`,
      `{"stream":"${STREAM}", "seq":1e99}`,
      `{"stream":"${STREAM}", "seq":"7"}`,
      `{"error":7}`,
      `{"error":null}`,
    ];
    other.transport.subscribe("log.>", {}, ({ reply }) => {
      for (const body of bodies) other.transport.publish(reply!, body);
      other.transport.publish(`${reply}zzzzzzzzzzzz`, `{"stream":"${STREAM}", "seq":7}`);
    });
    await other.transport.flush();
    for (let i = 0; i < 50; i++) {
      const sequence = sequenceOf(await stream.append("log.a", `${i}`, { timeout }));
      assertEquals((await stream.last("log.a", { latest: true }))!.sequence, sequence);
    }
    // the stream is deleted; only the client that forges answers still answers
    await ask(`STREAM.DELETE.${STREAM}`);
    const appended = await stream.append("log.a", "", { timeout: 500 });
    assertEquals(appended.type, "unknown");
    await store(stream, "made anew");
  });

  it("subjects and headers that NATS cannot carry throw a TypeError", slow, async () => {
    await using client = await startLogClient();
    const { stream } = client;
    const thrown = (work: () => unknown) => {
      try {
        work();
      } catch (error) {
        return (error as Error).name;
      }
    };
    assertEquals(thrown(() => stream.append("log.*", "", { timeout })), "TypeError");
    assertEquals(thrown(() => stream.append("log a", "", { timeout })), "TypeError");
    assertEquals(thrown(() => stream.append("log.a", "", { timeout, headers: { a: "1\r\n2" } })), "TypeError");
    assertEquals(thrown(() => stream.append("log.a", "", { timeout, id: "1\n2" })), "TypeError");
    sequenceOf(await stream.append("log.a", "", { timeout }));
  });
});

function errorOf(appended: Appended) {
  if (appended.type === "stored" || appended.type === "conflict") throw new Error(appended.type);
  return appended.error;
}

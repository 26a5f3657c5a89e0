/**
 * Tests of false answers to requests to JetStream: every client that may subscribe to the subjects of JetStream's API
 * can send them.
 */
import type { Msg } from "@nats-io/nats-core";
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { eventually } from "../../test/support/eventually.ts";
import { CatgaError } from "../error.ts";
import { openTransport } from "./harness_suite.ts";
import { JetStream } from "./stream/jetstream.ts";
import { JetStreamRefusal, refusalIn } from "./stream/jetstream_refusal.ts";
import type { OwnedStream } from "./stream/owned_stream.ts";
import { subjectsOf } from "./log/log_reads.ts";

const required = await requireNatsServer();
const LIMIT = 60_000;

describe("JetStream: no answer", required, () => {
  it("says by how much the wait ended too late, as after a standstill of the process", async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    const { clock, connection } = transport;
    try {
      connection.subscribe("silent");
      const asked = clock.monotonic();
      const ended = new JetStream(transport).request("silent", "", undefined, 100).catch((error) => error);
      const until = asked + 600;
      while (clock.monotonic() < until); // the process stands still
      const error = await ended;
      const took = clock.monotonic() - asked;
      assert(error instanceof JetStreamRefusal && error.refusal === "no answer", `${error}`);
      assert(error.late >= 450 && error.late <= took - 100, `${error.late} of ${took} ms`);
    } finally {
      await transport.close();
    }
  });
});

describe("JetStream: answers that are wrong", required, () => {
  const message = { subject: "s.a", seq: 7, time: "2026-01-01T00:00:00Z" };
  const texts: [what: string, text: string][] = [
    ["no JSON", "{"],
    ["no object", "null"],
    ["nothing of a message", "{}"],
    ["no sequence", JSON.stringify({ message: { ...message, seq: undefined } })],
    ["a sequence that is none", JSON.stringify({ message: { ...message, seq: 1.5 } })],
    ["no subject", JSON.stringify({ message: { ...message, subject: 1 } })],
    ["a time that is none", JSON.stringify({ message: { ...message, time: "?" } })],
    ["data that is not base64", JSON.stringify({ message: { ...message, data: "\u0000" } })],
  ];
  for (const [what, text] of texts) {
    it(`message: ${what} is a refusal, and not the end of the stream`, async () => {
      await using answering = await startAnswering(() => text);
      const { js } = answering;
      const error = await assertRejects(() => js.message("s", { seq: 7 }, LIMIT), JetStreamRefusal, "cannot be read");
      assertEquals(error.refusal, "other");
    });
  }

  it("message: without data and headers it is empty, and headers that cannot be read are none", async () => {
    let answer: object = message;
    await using answering = await startAnswering(() => JSON.stringify({ message: answer }));
    const { js } = answering;
    const bare = await js.message("s", { seq: 7 }, LIMIT);
    assertEquals({ ...bare, data: bare?.data.length }, {
      ...{ sequence: 7, subject: "s.a", time: Date.UTC(2026, 0), data: 0, headers: undefined },
    });
    answer = { ...message, hdrs: btoa("NATS/1.0\r\nA: b\r\nC: d\r\n\r\n"), data: btoa("x") };
    assertEquals((await js.message("s", { seq: 7 }, LIMIT))?.headers, { A: "b", C: "d" });
    answer = { ...message, hdrs: "\u0000" };
    assertEquals((await js.message("s", { seq: 7 }, LIMIT))?.headers, undefined);
  });

  it("lastDirect: no message and no status is busy", async () => {
    await using answering = await startAnswering(() => "{}");
    const error = await assertRejects(() => answering.js.lastDirect("s", "s.a", LIMIT), JetStreamRefusal);
    assertEquals(error.refusal, "busy");
  });

  it("subjects: pages without end are refused", async () => {
    const page = { config: {}, state: { subjects: { "s.a": 1 } }, total: 1e9, limit: 0 };
    await using answering = await startAnswering(() => JSON.stringify(page));
    // cast: the only members that `subjectsOf` reads
    const stream = { js: answering.js, name: "s" } as unknown as OwnedStream;
    const error = await assertRejects(() => subjectsOf(stream, "s.>", LIMIT), JetStreamRefusal, "pages without end");
    assertEquals(error.refusal, "other");
  });

  it("write: an answer that is no acknowledgement is a refusal", async () => {
    let text = "";
    await using answering = await startAnswering(() => text);
    for (text of ["", "null", "{}", '{"seq":"7"}', '{"stream":"","seq":7}']) {
      const error = await assertRejects(() => answering.js.write("s.a", "", {}, LIMIT), JetStreamRefusal);
      assertEquals([text, error.refusal], [text, "other"]);
    }
  });

  it("an error is read by its code, in the API and in a write", async () => {
    const error = { code: 503, err_code: 10039, description: "JetStream not enabled for account" };
    await using answering = await startAnswering(() => JSON.stringify({ error }));
    const { js } = answering;
    const limit = LIMIT;
    const works = [
      () => js.info("s", limit),
      () => js.createStream({ name: "s" }, limit),
      () => js.message("s", { seq: 7 }, limit),
      () => js.erase("s", 7, limit),
      () => js.write("s.a", "", { ttl: "5s", expected: 3 }, limit),
      () => js.manage((jsm) => jsm.getAccountInfo(), limit),
    ];
    for (const work of works) assertEquals((await assertRejects(work, JetStreamRefusal)).refusal, "disabled");
  });
});

describe("JetStream: no answer", required, () => {
  it("is a refusal after the limit of the call, which is not that of the package", async () => {
    await using answering = await startAnswering(() => undefined);
    const { js } = answering;
    for (const work of [() => js.info("s", 1), () => js.write("s.a", "", {}, 1), () => js.lastDirect("s", "a", 1)]) {
      assertEquals((await assertRejects(work, JetStreamRefusal, "timed out")).refusal, "no answer");
    }
  });

  it("from nobody is a refusal of its own", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const transport = await openTransport(server.url);
    const js = new JetStream(transport);
    for (const work of [() => js.info("s", LIMIT), () => js.write("s.a", "", {}, LIMIT)]) {
      assertEquals((await assertRejects(work, JetStreamRefusal)).refusal, "no responders");
    }
    await transport.close();
  });

  it("is UNAVAILABLE at once when the connection is lost, and CLOSED after its end", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using proxy = await startTcpProxy(server.port);
    const silent = await openTransport(server.url);
    let asked = 0;
    silent.listen(">", () => void asked++);
    await silent.flush();
    const transport = await openTransport(proxy.url);
    const js = new JetStream(transport);
    const works = [
      () => js.info("s", 60_000),
      () => js.message("s", { seq: 7 }, 60_000),
      () => js.write("s.a", "", {}, 60_000),
    ];
    const failing = Promise.all(works.map((work) => assertRejects(work, CatgaError)));
    await eventually("the requests", () => asked >= works.length);
    proxy.cut();
    assertEquals((await failing).map(({ code }) => code), ["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]);
    await transport.close();
    for (const work of works) assertEquals((await assertRejects(work, CatgaError)).code, "CLOSED");
    await silent.close();
  });
});

describe("refusalIn", () => {
  it("reads an error of another copy of the package by its members, wherever it is in the chain of causes", () => {
    const apiError = () => ({ code: 400, err_code: 10071, description: "wrong last sequence: 7" });
    const foreign = Object.assign(new Error("wrong"), { name: "JetStreamApiError", apiError });
    for (const error of [foreign, new Error("around it", { cause: foreign })]) {
      assertEquals((refusalIn(error) as JetStreamRefusal).refusal, "lost race");
    }
    const status = Object.assign(new Error("bad request"), { name: "JetStreamStatusError", code: 408 });
    assertEquals((refusalIn(status) as JetStreamRefusal).refusal, "busy");
    assertStringIncludes((refusalIn(new TypeError("no `state`")) as Error).message, "no `state`");
  });
});

/** Starts a server without JetStream, and a client that answers the requests to JetStream with `textOf`. */
async function startAnswering(textOf: () => string | undefined): Promise<AsyncDisposable & { js: JetStream }> {
  const server = await startNatsServer({ jetstream: false });
  const liar = await openTransport(server.url);
  liar.listen(">", (error: Error | null, message: Msg) => {
    const text = textOf();
    if (error === null && message.reply && text !== undefined) message.respond(text);
  });
  await liar.flush();
  const transport = await openTransport(server.url);
  return {
    js: new JetStream(transport),
    async [Symbol.asyncDispose]() {
      await transport.close();
      await liar.close();
      await server.stop();
    },
  };
}

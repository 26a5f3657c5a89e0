import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { block } from "../../../test/support/block.ts";
import { chances } from "../../../test/support/chances.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { patiently } from "../../../test/support/patient.ts";
import { openTransport } from "../harness_suite.ts";
import { NatsKeyValueStore } from "../bucket/key_value_store.ts";
import { NatsEventLog } from "../log/log_stream.ts";
import { OPTIONS, sequenceOf, startLogClient, STREAM, TIMEOUT } from "../log_harness_suite.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";

describe("Feed", await requireNatsServer(), () => {
  it(
    "does not break after a pause of its own process, whose socket contains the messages",
    { timeout: 300_000 },
    async () => {
      const broken = async () => {
        await using server = await startNatsServer();
        const transport = await openTransport(server.url);
        const notices: string[] = [];
        const store = new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) });
        const bucket = await store.open("b");
        const seen: string[] = [];
        const stop = new AbortController();
        await bucket.watch("", ({ key }) => void seen.push(key), { signal: stop.signal });
        block(4_600);
        await bucket.put("after", "");
        await eventually("the change", () => seen.includes("after"));
        stop.abort();
        await transport.close();
        return notices;
      };
      // a feed also breaks when a busy server is silent for long
      assertEquals(await chances(2, broken, (notices) => notices.length === 0), []);
    },
  );

  it("lists more than 2 MB over a slow link as a whole (the rest of the runs was not in `app.runs()`)", {
    timeout: 300_000,
  }, async () => {
    await using client = await startLogClient();
    const data = "x".repeat(100_000);
    for (let i = 0; i < 100; i++) sequenceOf(await client.stream.append(`log.${i}`, data, { timeout: TIMEOUT }));
    await using link = await startTcpProxy(client.server.port);
    const transport = await openTransport(link.url);
    const stream = await new NatsEventLog(transport).open(STREAM, OPTIONS);
    link.delay(350);
    await patiently(async () => {
      const found = new Set<string>();
      await stream.lasts("log.>", ({ subject }) => void found.add(subject));
      assertEquals(found.size, 100);
    });
    await transport.close();
  });

  it("subscribes before it asks for its consumer, whose messages come with the answer (a start took a round trip more)", async () => {
    await using client = await startLogClient();
    for (const subject of ["log.a", "log.b"]) sequenceOf(await client.stream.append(subject, "", { timeout: TIMEOUT }));
    const transport = await openTransport(client.server.url);
    const stream = await new NatsEventLog(transport).open(STREAM, OPTIONS);
    const { connection } = transport;
    const calls: string[] = [];
    const subscribe = connection.subscribe.bind(connection);
    const request = connection.request.bind(connection);
    connection.subscribe = (subject, options) => {
      calls.push("subscribe");
      return subscribe(subject, options);
    };
    connection.request = (subject, ...rest) => {
      calls.push(subject.split(".").slice(2, 4).join(" "));
      return request(subject, ...rest);
    };
    const found: string[] = [];
    await stream.lasts("log.>", ({ subject }) => void found.push(subject));
    assertEquals({ calls: calls.slice(0, 2), found }, {
      calls: ["subscribe", "CONSUMER CREATE"],
      found: ["log.a", "log.b"],
    });
    await transport.close();
  });

  it("gives a user who may not answer the flow control what has come", { timeout: 120_000 }, async () => {
    const config = `authorization { users: [
      { user: all, password: a }
      { user: mute, password: m, permissions: { publish: { deny: ["$JS.FC.>"] } } }
    ] }`;
    await using server = await startNatsServer({ config });
    const login = (user: string, pass: string) => ({ server, nats: { servers: server.url, user, pass } });
    await using client = await startLogClient(login("all", "a"));
    const data = "x".repeat(500_000);
    for (let i = 0; i < 16; i++) sequenceOf(await client.stream.append(`log.${i}`, data, { timeout: TIMEOUT }));
    await using mute = await startLogClient(login("mute", "m"));
    let found = 0;
    await mute.stream.lasts("log.>", () => void found++);
    assert(found > 0 && found < 16);
  });
});

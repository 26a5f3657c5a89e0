import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { block } from "../../test/support/block.ts";
import { eventually } from "../../test/support/eventually.ts";
import { openTransport } from "./harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import { NatsEventLog } from "./log_stream.ts";
import { OPTIONS, sequenceOf, startLogClient, STREAM, TIMEOUT } from "./log_harness_suite.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";

describe("Feed", await requireNatsServer(), () => {
  it(
    "does not break after a pause of its own process, whose socket contains the messages",
    { timeout: 300_000 },
    async () => {
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
      assertEquals(notices, []);
      stop.abort();
      await transport.close();
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
    link.delay(700);
    const found = new Set<string>();
    await stream.lasts("log.>", ({ subject }) => void found.add(subject));
    assertEquals(found.size, 100);
    await transport.close();
  });
});

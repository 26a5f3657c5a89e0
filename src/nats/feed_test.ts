import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { block } from "../../test/support/block.ts";
import { eventually } from "../../test/support/eventually.ts";
import { openTransport } from "./harness_suite.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";

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
});

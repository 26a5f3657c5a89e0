import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { connectNats } from "./connection.ts";
import { reached } from "./harness_suite.ts";
import { NatsTransport } from "./transport.ts";

describe("a dead link", await requireNatsServer(), () => {
  it("destroySocket: a dead link whose buffers are full is replaced by a new one", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using proxy = await startTcpProxy(server.port);
    const transport = new NatsTransport(await connectNats({ servers: proxy.url, pingInterval: 50 }));
    proxy.strand();
    for (let i = 0; i < 20; i++) transport.publish("large", new Uint8Array(1_000_000));
    await reached(transport, "disconnected");
    await reached(transport, "connected");
    await transport.flush();
    await transport.close();
  });

  it("dialWhenClockWasPutBack: a lost connection is dialled at once although the wall clock was set back by an hour", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using proxy = await startTcpProxy(server.port);
    const transport = new NatsTransport(await connectNats(proxy.url));
    const now = Date.now;
    try {
      Date.now = () => now() - 3_600_000;
      proxy.cut();
      await reached(transport, "disconnected");
      proxy.restore();
      await reached(transport, "connected");
    } finally {
      Date.now = now;
    }
    await transport.close();
  });
});

import { describe, it } from "node:test";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { block } from "../../test/support/block.ts";
import { eventually } from "../../test/support/eventually.ts";
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
    // on a busy machine, pings every 50 ms may take the new link for dead, too
    await eventually("a new link", () => transport.flush().then(() => true, () => false));
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

  for (const lost of [1, 2]) {
    it(`dialWhenLostAtOnce: a link that is lost right behind the answer of dial ${lost} is replaced by a new one`, {
      timeout: 300_000,
    }, async () => {
      await using server = await startFleetingServer(lost);
      const transport = new NatsTransport(await connectNats({ servers: server.url, reconnectTimeWait: 10 }));
      if (lost > 1) server.drop();
      await eventually("the next dial", () => server.dials > lost);
      await reached(transport, "connected");
      await transport.flush();
      await transport.close();
    });
  }
});

/**
 * Starts a server that ends its nth connection right after its answer to the client's first PING, and keeps the other
 * connections.
 */
async function startFleetingServer(nth: number) {
  const sockets = new Set<Socket>();
  let dials = 0;
  const server = createServer((socket) => {
    const fleeting = ++dials === nth;
    sockets.add(socket);
    socket.on("error", () => {}); // the client closed the socket
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data) => {
      const pings = data.toString().match(/PING\r\n/g)?.length ?? 0;
      if (pings === 0) return;
      const pongs = "PONG\r\n".repeat(pings);
      if (!fleeting) return void socket.write(pongs);
      socket.end(pongs);
      // blocks this process, in which the client runs, too: the client's next read then finds the answer and the end of
      // the connection together
      block(50);
    });
    socket.write('INFO {"server_id":"S","version":"2.15.0","proto":1,"max_payload":1048576,"headers":true}\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const drop = () => sockets.forEach((socket) => socket.destroy());
  return {
    url: `nats://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get dials() {
      return dials;
    },
    drop,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        drop();
      }),
  };
}

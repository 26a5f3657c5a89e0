import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { eventually } from "../support/eventually.ts";
import { startChoppingProxy } from "./chopping_proxy.ts";
import { startTcpProxy } from "./tcp_proxy.ts";

/** A server that keeps what arrives. */
async function listen() {
  let received = "";
  const server = createServer((socket) => {
    socket.on("error", () => {}); // the link was broken
    socket.on("data", (data: Buffer) => void (received += data.toString()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    received: () => received,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

async function dial(url: string) {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.on("error", () => {}); // the link was broken
  await once(socket, "connect");
  return socket;
}

const WRITE = "PUB $KV.catga_x_locks.h.a r 2\r\n{}\r\n";

describe("links of the fault tests", () => {
  it("what a link holds back that is frozen at a write is delivered, in order, when it is restored", async () => {
    await using server = await listen();
    await using link = await startTcpProxy(server.port, { node: "a" });
    const moments: string[] = [];
    link.onWrite = (_, moment) => {
      moments.push(moment);
      if (moment === "before") link.freeze();
    };
    const client = await dial(link.url);
    client.write(WRITE);
    await eventually("the write to be seen", () => moments.length === 1);
    client.write("PING\r\n");
    assertEquals(server.received(), "");
    link.restore();
    await eventually("all to arrive", () => server.received().endsWith("PING\r\n"));
    assertEquals(server.received(), `${WRITE}PING\r\n`);
    assertEquals(moments, ["before", "after"]);
    client.destroy();
  });

  it("behind the last byte before a cut nothing passes", async () => {
    await using server = await listen();
    const link = await startChoppingProxy(server.port);
    const client = await dial(link.url);
    const ended = new Promise((resolve) => client.on("close", resolve));
    link.cutAfter("there", 6);
    // as many chunks as the proxy gets to read before the first is written on
    for (let i = 0; i < 100 && !client.destroyed; i++) {
      client.write("abcd");
      await new Promise((resolve) => setImmediate(resolve));
    }
    await ended;
    await eventually("what has passed to arrive", () => server.received().length >= 6);
    assertEquals(server.received(), "abcdab");
    await link.close();
  });
});

import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Msg, NatsConnection, Status } from "@nats-io/nats-core";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { type DriverName, loadDriver } from "./driver.ts";
import { bytesOf, optionsOf, protocolOf, sendWithoutDelay } from "./private.ts";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { block } from "../../../test/support/block.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { ConnectionStatus, connectNats } from "./connection.ts";
import { reached } from "../harness_suite.ts";
import { NatsTransport } from "./transport.ts";
import { systemClock } from "../../ports/clock.ts";

/**
 * The clients of nats.js in this runtime, with the name of the private field of each that has its socket, and the
 * socket's method that closes it.
 */
const DRIVERS: [DriverName, "conn" | "socket", close: string][] = "Deno" in globalThis
  ? [["deno", "conn", "close"], ["node", "socket", "destroy"]]
  : [["node", "socket", "destroy"]];

// if this test fails, the installed nats.js has moved a private field; private.ts says what Catga does without the
// field
describe("private parts of nats.js", await requireNatsServer(), () => {
  for (const [name, socket, close] of DRIVERS) {
    it(`${name}: a connection has each of them`, async () => {
      await using server = await startNatsServer({ jetstream: false });
      const connection = await (await loadDriver(name)).connect({ servers: server.url, name: "private" });
      try {
        assertEquals(optionsOf(connection)?.name, "private");
        const protocol = protocolOf(connection);
        const { transport, servers, options } = protocol ?? {};
        const inner = (transport as Record<string, Record<string, unknown>> | undefined)?.[socket];
        assertEquals({
          sendCommand: typeof protocol?.sendCommand,
          flushPending: typeof protocol?.flushPending,
          sendSubscriptions: typeof protocol?.sendSubscriptions,
          disconnected: typeof protocol?.disconnected,
          connectPromise: protocol?.connectPromise,
          isClosed: transport?.isClosed,
          close: typeof inner?.[close],
          reconnectDelayHandler: typeof options?.reconnectDelayHandler,
          lastConnect: servers?.servers?.map(({ lastConnect }) => typeof lastConnect),
        }, {
          ...{ sendCommand: "function", flushPending: "function", sendSubscriptions: "function" },
          ...{ disconnected: "function", connectPromise: null },
          ...{ isClosed: false, close: "function", reconnectDelayHandler: "function", lastConnect: ["number"] },
        });
      } finally {
        await connection.close();
      }
      assertEquals(protocolOf(connection)?.transport?.isClosed, true);
    });

    it(`${name}: what sendCommand is given reaches the server with flushPending`, async () => {
      await using server = await startNatsServer({ jetstream: false });
      const connection = await (await loadDriver(name)).connect({ servers: server.url });
      try {
        const first = new Promise<string>((resolve, reject) => {
          connection.subscribe("a", {
            max: 1,
            callback: (error, message) => error ? reject(error) : resolve(message.string()),
          });
        });
        await connection.flush();
        protocolOf(connection)!.sendCommand!(new TextEncoder().encode("PUB a 2\r\nhi\r\n"));
        protocolOf(connection)!.flushPending!();
        await connection.flush();
        assertEquals(await first, "hi");
      } finally {
        await connection.close();
      }
    });
  }

  it("a message has the bytes of its subject, of its headers and of its payload", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const driver = await loadDriver(undefined);
    const connection = await driver.connect({ servers: server.url });
    try {
      const next = new Promise<Msg>((resolve, reject) => {
        connection.subscribe("a", { max: 1, callback: (error, message) => error ? reject(error) : resolve(message) });
      });
      const headers = driver.headers();
      headers.set("x", "1");
      connection.publish("a", "hi", { headers });
      const { _rdata, _msg } = bytesOf(await next);
      const text = new TextDecoder();
      const head = "NATS/1.0\r\nx: 1\r\n\r\n";
      assertEquals([text.decode(_msg?.subject), _msg?.hdr, text.decode(_rdata)], ["a", head.length, `${head}hi`]);
    } finally {
      await connection.close();
    }
  });

  it("the transport under transport-node has what driver_node.ts replaces", async () => {
    const { NodeTransport, nodeResolveHost } = await import("@nats-io/transport-node/lib/node_transport.js");
    const prototype = NodeTransport.prototype as unknown as Record<string, unknown>;
    assertEquals(
      ["dial", "startTLS", "close", "discard"].filter((name) => typeof prototype[name] !== "function"),
      [],
    );
    const transport = new NodeTransport();
    assertEquals(["connected", "options", "tlsName"].filter((name) => !(name in transport)), []);
    assertEquals(typeof nodeResolveHost, "function");
  });
});

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

/** A connection with a socket as Deno's for TCP is, of which another is made at each dial. */
function dialling() {
  const calls: string[] = [];
  const events = new TransformStream<Status, Status>();
  const writer = events.writable.getWriter();
  const transport = { conn: socket(1), isClosed: false };
  function socket(dial: number) {
    return { close() {}, setNoDelay: (noDelay: boolean) => void calls.push(`${dial}: ${noDelay}`) };
  }
  const connection = {
    protocol: { transport },
    status: () => events.readable,
    closed: () => new Promise(() => {}),
    isClosed: () => false,
  } as unknown as NatsConnection;
  return {
    calls,
    connection,
    async dial(number: number) {
      await writer.write({ type: "disconnect", server: "a" });
      transport.conn = socket(number);
      await writer.write({ type: "reconnect", server: "a" });
    },
    end: () => writer.close(),
  };
}

describe("sendWithoutDelay", () => {
  it("turns Nagle's algorithm off for the socket of each dial", async () => {
    const { calls, connection, dial, end } = dialling();
    const throws = (error: unknown) => {
      throw error;
    };
    const status = new ConnectionStatus({ connection, owned: true }, systemClock, {
      onError: throws,
      onFailure: throws,
    });
    assertEquals(calls, ["1: true"]);
    await dial(2);
    await eventually("the second dial", () => status.current.generation === 2);
    assertEquals(calls, ["1: true", "2: true"]);
    await end();
    status.close();
  });

  it("leaves a socket alone that has no such option, or is closed", () => {
    const closed = () => {
      throw new Error("Bad resource ID");
    };
    for (const conn of [undefined, { close() {} }, { close() {}, setNoDelay: closed }]) {
      sendWithoutDelay({ protocol: { transport: { conn } } } as unknown as NatsConnection);
    }
  });
});

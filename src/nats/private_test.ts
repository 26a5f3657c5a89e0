import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Msg } from "@nats-io/nats-core";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { type DriverName, loadDriver } from "./driver.ts";
import { bytesOf, optionsOf, protocolOf } from "./private.ts";

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
          disconnected: typeof protocol?.disconnected,
          connectPromise: protocol?.connectPromise,
          isClosed: transport?.isClosed,
          close: typeof inner?.[close],
          reconnectDelayHandler: typeof options?.reconnectDelayHandler,
          lastConnect: servers?.servers?.map(({ lastConnect }) => typeof lastConnect),
        }, {
          ...{ sendCommand: "function", flushPending: "function", disconnected: "function", connectPromise: null },
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

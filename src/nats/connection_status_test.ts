import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { CatgaError } from "../error.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { TransportMessage } from "../ports/transport.ts";
import { connectNats } from "./connection.ts";
import { openTransport, reached } from "./harness_suite.ts";
import { NatsTransport } from "./transport.ts";

describe("ConnectionStatus", await requireNatsServer(), () => {
  it("after a server was killed the status is disconnected, and on its successor connected, in the next generation", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const transport = await openTransport(server.url);
    const got: TransportMessage[] = [];
    transport.subscribe("lives", {}, (message) => got.push(message));
    const before = transport.server.id;
    await server.kill("SIGKILL");
    await reached(transport, "disconnected");
    assertEquals(transport.server.id, before);
    await using _next = await startNatsServer({ jetstream: false, port: server.port, config: "max_payload: 2000" });
    await reached(transport, "connected");
    assertEquals(transport.status.generation, 2);
    assert(transport.server.id !== before);
    assertEquals(transport.maxPayload, 2_000);
    assertEquals(assertThrows(() => transport.publish("lives", "x".repeat(2_001)), CatgaError).code, "TOO_LARGE");
    transport.publish("lives", "");
    await eventually("a message", () => got.length === 1);
    await transport.close();
  });

  it("a connection of the user that is down when it is given is disconnected until it reconnects", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using proxy = await startTcpProxy(server.port);
    const { connection } = await connectNats(proxy.url);
    proxy.cut();
    await eventually("the loss", () => connection.rtt().then(() => false, () => true));
    const transport = new NatsTransport(await connectNats(connection));
    await reached(transport, "disconnected");
    proxy.restore();
    await reached(transport, "connected");
    await transport.close();
    await connection.close();
  });

  it("a connection that ends by itself is closed", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const transport = new NatsTransport(await connectNats({ servers: server.url, reconnect: false }));
    await server.kill("SIGKILL");
    await reached(transport, "closed");
    assertEquals(assertThrows(() => transport.publish("a", ""), CatgaError).code, "CLOSED");
    await transport.close();
  });
});

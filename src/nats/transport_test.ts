import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { requireNatsServer, startNatsCluster, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { CatgaError } from "../error.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { TransportMessage, TransportStatus } from "../ports/transport.ts";
import { transportSuite } from "../ports/transport_suite.ts";
import { connectNats } from "./connection.ts";
import { openTransport, reached, startTransportHarness } from "./harness_suite.ts";
import { NatsTransport } from "./transport.ts";

const required = await requireNatsServer();

if (!required.skip) transportSuite("NATS", startTransportHarness);

describe("NatsTransport", required, () => {
  it("onError: gets what a callback throws, and a permission that is missing", async () => {
    const config = `authorization { users: [{ user: me, password: p, permissions: { publish: "ok.>" } }] }`;
    await using server = await startNatsServer({ jetstream: false, config });
    const errors: unknown[] = [];
    const transport = await openTransport(`nats://me:p@127.0.0.1:${server.port}`, (error) => errors.push(error));
    const thrown = new Error("thrown by a test");
    transport.subscribe("ok.1", {}, () => {
      throw thrown;
    });
    transport.publish("ok.1", "");
    await eventually("the callback's error", () => errors.includes(thrown));
    transport.publish("forbidden", "");
    await eventually("the server's error", () => errors.length === 2);
    assertStringIncludes((errors[1] as Error).message, "forbidden");
    assertEquals(transport.status.state, "connected");
    await transport.close();
  });

  it("status: a server that is killed is a disconnection, and its successor the next generation", async () => {
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

  it("publish: what is published while disconnected is thrown away, not kept and sent later", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using proxy = await startTcpProxy(server.port);
    const [transport, other] = await Promise.all([openTransport(proxy.url), openTransport(server.url)]);
    const got: string[] = [];
    other.subscribe("cut.*", {}, (message) => got.push(message.subject));
    await other.flush();
    proxy.cut();
    await reached(transport, "disconnected");
    // as long as a dial takes, for nats.js sends what it was given during that
    const publishing = setInterval(() =>
      transport.status.state === "disconnected" && transport.publish("cut.lost", "")
    );
    proxy.delay(50);
    proxy.restore();
    await reached(transport, "connected");
    clearInterval(publishing);
    transport.publish("cut.found", "");
    await eventually("the last message", () => got.includes("cut.found"));
    assertEquals(got, ["cut.found"]);
    await Promise.all([transport.close(), other.close()]);
  });

  it("status: a dead link whose buffers are full is left for a new one", async () => {
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

  it("status: a link that was cut is there again soon, although the wall clock was put back by an hour", async () => {
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

  it("close: of a connection that was given ends its own subscriptions and no others", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const { connection } = await connectNats(server.url);
    const transport = new NatsTransport(await connectNats(connection));
    const told: TransportStatus[] = [];
    transport.onStatus((status) => told.push(status));
    const got: string[] = [];
    const own = connection.subscribe("shared", { callback: () => void got.push("the user's") });
    transport.subscribe("shared", {}, () => got.push("ours"));
    await transport.flush();
    await transport.close();
    assertEquals(told.map((status) => status.state), ["closed"]);
    connection.publish("shared");
    await connection.flush();
    assertEquals(got, ["the user's"]);
    assertEquals([connection.isClosed(), own.isClosed()], [false, false]);
    await connection.close();
  });

  it("status: a connection that was given while it was down is disconnected until it is up", async () => {
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

  it("status: closed with the error when the connection ends by itself", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const transport = new NatsTransport(await connectNats({ servers: server.url, reconnect: false }));
    await server.kill("SIGKILL");
    await reached(transport, "closed");
    assertEquals(assertThrows(() => transport.publish("a", ""), CatgaError).code, "CLOSED");
    await transport.close();
  });

  it("server: is clustered when it is one of several, and not when it is alone", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using cluster = await startNatsCluster(2);
    const [alone, one, other] = await Promise.all([server.url, ...cluster.urls].map((url) => openTransport(url)));
    assertEquals([alone.server.clustered, one.server.clustered, other.server.clustered], [false, true, true]);
    assert(one.server.id !== other.server.id);
    assertEquals(alone.server.clientAddress, "127.0.0.1");
    await Promise.all([alone, one, other].map((transport) => transport.close()));
  });

  for (const situation of ["connected", "disconnected"]) {
    it(`close: while ${situation} lets the process end`, async () => {
      await using server = await startNatsServer();
      const script = fileURLToPath(new URL("./closing_process_suite.ts", import.meta.url));
      const run = "Deno" in globalThis ? ["run", "-A", script] : [script];
      const child = execFile(process.execPath, [...run, server.url, situation]);
      let output = "";
      child.stdout?.on("data", (data) => output += data);
      child.stderr?.on("data", (data) => output += data);
      const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
      await eventually("the process to connect", () => output.includes("up"));
      if (situation === "disconnected") await server.kill("SIGKILL");
      await eventually("the process to close", () => output.includes("closed"));
      const closed = performance.now();
      assertEquals(await ended, 0, output);
      assert(performance.now() - closed < 1_000, output);
    });
  }
});

/**
 * Tests of the NATS transport for Deno, against servers that the test controls, and beside other clients of nats.js.
 */
import { connect } from "@nats-io/transport-deno";
import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { connectNats } from "./connection.ts";
import { DenoTransport } from "./deno_transport.ts";

const inDeno = { skip: "Deno" in globalThis ? false : "the transport runs in Deno only" };
const INFO = `INFO {"server_id":"s","version":"2.15.0","proto":1,"max_payload":1048576,"headers":true}\r\n`;

describe("DenoTransport", inDeno, () => {
  it("data is never overwritten by later reads, and small reads share memory", async () => {
    await using server = await startServer((socket) => socket.write(INFO));
    const transport = await server.dial();
    const socket = await server.socket;
    const views: Uint8Array[] = [];
    const sent = bytesFrom(0, 300_000);
    let at = INFO.length;
    for await (const bytes of transport) {
      views.push(bytes);
      if (joined(views).length === at) {
        if (at === INFO.length + sent.length) break;
        const piece = sent.subarray(at - INFO.length, at - INFO.length + 1_000);
        at += piece.length;
        socket.write(piece);
      }
    }
    assertSame(joined(views).subarray(INFO.length), sent);
    const pieces = new Set(views.map((view) => view.buffer)).size;
    assert(pieces <= 7, `${views.length} reads took ${pieces} pieces of memory`);
  });

  it("a large stream arrives whole, in whichever pieces", async () => {
    const sent = bytesFrom(7, 3_000_000);
    await using server = await startServer((socket) => socket.write(INFO));
    const transport = await server.dial();
    const socket = await server.socket;
    for (let at = 0, size = 1; at < sent.length; at += size, size = size * 3 % 70_001 + 1) {
      socket.write(sent.subarray(at, at + size));
    }
    socket.end();
    const views: Uint8Array[] = [];
    for await (const bytes of transport) views.push(bytes);
    assertSame(joined(views).subarray(INFO.length), sent);
  });

  it("connect: accepts an INFO in several parts, followed by other data", async () => {
    await using server = await startServer((socket) => {
      socket.write(INFO.slice(0, 9));
      setTimeout(() => socket.write(`${INFO.slice(9)}PING\r\n`), 20);
    });
    const reader = (await server.dial())[Symbol.asyncIterator]();
    let text = "";
    while (!text.endsWith("PING\r\n")) text += new TextDecoder().decode((await reader.next()).value);
    assertEquals(text, `${INFO}PING\r\n`);
    await reader.return!();
  });

  it("connect: rejects for a server of another protocol, one whose INFO does not end, and one that hangs up", async () => {
    for (const greeting of ["HTTP/1.1 400 Bad Request\r\n", `INFO {${"x".repeat(100_000)}`, undefined]) {
      await using server = await startServer((socket) =>
        greeting === undefined ? socket.end() : socket.write(greeting)
      );
      const error = await assertRejects(() => server.dial(), Error);
      assertMatch(error.message, /unexpected response|too long|closed while expecting/);
    }
  });

  it("connect: rejects unencrypted data after the INFO of a TLS server", async () => {
    const info = INFO.replace("{", '{"tls_required":true,');
    await using server = await startServer((socket) => socket.write(`${info}MSG orders 1 2\r\nno\r\n`));
    await assertRejects(() => server.dial(), Error, "not encrypted");
  });

  it("connect: closed while the server is silent it leaves no connection open", async () => {
    await using server = await startServer(() => {});
    const transport = new DenoTransport();
    const connecting = transport.connect(server.address, {});
    const socket = await server.socket;
    const gone = new Promise((resolve) => socket.once("close", resolve));
    await transport.close(new Error("late"));
    await assertRejects(() => connecting, Error);
    await gone;
    // this transport is closed before it connects
    const never = new DenoTransport();
    await never.close();
    await assertRejects(() => never.connect(server.address, {}), Error, "abort");
  });

  it("send: a server that reads late receives everything in order", async () => {
    await using server = await startServer((socket) => {
      socket.pause();
      socket.write(INFO);
    });
    const transport = await server.dial();
    const socket = await server.socket;
    const sent = bytesFrom(3, 12_000_000);
    for (let at = 0, size = 1; at < sent.length; at += size, size = size * 3 % 200_003 + 1) {
      transport.send(sent.subarray(at, at + size));
    }
    const arrived: Uint8Array[] = [];
    const ended = new Promise((resolve) => socket.once("end", resolve));
    transport.disconnect();
    transport.send(new Uint8Array([1]));
    socket.on("data", (data: Uint8Array) => arrived.push(data)).resume();
    assertEquals(await transport.closed(), undefined);
    await ended;
    assertSame(joined(arrived), sent);
  });

  it("closed: resolves when the server ends or resets the connection, and not after close()", async () => {
    await using server = await startServer((socket) => socket.write(INFO));
    const ended = await server.dial();
    (await server.socket).end();
    for await (const _ of ended);
    assertEquals([await ended.closed(), ended.isClosed], [undefined, true]);

    await using other = await startServer((socket) => socket.write(INFO));
    const broken = await other.dial();
    const socket = await other.socket;
    socket.resetAndDestroy();
    for await (const _ of broken);
    assertInstanceOf(await broken.closed(), Error);
    assertEquals(broken.closeError, await broken.closed() as Error);

    await using third = await startServer((socket) => socket.write(INFO));
    const closed = await third.dial();
    let told = false;
    closed.closed().then(() => told = true);
    await closed.close();
    for await (const _ of closed);
    assertEquals([told, closed.isClosed], [false, true]);
  });

  it("a server that violates the protocol is dialled again", async () => {
    let dials = 0;
    await using server = await startServer((socket) => {
      dials++;
      socket.write(INFO);
      socket.on("data", (data) => socket.write("PONG\r\n".repeat(`${data}`.split("PING").length - 1)));
    });
    const { connection } = await connectNats({ servers: `127.0.0.1:${server.address.port}`, reconnectTimeWait: 10 });
    await connection.flush();
    (await server.socket).write("nonsense\r\n");
    await eventually("another dial", () => dials === 2);
    await eventually("an answer", () => connection.rtt().then(() => true, () => false));
    await connection.close();
  });
});

const required = await requireNatsServer();

describe("DenoTransport beside other clients", { skip: inDeno.skip || required.skip }, () => {
  it("connections of both clients work, and those of Catga keep this transport, whichever was opened last", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const theirs = () => connect({ servers: server.url, reconnectTimeWait: 10 });
    const ours = async () => (await connectNats({ servers: server.url, reconnectTimeWait: 10 })).connection;
    const opened = { first: await ours(), second: await theirs(), third: await ours(), fourth: await theirs() };
    const all = Object.values(opened);
    assertEquals(all.map(isOurs), [true, false, true, false]);
    for (const connection of all) {
      const before = transportOf(connection);
      await connection.reconnect();
      await eventually("another transport", () => transportOf(connection) !== before);
      await eventually("an answer", () => connection.rtt().then(() => true, () => false));
      const got = new Promise<string>((resolve) => {
        connection.subscribe("echo", { callback: (_, message) => resolve(message.string()) });
      });
      connection.publish("echo", "hello");
      assertEquals(await got, "hello");
    }
    assertEquals([isOurs(opened.first), isOurs(opened.third)], [true, true]);
    for (const connection of all) await connection.close();
  });

  it("a connection of the user keeps its transport", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const given = await connect({ servers: server.url });
    const before = transportOf(given);
    const link = await connectNats(given);
    assertEquals(transportOf(link.connection), before);
    assertEquals(isOurs(given), false);
    await given.close();
  });
});

function transportOf(connection: object): unknown {
  return (connection as { protocol: { transport: unknown } }).protocol.transport;
}

function isOurs(connection: object): boolean {
  return transportOf(connection) instanceof DenoTransport;
}

/** Starts a server that the test controls, and makes a transport to it. */
async function startServer(greet: (socket: Socket) => void) {
  const first = Promise.withResolvers<Socket>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    greet(socket);
    first.resolve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const address = { ...NOBODY, port };
  return {
    address,
    socket: first.promise,
    async dial(): Promise<DenoTransport> {
      const transport = new DenoTransport();
      await transport.connect(address, {});
      return transport;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const NOBODY = {
  hostname: "127.0.0.1",
  listen: "",
  src: "",
  tlsName: "",
  reconnects: 0,
  lastConnect: 0,
  gossiped: false,
  didConnect: false,
};

/** Returns `length` bytes that depend on their place and on the seed. */
function bytesFrom(seed: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * 31 + (at >> 8) * 7 + seed) & 255);
}

/** Asserts that two byte arrays are equal; faster than `assertEquals` for megabytes. */
function assertSame(bytes: Uint8Array, expected: Uint8Array): void {
  assertEquals(bytes.length, expected.length);
  assertEquals(Buffer.compare(bytes, expected), 0);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

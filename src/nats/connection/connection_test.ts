import { createServer } from "node:net";
import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { freePorts, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { CatgaError } from "../../error.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { connectNats, firstConnect } from "./connection.ts";
import { loadDriver } from "./driver.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import type { TransportMessage } from "../../ports/transport.ts";
import { openTransport, reached } from "../harness_suite.ts";
import { NatsTransport } from "./transport.ts";

describe("connectNats: without a server", () => {
  it("connectNats: without a server it is UNAVAILABLE, with the address and what to do", async () => {
    const [port] = await freePorts(1);
    const error = await assertRejects(() => connectNats(`nats://127.0.0.1:${port}`), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertStringIncludes(error.message, `127.0.0.1:${port}`);
    assertStringIncludes(error.message, "nats-server -js");
  });

  it("connectNats: a silent server is UNAVAILABLE after the connection's timeout", async () => {
    await using server = await fakeServer(() => {});
    const options = { servers: `127.0.0.1:${server.port}`, timeout: 100 };
    const error = await assertRejects(() => connectNats(options), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertStringIncludes(error.message, "100 ms");
  });

  it("connectNats: a server that is too old is UNAVAILABLE, with both versions", async () => {
    await using server = await fakeServer((line) => line.startsWith("PING") ? "PONG\r\n" : "");
    const error = await assertRejects(() => connectNats(`nats://127.0.0.1:${server.port}`), CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", false]);
    assertStringIncludes(error.message, "2.9.0");
    assertStringIncludes(error.message, "2.11");
  });

  it("connectNats: an invalid address is a TypeError that shows it without its password", async () => {
    for (
      const nats of [
        "",
        " ",
        "nats://",
        "http://localhost",
        "ws://localhost",
        "nats://localhost:99999",
        "nats://localhost:port",
        "nats://local host",
        "nats://localhost/path",
        [],
        [1],
        ["nats://localhost", ""],
        null,
        7,
        { servers: 7 },
        { servers: "::" },
      ]
    ) {
      // cast: a program without types may pass such a value
      const error = await assertRejects(() => connectNats(nats as string), TypeError);
      assertStringIncludes(error.message, "nats://localhost:4222");
    }
    for (const nats of [null, 7, true, { servers: 7 }]) {
      const given = String(typeof nats === "object" && nats !== null ? nats.servers : nats);
      // cast: a program without types may pass such a value
      const { message } = await assertRejects(() => connectNats(nats as unknown as string), TypeError);
      assertStringIncludes(message, `; got ${given}`);
    }
    for (
      const address of [
        "nats://me:secret@host:port",
        "nats://me:se/secret@host",
        "nats://a:secret@b:1,nats://c:secret@d:2",
        "nats://me:100%secret@host",
        "nats://:secret@host",
        ["nats://me:secret@host", "nats://you:secret@host"],
        ["nats://me:secret@host", "nats://secret@host"],
        { user: "me", pass: { secret: 1 } as unknown as string },
        { token: ["secret"] as unknown as string },
      ]
    ) {
      const error = await assertRejects(() => connectNats(address), TypeError);
      assert(!error.message.includes("secret"), error.message);
    }
  });

  it("connectNats: credentials that are no texts are a TypeError that names them", async () => {
    for (const name of ["user", "pass", "token", "name"]) {
      const error = await assertRejects(() => connectNats({ [name]: 123456 }), TypeError);
      assertEquals(error.message, `nats.${name} must be a string; got a number`);
    }
  });

  it("connectNats: an address or a user under another name is a TypeError, and not this machine without a user", async () => {
    for (const name of ["url", "urls", "server", "host", "hostname", "address"]) {
      const error = await assertRejects(() => connectNats({ [name]: "nats://me:secret@elsewhere" }), TypeError);
      assertEquals(error.message, `nats: there is no option ${name}; it is called \`servers\``);
    }
    const named = { servers: "elsewhere", username: "me", password: "secret" };
    const error = await assertRejects(() => connectNats(named), TypeError);
    assertEquals(error.message, "nats: there is no option username; it is called `user`");
  });

  it("connectNats: a number among the options that is invalid is a TypeError or RangeError that names it", async () => {
    for (
      const [name, range] of [
        ["maxPingOut", "from 1 to Infinity"],
        ["maxReconnectAttempts", "from -1 to Infinity"],
        ["pendingLimit", "from 1 to Infinity bytes"],
        ["pingInterval", "from 1 to 2147483647 ms"],
        ["port", "from 1 to 65535"],
        ["reconnectJitter", "from 0 to 86400000 ms"],
        ["reconnectJitterTLS", "from 0 to 86400000 ms"],
        ["reconnectTimeWait", "from 0 to 86400000 ms"],
        ["timeout", "from 1 to 2147483647 ms"],
      ]
    ) {
      for (const value of [NaN, -5, ...range.includes("Infinity") ? [] : [Infinity]]) {
        const { message } = await assertRejects(() => connectNats({ [name]: value }), RangeError);
        assertEquals(message, `nats.${name} must be ${range}; got ${value}`);
      }
      for (const value of ["7", null, {}]) {
        // cast: a program without types may pass such a value
        const { message } = await assertRejects(() => connectNats({ [name]: value } as object), TypeError);
        assertMatch(message, new RegExp(`^nats\\.${name} must be a number.*; got `));
      }
    }
  });

  it("connectNats: an unknown transport is a TypeError", async () => {
    // cast: a program without types may pass such a value
    await assertRejects(() => connectNats("localhost", { transport: "quic" as "node" }), TypeError, '"quic"');
    if ("Deno" in globalThis) return;
    for (const transport of ["deno", "official"] as const) {
      await assertRejects(() => connectNats("localhost", { transport }), TypeError, `"${transport}" runs in Deno only`);
    }
  });
});

describe("connectNats", await requireNatsServer(), () => {
  it("connectNats: accepts addresses with and without scheme, several, and options, which override the defaults", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const options = { servers: server.url, name: "mine", pingInterval: 60_000 };
    for (const nats of [server.url, `127.0.0.1:${server.port}`, ["127.0.0.1:1", server.url], options]) {
      const { connection, owned } = await connectNats(nats, { name: "catga" });
      assertEquals([connection.isClosed(), owned], [false, true]);
      const given = (connection as unknown as { options: Record<string, unknown> }).options;
      assertEquals([given.name, given.pingInterval], nats === options ? ["mine", 60_000] : ["catga", 5_000]);
      assertEquals(given.maxReconnectAttempts, -1);
      await connection.close();
    }
  });

  it("connectNats: an option that is undefined has its default", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const absent = { maxReconnectAttempts: undefined, timeout: undefined, reconnect: undefined };
    // cast: a program without exact optional types may pass `undefined`
    const { connection } = await connectNats({ servers: server.url, ...absent } as object);
    const { options } = connection as unknown as { options: Record<string, unknown> };
    assertEquals([options.maxReconnectAttempts, options.timeout, options.reconnect], [-1, 5_000, true]);
    await connection.close();
  });

  it("connectNats: takes credentials from the address; refused ones are UNAVAILABLE, and named", async () => {
    await using server = await startNatsServer({ jetstream: false, args: ["--user", "me", "--pass", "p/ss"] });
    const { connection } = await connectNats(`nats://me:p%2Fss@127.0.0.1:${server.port}`);
    await connection.close();
    for (const nats of [server.url, `nats://me:wrong@127.0.0.1:${server.port}`]) {
      const error = await assertRejects(() => connectNats(nats), CatgaError);
      assertEquals(error.code, "UNAVAILABLE");
      assertStringIncludes(error.message, "refused the credentials");
      assertStringIncludes(error.message, `127.0.0.1:${server.port}`);
    }
  });

  it("firstConnect: credentials that came too late are not refused ones, and another attempt may succeed", async () => {
    const late = Object.assign(new Error("Authentication Timeout"), { name: "AuthorizationError" });
    const driver = { connect: () => Promise.reject(late) };
    const options = { servers: "a:1", timeout: 10, reconnectTimeWait: 1 };
    const error = await assertRejects(() => firstConnect(driver, options), CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
    assertMatch(
      error.message,
      /^NATS at a:1 did not get the credentials in time \(Authentication Timeout\): is this process/,
    );
  });

  it("connectNats: accepts an open connection of any copy of nats.js, and no closed one", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const { connect } = await loadDriver("node");
    const connection = await connect({ servers: server.url });
    const link = await connectNats(connection);
    assertEquals([link.connection === connection, link.owned], [true, false]);
    await connection.close();
    assertEquals((await assertRejects(() => connectNats(connection), CatgaError)).code, "CLOSED");
  });

  it("connectNats: noEcho is a TypeError, also of an open connection: a node would lose its own events", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const { connect } = await loadDriver("node");
    const options = { servers: server.url, noEcho: true };
    const open = await connect(options);
    for (const nats of [options, open]) {
      const { message } = await assertRejects(() => connectNats(nats), TypeError);
      assertStringIncludes(message, "noEcho");
    }
    await open.close();
  });

  it("connectNats: a server that has its max_connections does not answer; the error names that", async () => {
    await using server = await startNatsServer({ jetstream: false, config: "max_connections: 1", silent: true });
    const { connection } = await connectNats(server.url);
    const error = await assertRejects(() => connectNats({ servers: server.url, timeout: 500 }), CatgaError);
    assertEquals([error.code, error.retryable], ["UNAVAILABLE", true]);
    assertStringIncludes(error.message, "max_connections");
    await connection.close();
  });

  it("connectNats: goes to a server later that was away at the start (nats.js had removed it)", async () => {
    await using live = await startNatsServer({ jetstream: false });
    const [port] = await freePorts(1);
    for (const waitOnFirstConnect of [false, true]) {
      const servers = [`127.0.0.1:${port}`, `127.0.0.1:${live.port}`];
      const options = { servers, noRandomize: true, waitOnFirstConnect, reconnectTimeWait: 10 };
      const { connection } = await connectNats(options);
      assertEquals(connection.getServers().map(({ listen }) => listen).sort(), servers.sort());
      await connection.close();
    }
  });

  it("connectNats: reconnects to another server while its own stays away", async () => {
    await using first = await startNatsServer({ jetstream: false });
    await using other = await startNatsServer({ jetstream: false });
    const servers = [first, other].map(({ port }) => `127.0.0.1:${port}`);
    const { connection } = await connectNats({ servers, noRandomize: true, reconnectTimeWait: 10 });
    assertEquals(connection.getServer(), servers[0]);
    await first.kill("SIGKILL");
    await eventually("the other server", () => connection.getServer() === servers[1]);
    await connection.flush();
    await connection.close();
  });

  it("connectNats: with waitOnFirstConnect waits for the server", async () => {
    const [port] = await freePorts(1);
    const connecting = connectNats({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 10 });
    await using _server = await startNatsServer({ jetstream: false, port });
    const { connection } = await connecting;
    assertEquals(connection.isClosed(), false);
    await connection.close();
  });

  it("connectNats: a dial that got no answer closes its socket, which would keep the process alive", async () => {
    for (const transport of "Deno" in globalThis ? ["deno", "node"] as const : ["node"] as const) {
      const closed = Promise.withResolvers<void>();
      let accepted = 0;
      const server = createServer((socket) => {
        accepted++;
        socket.on("error", () => {}).on("close", () => closed.resolve()).resume();
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      // cast: the address of a TCP server is an object
      const { port } = server.address() as { port: number };
      // on a busy machine a dial may time out before the server has seen it; the test then tries a longer timeout
      for (let timeout = 50; accepted === 0; timeout *= 2) {
        await assertRejects(() => connectNats({ servers: `127.0.0.1:${port}`, timeout }, { transport }), CatgaError);
      }
      await closed.promise;
      await new Promise<void>((resolve) => server.close(() => resolve()));
    }
  });

  it("connectNats: connects with either driver", async () => {
    await using server = await startNatsServer({ jetstream: false });
    for (const transport of "Deno" in globalThis ? ["deno", "node"] as const : ["node"] as const) {
      const { connection } = await connectNats(server.url, { transport });
      await connection.flush();
      await connection.close();
    }
  });

  it("connectNats: reconnects although its credentials are refused for a while", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const { connection } = await connectNats({ servers: server.url, user: "me", pass: "old", reconnectTimeWait: 20 });
    await server.kill("SIGKILL");
    const other = await startNatsServer({
      jetstream: false,
      port: server.port,
      args: ["--user", "me", "--pass", "new"],
    });
    let refused = 0;
    const events = connection.status();
    const count = (async () => {
      for await (const event of events) if (event.type === "error") refused++;
    })();
    await eventually("three refusals", () => refused >= 3);
    assertEquals(connection.isClosed(), false);
    await other.stop();
    await using _again = await startNatsServer({ jetstream: false, port: server.port });
    await eventually("the connection", () => connection.rtt().then(() => true, () => false));
    await connection.close();
    await count;
  });
});

/**
 * Starts a server on a free port that calls itself nats-server 2.9.0. `answer`: what the server sends back for a line
 * of the client; it sends no INFO if `answer("INFO")` is undefined.
 */
async function fakeServer(answer: (line: string) => string | void): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (data) => {
      for (const line of data.toString().split("\r\n")) socket.write(answer(line) ?? "");
    });
    const info = { server_id: "old", version: "2.9.0", proto: 1, max_payload: 1_048_576, headers: true };
    if (answer("INFO") !== undefined) socket.write(`INFO ${JSON.stringify(info)}\r\n`);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

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

import { execFile } from "node:child_process";
import { describe, it } from "node:test";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { requireNatsServer, startNatsCluster, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { assertEndsSoon } from "../../../test/support/ends_soon.ts";
import { eventually } from "../../../test/support/eventually.ts";
import type { TransportStatus } from "../../ports/transport.ts";
import { transportSuite } from "../../ports/transport_suite.ts";
import { connectNats } from "./connection.ts";
import { openTransport, reached, startTransportHarness } from "../harness_suite.ts";
import { NatsMessage, NatsTransport } from "./transport.ts";
import { headers, type Msg, type MsgHdrs, MsgHdrsImpl } from "@nats-io/nats-core/internal";

const required = await requireNatsServer();

if (!required.skip) transportSuite("NATS", startTransportHarness);

describe("NatsTransport", required, () => {
  it("onError: gets errors that a callback throws, and missing permissions", async () => {
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

  for (const [options, kind] of [[{}, "_INBOX.>"], [{ inboxPrefix: "_INBOX_me" }, "_INBOX_me.>"]] as const) {
    it(`onForbidden: gets all inboxes as ${kind}, whose names are random (they filled the log)`, async () => {
      const config = `authorization { users: [{ user: me, password: p, permissions: { subscribe: "ok.>" } }] }`;
      await using server = await startNatsServer({ config });
      const forbidden: string[] = [];
      const link = await connectNats({ servers: server.url, user: "me", pass: "p", ...options });
      const transport = new NatsTransport(link, {
        onForbidden: ({ operation, subject }) => forbidden.push(`${operation} ${subject}`),
      });
      for (let i = 0; i < 2; i++) await transport.connection.request("ok.1", "").catch(() => {});
      await transport.connection.requestMany("ok.1", "", { noMux: true, maxWait: 10 }).catch(() => {});
      transport.subscribe("_INBOXES.1", {}, () => {});
      await eventually("the last violation", () => forbidden.includes("subscribe _INBOXES.1"));
      assertEquals(new Set(forbidden), new Set([`subscribe ${kind}`, "subscribe _INBOXES.1"]));
      await transport.close();
    });
  }

  for (const queue of [undefined, "workers"]) {
    const what = queue === undefined ? "subscription" : "subscription of a queue";
    it(`subscribe: a ${what} that the server has ended for want of a permission goes on when that is back`, async () => {
      const config = (denied: string) =>
        `authorization { users: [
          { user: me, password: p, permissions: { subscribe: { deny: [${denied}] } } }, { user: other, password: p } ] }`;
      await using server = await startNatsServer({ jetstream: false, config: config("") });
      const [transport, other] = await Promise.all(
        ["me", "other"].map((user) => openTransport(`nats://${user}:p@127.0.0.1:${server.port}`)),
      );
      const got: string[] = [];
      const violations: string[] = [];
      transport.onViolation(({ subject }) => violations.push(subject));
      transport.subscribe("orders.*", { queue }, ({ subject }) => got.push(subject));
      transport.subscribe("calls", { optional: true }, ({ subject }) => got.push(subject));
      const closed = transport.subscribe("closed", {}, ({ subject }) => got.push(subject));
      await transport.flush();
      await server.configure(config('"orders.>", "closed", "calls"'));
      await eventually("the violations", () => violations.includes("orders.*") && violations.includes("closed"));
      closed.close();
      violations.length = 0;
      await eventually("a second attempt", () => violations.length > 0);
      await server.configure(config(""));
      await eventually("a message", () => {
        other.publish("closed", "");
        other.publish("orders.1", "");
        other.publish("calls", "");
        return got.includes("orders.1") && got.includes("calls");
      });
      await Promise.all([transport.close(), other.close()]);
      assertEquals(new Set(got), new Set(["orders.1", "calls"]));
      assertEquals(violations.includes("closed"), false);
    });
  }

  it("publish: a message that is published while disconnected is dropped, not sent later", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using proxy = await startTcpProxy(server.port);
    const [transport, other] = await Promise.all([openTransport(proxy.url), openTransport(server.url)]);
    const got: string[] = [];
    other.subscribe("cut.*", {}, (message) => got.push(message.subject));
    await other.flush();
    proxy.cut();
    await reached(transport, "disconnected");
    // messages are also published while nats.js dials: nats.js would keep them and send them after the reconnect
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

  it("close: with a connection of the user only the own subscriptions end", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const { connection } = await connectNats(server.url);
    const transport = new NatsTransport(await connectNats(connection));
    const changes: TransportStatus[] = [];
    transport.onStatus((status) => changes.push(status));
    const got: string[] = [];
    const own = connection.subscribe("shared", { callback: () => void got.push("the user's") });
    transport.subscribe("shared", {}, () => got.push("ours"));
    await transport.flush();
    await transport.close();
    assertEquals(changes.map((status) => status.state), ["closed"]);
    connection.publish("shared");
    await connection.flush();
    assertEquals(got, ["the user's"]);
    assertEquals([connection.isClosed(), own.isClosed()], [false, false]);
    await connection.close();
  });

  it("server: one of several is clustered, a lone one is not", async () => {
    await using server = await startNatsServer({ jetstream: false });
    await using cluster = await startNatsCluster(2);
    const [alone, one, other] = await Promise.all([server.url, ...cluster.urls].map((url) => openTransport(url)));
    assertEquals([alone.server.clustered, one.server.clustered, other.server.clustered], [false, true, true]);
    assert(one.server.id !== other.server.id);
    assertEquals(alone.server.clientAddress, "127.0.0.1");
    await Promise.all([alone, one, other].map((transport) => transport.close()));
  });

  for (const situation of ["connected", "disconnected"]) {
    it(`close: a process that closes while ${situation} ends by itself`, () =>
      assertEndsSoon(async () => {
        await using server = await startNatsServer();
        const script = fileURLToPath(new URL("../closing_process_suite.ts", import.meta.url));
        const run = "Deno" in globalThis ? ["run", "-A", script] : [script];
        const began = performance.now();
        const child = execFile(process.execPath, [...run, server.url, situation]);
        let output = "";
        child.stdout?.on("data", (data) => output += data);
        child.stderr?.on("data", (data) => output += data);
        const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
        await eventually("the process to connect", () => output.includes("up"));
        const start = performance.now() - began;
        if (situation === "disconnected") await server.kill("SIGKILL");
        await eventually("the process to close", () => output.includes("closed"));
        const closed = performance.now();
        assertEquals(await ended, 0, output);
        return { start, end: performance.now() - closed };
      }));
  }
});

/** Makes a message from the members of a nats.js message that Catga reads. */
function message(given: { data?: string; reply?: string; headers?: MsgHdrs }): NatsMessage {
  const data = new TextEncoder().encode(given.data);
  return new NatsMessage({ subject: "orders", reply: "", ...given, data } as unknown as Msg);
}

/** Reads headers from their text on the wire, as nats.js does. */
function read(text: string): MsgHdrs {
  return MsgHdrsImpl.decode(new TextEncoder().encode(text));
}

describe("NatsMessage", () => {
  it("gives the headers, each with its first value; undefined if there are none", () => {
    const given = headers();
    given.append("b", "1");
    given.append("b", "2");
    given.append("A", "");
    assertEquals(message({ headers: given }).headers, { b: "1", A: "" });
    assertEquals(message({ headers: headers() }).headers, undefined);
    assertEquals(message({}).headers, undefined);
  });

  it("has a reply subject only if there is one", () => {
    assertEquals(message({ reply: "_INBOX.1" }).reply, "_INBOX.1");
    assertEquals(message({ reply: "" }).reply, undefined);
  });

  it("is a bounce only as the server sends it: status 503 and no data", () => {
    const bounce = read("NATS/1.0 503\r\n\r\n");
    assertEquals(message({ headers: bounce }).noResponders, true);
    assertEquals(message({ headers: bounce, data: "x" }).noResponders, false);
    assertEquals(message({ headers: read("NATS/1.0 408 Request Timeout\r\n\r\n") }).noResponders, false);
    assertEquals(message({ headers: read("NATS/1.0\r\ncode: 503\r\n\r\n") }).noResponders, false);
    assertEquals(message({}).noResponders, false);
  });

  it("is no bounce if JetStream sends it: a message with status 503 that somebody stored", () => {
    const stored = read("NATS/1.0 503\r\nNats-Stream: KV_catga_default_cache\r\nNats-Sequence: 7\r\n\r\n");
    assertEquals(message({ headers: stored }).noResponders, false);
  });

  it("does not decode the headers before they are read", () => {
    let decoded = 0;
    const lazy = {
      subject: "orders",
      data: new Uint8Array(1),
      get headers() {
        decoded++;
        return undefined;
      },
    } as unknown as Msg; // cast: the only members that `NatsMessage` reads
    const { subject, data, noResponders } = new NatsMessage(lazy);
    assertEquals({ subject, size: data.length, noResponders, decoded }, {
      subject: "orders",
      size: 1,
      noResponders: false,
      decoded: 0,
    });
  });
});

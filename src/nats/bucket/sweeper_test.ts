import { assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { eventually } from "../../../test/support/eventually.ts";
import { Standstill } from "../../../test/support/standstill.ts";
import { OVERDUE } from "../../../test/support/store_check.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { startTcpProxy, type TcpProxy } from "../../../test/processes/tcp_proxy.ts";
import { openTransport, reached, startClient, withBody } from "../harness_suite.ts";
import { connectNats } from "../connection/connection.ts";
import { NatsKeyValueStore } from "./key_value_store.ts";
import { NatsTransport } from "../connection/transport.ts";
import { PATIENT } from "../../../test/support/patient.ts";

const HOUR = 3_600_000;
/** Ttl of the entry with which a node takes its first turn as the sweeper, in ms. */
const TURN = 2_000;
/** Users of the server. A client without a name is `any`; `blind` can read keys that it names, but cannot list keys. */
const USERS = `
no_auth_user: any
authorization { users = [
  { user: any, password: x }
  { user: blind, password: x, permissions: { publish: { deny: "$JS.API.CONSUMER.CREATE.>" } } }
] }`;
const slow = { timeout: 300_000 };

describe("Sweeper", await requireNatsServer(), () => {
  it("removes the entry of its turn, whose ttl a server may forget as well", async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using other = await startClient({ server });
    const writes: string[] = [];
    const erased: number[] = [];
    const { connection } = other.transport;
    connection.subscribe("$KV.test.>", { callback: (_, { subject }) => void writes.push(subject) });
    connection.subscribe("$JS.API.STREAM.MSG.DELETE.KV_test", {
      callback: (_, message) => void erased.push(message.json<{ seq: number }>().seq),
    });
    await using client = await startClient({ server, nats: proxy.url });
    await reconnect(client.transport, proxy);
    await eventually("its turn, and the end of that", () => erased.length > 0);
    assertEquals(writes, ["$KV.test.=sweep"]);
    const left = await connection.request(
      "$JS.API.STREAM.MSG.GET.KV_test",
      JSON.stringify({ seq: erased[0] }),
      PATIENT,
    );
    assertEquals(left.json<{ error?: { err_code: number } }>().error?.err_code, 10037);
  });

  it("removes a marker whose ttl a server has forgotten", slow, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using client = await startClient({ server, nats: proxy.url });
    await using other = await startClient({ server });
    keepMarkers(client.transport);
    await client.bucket.put("removed", "");
    await client.bucket.delete("removed");
    await client.bucket.put("stays", "");
    assertEquals(await messagesIn(other.transport), 2);
    await reconnect(client.transport, proxy);
    await eventually("no marker to be left", async () => await messagesIn(other.transport) === 1);
    assertEquals((await other.bucket.entries("")).map(({ key }) => key), ["stays"]);
  });

  for (const [where, user] of [["the next sweep is an hour away", "any"], ["it may not list the bucket", "blind"]]) {
    it(`removes it at the end of its ttl where ${where}`, slow, async () => {
      await using server = await startNatsServer({ config: USERS });
      await using proxy = await startTcpProxy(server.port);
      await using other = await startClient({ server });
      const turns: number[] = [];
      other.transport.connection.subscribe("$KV.test.=sweep", { callback: () => void turns.push(performance.now()) });
      await using client = await startClient({ server, nats: proxy.url.replace("//", `//${user}:x@`) });
      loseTtl(client.transport);
      await client.bucket.put("stays", "", { ttl: HOUR });
      await reconnect(client.transport, proxy);
      await using still = await Standstill.watch([server.url]);
      await eventually("its turn", () => turns.length > 0);
      await eventually("the end of that", async () => !await turnIn(other.transport));
      assertLess(performance.now() - turns[0] - still.ms, TURN + OVERDUE);
      assertEquals(turns.length, 1);
      assertEquals((await other.bucket.entries("")).map(({ key }) => key), ["stays"]);
    });
  }

  it("asks again if it gets no answer, as a bucket is opened, about an interrupted sweep (it did not)", async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    const { connection } = transport;
    const request = connection.request.bind(connection);
    let asked = 0;
    connection.request = async (subject, data, options) => {
      const answer = await request(subject, data, options);
      if (typeof data !== "string" || !data.includes("subjects_filter") || asked++ > 0) return answer;
      const error = { code: 503, err_code: 10008, description: "JetStream system temporarily unavailable" };
      return Object.create(answer, { json: { value: () => ({ error }) } });
    };
    await new NatsKeyValueStore(transport).open("test");
    await eventually("the second request", () => asked === 2);
    await transport.close();
  });

  it("says once a minute that it cannot sweep, although it tries more often", slow, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    const transport = new NatsTransport(await connectNats(proxy.url), { onError: () => {} });
    const notices: string[] = [];
    const store = new NatsKeyValueStore(transport, { onNotice: (notice) => notices.push(notice) });
    await store.open("test");
    const { connection } = transport;
    const request = connection.request.bind(connection);
    let sweeps = 0;
    connection.request = (subject, data, options) => {
      if (subject !== "$JS.API.STREAM.INFO.KV_test") return request(subject, data, options);
      sweeps++;
      return Promise.reject(new Error("JetStream is off"));
    };
    await reconnect(transport, proxy);
    await eventually("three attempts", () => sweeps === 3);
    await transport.close();
    assertEquals(notices, ["KV_test could not be swept of expired entries, retrying: JetStream is off"]);
  });

  it("sweeps soon again where that removal fails", slow, async () => {
    await using server = await startNatsServer();
    await using proxy = await startTcpProxy(server.port);
    await using client = await startClient({ server, nats: proxy.url });
    const said = tell(client.transport, { failing: 1 });
    await client.bucket.put("stays", "", { ttl: HOUR });
    await reconnect(client.transport, proxy);
    await eventually("two turns, and their ends", () => said.length === 4);
    assertEquals(said, ["turn", "end", "turn", "end"]);
  });
});

async function reconnect(transport: NatsTransport, proxy: TcpProxy): Promise<void> {
  proxy.cut();
  await reached(transport, "disconnected");
  proxy.restore();
  await reached(transport, "connected");
}

/** Returns true if the server has the entry that names the client whose turn it is to sweep. */
function turnIn({ connection }: NatsTransport): Promise<boolean> {
  const last = JSON.stringify({ last_by_subj: "$KV.test.=sweep" });
  return connection.request("$JS.API.STREAM.MSG.GET.KV_test", last, PATIENT).then((answer) =>
    "message" in answer.json<object>()
  );
}

async function messagesIn({ connection }: NatsTransport): Promise<number> {
  const info = await connection.request("$JS.API.STREAM.INFO.KV_test", "", PATIENT);
  return info.json<{ state: { messages: number } }>().state.messages;
}

/**
 * Makes a server seem to forget the ttl of markers: they get a ttl of an hour, and the server's time is two hours
 * ahead.
 */
function keepMarkers({ connection }: NatsTransport): void {
  const request = connection.request.bind(connection);
  connection.request = async (subject, data, options) => {
    if (options?.headers?.has("KV-Operation")) options.headers.set("Nats-TTL", `${HOUR / 1_000}s`);
    const answer = await request(subject, data, options);
    if (subject !== "$JS.API.STREAM.INFO.KV_test") return answer;
    const info = answer.json<{ ts: string }>();
    return withBody(answer, { ...info, ts: new Date(Date.parse(info.ts) + 2 * HOUR).toISOString() });
  };
}

/** Makes a server seem to forget the ttl of the entries of sweepers' turns: the ttl is left out of the request. */
function loseTtl({ connection }: NatsTransport): void {
  const request = connection.request.bind(connection);
  connection.request = (subject, data, options) => {
    if (subject.endsWith(".=sweep")) options?.headers?.delete("Nats-TTL");
    return request(subject, data, options);
  };
}

/**
 * Returns a list to which each beginning (`turn`) and each end (`end`) of the sweeper's turns is added as it happens.
 * The first `failing` ends do not reach the server.
 */
function tell({ connection }: NatsTransport, options: { failing: number }): string[] {
  const said: string[] = [];
  const request = connection.request.bind(connection);
  let { failing } = options;
  connection.request = (subject, data, options) => {
    const erased = subject === "$JS.API.STREAM.MSG.DELETE.KV_test";
    if (subject.endsWith(".=sweep")) said.push("turn");
    if (erased) said.push("end");
    return erased && failing-- > 0 ? Promise.reject(new Error("no way there")) : request(subject, data, options);
  };
  return said;
}

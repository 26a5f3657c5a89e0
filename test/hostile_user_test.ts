/** A hostile node with the permissions of docs/security.md: what it cannot do to others, and what it can. */
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { catga, type CatgaOptions, command, event } from "../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { bucketSettings } from "../src/nats/bucket_stream.ts";
import { eventually } from "./support/eventually.ts";
import { runSetup } from "./support/run_setup.ts";
import { PATIENT } from "./support/patient.ts";

const Pay = command<number, string>("Pay");
const Paid = event<number>("Paid");
const Kept = event<number>("Kept", { durable: true });
const BUCKETS = ["nodes", "locks", "idempotency", "cache"];

const CONFIG = await readFile(new URL("../docs/nats.conf", import.meta.url), "utf8");
const BLOCK = /( {4}\{\n {6}user: orders-1,[\s\S]*?\n {4}\}\n)/.exec(CONFIG)![1];

/**
 * The page's users, `mallory` with the permissions of `orders-1` (and one event), `trusted` with these and direct gets,
 * one who may everything, and more.
 */
async function stage(more = ""): Promise<NatsServer> {
  const mallory = BLOCK.replaceAll("orders-1", "mallory")
    .replace(/"catga\.default\.event\.>" {20,}# publish\n/, '"catga.default.event.Other"\n');
  assert(mallory.includes("event.Other"));
  const trusted = mallory.replaceAll("mallory", "trusted")
    .replace("publish: { allow: [", (begin) => `${begin} "$JS.API.DIRECT.GET.>"`);
  const config = CONFIG.replace(
    BLOCK,
    () => `${BLOCK}${mallory}${trusted}    { user: admin, password: admin }\n${more}`,
  );
  const server = await startNatsServer({ config });
  await runSetup(server.url, CONFIG);
  return server;
}

const address = (server: NatsServer, user: string) => ({
  servers: server.url,
  user,
  pass: user === "admin" ? "admin" : `a secret of ${user}`,
  ...(user === "admin" ? {} : { inboxPrefix: `_INBOX_${user}` }),
});

/** A connection, and the operations that NATS refused it. */
async function client(server: NatsServer, user: string) {
  const connection = await connect(address(server, user));
  const refused: string[] = [];
  (async () => {
    for await (const status of connection.status()) if (status.type === "error") refused.push(status.error.message);
  })();
  return { connection, refused, [Symbol.asyncDispose]: () => connection.close() };
}

const start = (server: NatsServer, id: string, options: CatgaOptions = {}) =>
  catga({ nats: address(server, id), id, service: id, logger: SILENT, ...options });

const api = async (connection: NatsConnection, name: string, body: unknown) =>
  (await connection.request(`$JS.API.${name}`, body === undefined ? "" : JSON.stringify(body), PATIENT)).json<
    { error?: { description: string }; config?: unknown; state: { messages: number } }
  >();

describe("a node with the permissions of docs/nats.conf", await requireNatsServer(), () => {
  it("cannot have JetStream send a frame or an event in another's name, with direct gets or without", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    const ran: number[] = [];
    const heard: number[] = [];
    const handlers = [Pay.handle((n) => String(ran.push(n))), Paid.on((n) => void heard.push(n))];
    await using victim = await start(server, "orders-1", { handlers });
    await using other = await start(server, "gateway-1");
    await using trusted = await client(server, "trusted");
    const { connection } = trusted;
    const frames = `catga.default.node.${victim.self.endpoint}.${other.self.endpoint}`;
    const forged = `[1,5000,${Date.now()},["q","Pay",60000,666]]`;
    const event = `[1,"${other.self.endpoint}",${Date.now()},{"seq":1},666]`;
    await connection.request("$KV.catga_default_cache.frame", forged, PATIENT);
    await connection.request("$KV.catga_default_cache.event", event, PATIENT);
    // a direct get answers with the bytes that are stored, on whatever subject it is asked to
    const get = "$JS.API.DIRECT.GET.KV_catga_default_cache.$KV.catga_default_cache";
    connection.publish(`${get}.frame`, "", { reply: frames });
    connection.publish(`${get}.event`, "", { reply: "catga.default.event.Paid" });
    // and a consumer delivers to whatever subject its maker names
    for (const [name, record, deliver_subject] of [["c1", forged, frames], ["c2", event, "catga.default.event.Paid"]]) {
      const filter_subject = `$KV.catga_default_nodes.${name}`;
      await connection.request(filter_subject, record, PATIENT);
      const config = { name, filter_subject, deliver_subject, deliver_policy: "all", ack_policy: "none" };
      const stream_name = "KV_catga_default_nodes";
      const body = { stream_name, config, action: "create" };
      assertEquals(
        (await api(connection, `CONSUMER.CREATE.${stream_name}.${name}.${filter_subject}`, body)).error,
        undefined,
      );
    }
    // a valid message arrives after it
    for (let n = 0; n < 100; n++) {
      await other.publish(Paid, n);
      assertEquals((await other.send(Pay, n)).ok, true);
    }
    await eventually("the events", () => heard.length >= 100);
    assertEquals([ran.includes(666), heard.includes(666)], [false, false]);
  });

  it("cannot write by the `reply` of its own message: neither answer another node's request, nor delete a bucket", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    const began = Promise.withResolvers<void>();
    const end = Promise.withResolvers<void>();
    const handlers = Pay.handle(async (n) => (began.resolve(), await end.promise, `paid ${n}`));
    await using victim = await start(server, "orders-1", { handlers });
    await using payer = await start(server, "gateway-1");
    await eventually("both", () => payer.nodes().length === 2);
    const paid = payer.send(Pay, 1, { timeout: 60_000 });
    await began.promise;
    await using mallory = await client(server, "mallory");
    const { connection, refused } = mallory;
    const frames = `catga.default.node.${payer.self.endpoint}.${victim.self.endpoint}`;
    const request = "$JS.API.STREAM.DELETE.KV_catga_default_locks";
    const heard: (string | undefined)[] = [];
    connection.subscribe("catga.default.event.Other", { callback: (_, { reply }) => void heard.push(reply) });
    for (const reply of [frames, request]) connection.publish("catga.default.event.Other", "", { reply });
    await eventually("its messages", () => heard.length === 2);
    const guesses = Array.from({ length: 60 }, (_, n) => ["r", n + 1, 0, "forged"]);
    connection.publish(frames, JSON.stringify([1, 5_000, Date.now(), ...guesses]));
    connection.publish(request);
    await eventually("the refusals", () => [frames, request].every((to) => refused.some((line) => line.includes(to))));
    end.resolve();
    assertEquals((await paid).value, "paid 1");
  });

  it(
    "may request of JetStream neither to make, change or delete a stream, nor to name or end others' consumers",
    { timeout: 300_000 },
    async () => {
      await using server = await stage();
      await using mallory = await client(server, "mallory");
      const { connection, refused } = mallory;
      const operations = BUCKETS.flatMap((kind) => {
        const stream = `KV_catga_default_${kind}`;
        return [
          ...["STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.SNAPSHOT", "STREAM.RESTORE"],
          ...["STREAM.MSG.DELETE", "CONSUMER.NAMES", "CONSUMER.LIST", "CONSUMER.DURABLE.CREATE", "CONSUMER.PAUSE"],
          ...["STREAM.LEADER.STEPDOWN", "STREAM.PEER.REMOVE", "CONSUMER.MSG.NEXT", "CONSUMER.LEADER.STEPDOWN"],
        ].map((operation) => `$JS.API.${operation}.${stream}${/^CONSUMER.(?!NAMES|LIST)/.test(operation) ? ".x" : ""}`);
      });
      const granted = (subject: string) => BLOCK.includes(`"${subject}"`);
      // it erases what `$KV` erases as well
      const erasing = BUCKETS.map((kind) => `$JS.API.STREAM.MSG.DELETE.KV_catga_default_${kind}`);
      assertEquals(operations.filter(granted).filter((subject) => !erasing.includes(subject)), []);
      for (
        const subject of [
          ...operations.filter((subject) => !granted(subject)),
          "$JS.API.STREAM.CREATE.evil",
          "$JS.API.INFO",
        ]
      ) {
        const error = await connection.request(subject, "{}", PATIENT).then(() => undefined, (error) => error);
        assertMatch(String(error?.message), /Permissions Violation/i, subject);
      }
      assertGreater(refused.length, 0);
    },
  );

  it("can write to a bucket only by plain writes to one key", { timeout: 300_000 }, async () => {
    await using server = await stage();
    await using mallory = await client(server, "mallory");
    for (
      const [name, value] of [
        ["Nats-Schedule", "@at 2030-01-01T00:00:00Z"],
        ["Nats-Batch-Id", "b"],
        ["Nats-Incr", "+1"],
      ]
    ) {
      const made = headers();
      made.set(name, value);
      if (name === "Nats-Schedule") made.set("Nats-Schedule-Target", "$KV.catga_default_nodes.x");
      if (name === "Nats-Batch-Id") made.set("Nats-Batch-Sequence", "1");
      const answer = await mallory.connection.request("$KV.catga_default_nodes.k", "v", {
        ...PATIENT,
        headers: made,
      });
      assert(answer.json<{ error?: unknown }>().error !== undefined, `${name} was taken`);
    }
    // an id of its own makes no write of another vanish: nodes write without one
    const made = headers();
    made.set("Nats-Msg-Id", "1");
    await mallory.connection.request("$KV.catga_default_cache.mine", "v", { ...PATIENT, headers: made });
    await using app = await start(server, "orders-1");
    await app.cache.set("mine", 1);
    assertEquals(await app.cache.get("mine"), 1);
  });

  it("can erase a bucket that it may write: nodes write their records again, a lock is lost, tokens still grow", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    await using app = await start(server, "orders-1");
    await using other = await start(server, "gateway-1");
    await eventually("both", () => app.nodes().length === 2 && other.nodes().length === 2);
    const lock = await app.lock("k", { ttl: 3_000 });
    await using mallory = await client(server, "mallory");
    for (const kind of ["nodes", "locks"]) {
      const made = headers();
      made.set("Nats-Rollup", "all");
      await mallory.connection.request(`$KV.catga_default_${kind}.x`, "", { ...PATIENT, headers: made });
    }
    await eventually("the lock to be lost", () => lock.signal.aborted);
    await using next = await app.lock("k");
    assertGreater(next.token, lock.token);
    await eventually("both again", () => app.nodes().length === 2 && other.nodes().length === 2);
  });

  it(
    "can write garbage into the log, and among commits, requests and what is parked: what others publish is handled all the same",
    {
      timeout: 300_000,
    },
    async () => {
      await using server = await stage();
      const handled: number[] = [];
      const handlers = Kept.on((n) => void handled.push(n), { name: "kept" });
      await using app = await start(server, "orders-1", { handlers });
      await app.publish(Kept, 1);
      await eventually("the first", () => handled.includes(1));
      await using mallory = await client(server, "mallory");
      const { connection, refused } = mallory;
      const write = (subject: string, data: string) => connection.request(subject, data, PATIENT);
      const key = "orders-1.kept";
      for (const garbage of ["", "{", "[]", "null", '[1,"x.y",0,0,0]', '[1,"x.y",0,0,0,{}]', "x".repeat(100_000)]) {
        await write("catga.default.log.Kept", garbage);
        await write(`catga.default.sub.park.${key}.${2 ** 50 + garbage.length}-1`, garbage);
        await write(`catga.default.sub.req.${key}.r${garbage.length}`, garbage);
        await write(`catga.default.sub.rec.${key}`, garbage);
      }
      assertEquals(refused, []);
      await app.publish(Kept, 2);
      await eventually("the second", () => handled.includes(2));
      const dead = async () => (await app.subscriptions()).find(({ name }) => name === "kept")?.dead ?? 0;
      await eventually("what cannot be read is a dead letter", async () => await dead() > 0);
    },
  );

  it("cannot fill a subscription with JetStream's answers, by which it would stop", { timeout: 300_000 }, async () => {
    await using server = await stage();
    const handled: number[] = [];
    await using app = await start(server, "orders-1", {
      handlers: Kept.on((n) => void handled.push(n), { name: "kept" }),
    });
    await using mallory = await client(server, "mallory");
    const reply = "catga.default.log.Kept";
    for (let n = 0; n < 20; n++) {
      mallory.connection.publish("$JS.API.STREAM.INFO.KV_catga_default_nodes", "", { reply });
      mallory.connection.publish("$KV.catga_default_nodes.x", "x", { reply });
    }
    await using admin = await client(server, "admin");
    const stored = async () => (await api(admin.connection, "STREAM.INFO.catga_default_log", {})).state.messages;
    await eventually("the answers", async () => await stored() === 40);
    assertEquals((await app.publish(Kept, 7)).ok, true);
    await eventually("the event", () => handled.includes(7));
    await eventually("nothing to be open", async () => (await app.subscriptions()).every(({ open }) => open === 0));
    assertEquals((await app.subscriptions()).map(({ dead }) => dead), [0]);
  });

  it(
    "can have JetStream's answers sent to any subject of the account, so write to any stream, and with direct gets use its API",
    {
      timeout: 300_000,
    },
    async () => {
      await using server = await stage();
      await using admin = await client(server, "admin");
      const settings = bucketSettings("foreign", { direct: false, replicas: 1 });
      const made = await api(admin.connection, "STREAM.CREATE.KV_foreign", { name: "KV_foreign", ...settings });
      assertEquals(made.error, undefined);
      await using mallory = await client(server, "mallory");
      mallory.connection.publish("$JS.API.STREAM.INFO.KV_catga_default_nodes", "", { reply: "$KV.foreign.a" });
      mallory.connection.publish("$KV.catga_default_cache.x", "", { reply: "$KV.foreign.b" });
      const written = async () => (await api(admin.connection, "STREAM.INFO.KV_foreign", {})).state.messages;
      await eventually("both answers", async () => await written() === 2);
      // a direct get, which only somebody trusted may request, sends what it stored, as it is: with headers
      await using trusted = await client(server, "trusted");
      const erasing = headers();
      erasing.set("Nats-Rollup", "all");
      await mallory.connection.request("$KV.catga_default_cache.copied", "mine", { ...PATIENT, headers: erasing });
      const get = "$JS.API.DIRECT.GET.KV_catga_default_cache.$KV.catga_default_cache";
      trusted.connection.publish(`${get}.copied`, "", { reply: "$KV.foreign.c" });
      await eventually("the copy, in place of all else", async () => await written() === 1);
      // the acknowledgement of a write is no valid request of the API: it has members that are unknown there
      for (const request of ["PURGE", "MSG.DELETE", "DELETE"]) {
        mallory.connection.publish("$KV.catga_default_cache.x", "", { reply: `$JS.API.STREAM.${request}.KV_foreign` });
      }
      mallory.connection.publish("$KV.catga_default_cache.x", "", { reply: "$KV.foreign.d" });
      await eventually("the acknowledgement that was sent last", async () => await written() === 2);
      const missing = await api(admin.connection, "STREAM.DELETE.none", undefined);
      assertEquals([missing.error?.description, await written()], ["stream not found", 2]);
      mallory.connection.publish(`${get}.nothing`, "", { reply: "$JS.API.STREAM.DELETE.KV_foreign" });
      await eventually("the refusal", () => mallory.refused.some((line) => line.includes(`${get}.nothing`)));
      // what a direct get sends can be a request: without a body, or with one that was stored
      await mallory.connection.request("$KV.catga_default_cache.y", '{"name":"evil","subjects":["evil"]}', PATIENT);
      trusted.connection.publish(`${get}.y`, "", { reply: "$JS.API.STREAM.CREATE.evil" });
      trusted.connection.publish(`${get}.nothing`, "", { reply: "$JS.API.STREAM.DELETE.KV_foreign" });
      const error = async (stream: string) => (await api(admin.connection, `STREAM.INFO.${stream}`, {})).error;
      await eventually("the stream that it makes", async () => await error("evil") === undefined);
      await eventually("the stream that it deletes", async () => await error("KV_foreign") !== undefined);
    },
  );

  it("can write under every name of the log, and erase it, with a permission for one name: by headers of JetStream", {
    timeout: 300_000,
  }, async () => {
    const lines = `"catga.default.log.Other", "$JS.API.STREAM.INFO.catga_default_log"`;
    await using server = await stage(
      `{ user: one, password: "a secret of one", permissions: { publish: { allow: [${lines}] }, subscribe: { allow: ["_INBOX_one.>"] } } }\n`,
    );
    const handled: number[] = [];
    await using app = await start(server, "orders-1", {
      handlers: Kept.on((n) => void handled.push(n), { name: "kept" }),
    });
    assertEquals((await app.publish(Kept, 1)).ok, true);
    await using mallory = await client(server, "one");
    const write = async (data: string, given: Record<string, string>) => {
      const made = headers();
      for (const [name, value] of Object.entries(given)) made.set(name, value);
      const options = { ...PATIENT, headers: made };
      const answer = await mallory.connection.request("catga.default.log.Other", data, options);
      assertEquals(answer.json<{ error?: unknown }>().error, undefined);
    };
    const target = "catga.default.log.Kept";
    await write('[1,"one.x",0,0,0,[666]]', {
      "Nats-Schedule": "@at 2020-01-01T00:00:00Z",
      "Nats-Schedule-Target": target,
    });
    await eventually("the event of another name", () => handled.includes(666));
    await write("", { "Nats-Rollup": "all" });
    await using admin = await client(server, "admin");
    assertEquals((await api(admin.connection, "STREAM.INFO.catga_default_log", {})).state.messages, 1);
    assertEquals(mallory.refused, []);
  });

  it("cannot have a consumer's heartbeats, or what a stream publishes, run a command that plain clients may call", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    await using admin = await client(server, "admin");
    const ran: unknown[] = [];
    const said: string[] = [];
    await using _app = await start(server, "orders-1", {
      handlers: Pay.handle((n) => String(ran.push(n))),
      logger: { ...SILENT, warn: (text) => void said.push(text) },
    });
    await using mallory = await client(server, "mallory");
    const [name, stream_name] = ["beats", "KV_catga_default_nodes"];
    const config = {
      ...{ name, filter_subject: "$KV.catga_default_nodes.none", deliver_policy: "all", ack_policy: "none" },
      ...{ deliver_subject: "catga.default.call.Pay", deliver_group: "q", idle_heartbeat: 100_000_000 },
    };
    const request = `CONSUMER.CREATE.${stream_name}.${name}.${config.filter_subject}`;
    assertEquals((await api(mallory.connection, request, { stream_name, config, action: "create" })).error, undefined);
    const dropped = () => said.some((text) => text.includes("call.Pay: a stream or a consumer of JetStream sent it"));
    await eventually("the heartbeats", dropped);
    const republish = { src: "own", dest: "catga.default.call.Pay" };
    await api(admin.connection, "STREAM.CREATE.own", { name: "own", subjects: ["own"], republish });
    await admin.connection.request("own", "666", PATIENT);
    admin.connection.publish("catga.default.call.Pay", "7");
    await eventually("a client's request", () => ran.includes(7));
    assertEquals(ran, [7]);
  });

  it("can neither erase nor schedule among entities that it may append to", { timeout: 300_000 }, async () => {
    await using server = await stage(
      `{ user: one, password: "a secret of one", permissions: { publish: { allow: ["catga.default.entity.Cart.*"] }, subscribe: { allow: ["_INBOX_one.>"] } } }\n`,
    );
    await using mallory = await client(server, "one");
    const write = async (given: Record<string, string>) => {
      const made = headers();
      for (const [name, value] of Object.entries(given)) made.set(name, value);
      const options = { ...PATIENT, headers: made };
      const answer = await mallory.connection.request("catga.default.entity.Cart.c", "x", options);
      return answer.json<{ error?: { description: string } }>().error?.description;
    };
    assertEquals(await write({}), undefined);
    for (const rollup of ["sub", "all"]) assertEquals(await write({ "Nats-Rollup": rollup }), "rollup not permitted");
    assertEquals(await write({ "Nats-TTL": "1s" }), "per-message TTL is disabled");
    const schedule = {
      "Nats-Schedule": "@at 2020-01-01T00:00:00Z",
      "Nats-Schedule-Target": "catga.default.entity.Cart.d",
    };
    assertEquals(await write(schedule), "message schedules is disabled");
    assertEquals(await write({ "Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1" }), "atomic publish is disabled");
  });

  it("can erase another program's stream of one literal subject, by a consumer of a bucket that it may write to", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    await using admin = await client(server, "admin");
    for (const [name, subject] of [["LITERAL", "literal"], ["WILD", "wild.>"]]) {
      const settings = { name, subjects: [subject], allow_rollup_hdrs: true };
      assertEquals((await api(admin.connection, `STREAM.CREATE.${name}`, settings)).error, undefined);
      for (let n = 0; n < 3; n++) await admin.connection.request(subject.replace(">", "a"), "theirs", PATIENT);
    }
    const left = async (name: string) => (await api(admin.connection, `STREAM.INFO.${name}`, {})).state.messages;
    await using mallory = await client(server, "mallory");
    const erasing = headers();
    erasing.set("Nats-Rollup", "all");
    const filter_subject = "$KV.catga_default_locks.x";
    await mallory.connection.request(filter_subject, "", { ...PATIENT, headers: erasing });
    const stream_name = "KV_catga_default_locks";
    for (const [name, deliver_subject] of [["wild", "wild.b"], ["literal", "literal"]]) {
      const config = { name, filter_subject, deliver_subject, deliver_policy: "all", ack_policy: "none" };
      const request = `CONSUMER.CREATE.${stream_name}.${name}.${filter_subject}`;
      assertEquals(
        (await api(mallory.connection, request, { stream_name, config, action: "create" })).error,
        undefined,
      );
    }
    await eventually("the stream to be erased", async () => await left("LITERAL") === 1);
    assertEquals(await left("WILD"), 3);
  });

  it("could read all streams and write to them if it could create one: why only the operator can", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage(
      `{ user: maker, password: "a secret of maker", permissions: { publish: { allow: ["$JS.API.STREAM.CREATE.*", "own.>"] }, subscribe: { allow: ["_INBOX_maker.>"] } } }\n`,
    );
    const handled: number[] = [];
    const handlers = Kept.on((n) => void handled.push(n), { name: "kept" });
    await using app = await start(server, "orders-1", { handlers });
    assertEquals((await app.publish(Kept, 4711)).ok, true);
    await using admin = await client(server, "admin");
    await api(admin.connection, "STREAM.CREATE.foreign", { name: "foreign", subjects: ["foreign"] });
    await using maker = await client(server, "maker");
    const read: string[] = [];
    maker.connection.subscribe("_INBOX_maker.read.>", { callback: (_, message) => void read.push(message.string()) });
    const make = async (name: string, settings: object) =>
      assertEquals((await api(maker.connection, `STREAM.CREATE.${name}`, { name, ...settings })).error, undefined);
    await make("reads", {
      sources: [{ name: "catga_default_log" }],
      republish: { src: ">", dest: "_INBOX_maker.read.>" },
    });
    await eventually("the payload", () => read.some((text) => text.includes("4711")));
    for (const [name, dest] of [["log", "catga.default.log.Kept"], ["api", "$JS.API.STREAM.DELETE.foreign"]]) {
      await make(name, { subjects: [`own.${name}`], republish: { src: `own.${name}`, dest } });
    }
    await maker.connection.request("own.log", '[1,"maker.x",0,0,0,[666]]', PATIENT);
    await eventually("the event", () => handled.includes(666));
    await maker.connection.request("own.api", "", PATIENT);
    const gone = async () => (await api(admin.connection, "STREAM.INFO.foreign", {})).error !== undefined;
    await eventually("the stream to be deleted", gone);
    assertEquals(maker.refused, []);
  });

  it("can have neither a trace sent where it may not publish, nor an answer in place of an acknowledgement", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    await using mallory = await client(server, "mallory");
    const made = headers();
    made.set("Nats-Trace-Dest", "$KV.foreign.trace");
    mallory.connection.publish("catga.default.event.Other", "", { headers: made });
    const ack = "$JS.ACK.catga_default_log.audit.1.1.1.1.0";
    mallory.connection.publish("$JS.API.STREAM.INFO.catga_default_log", "", { reply: ack });
    const forbidden = ["$KV.foreign.trace", ack];
    const names = (subject: string) => mallory.refused.some((line) => line.includes(subject));
    await eventually(`both refusals: ${mallory.refused}`, () => forbidden.every(names));
  });
});

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

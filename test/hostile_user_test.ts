/** What protects a node from users with the permissions of docs/security.md, and from what JetStream publishes. */
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { catga, type CatgaOptions, command, event } from "../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
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
 * The page's users, `mallory` with the permissions of `orders-1`, one who may everything, and more.
 */
async function stage(more = ""): Promise<NatsServer> {
  const mallory = BLOCK.replaceAll("orders-1", "mallory");
  const config = CONFIG.replace(
    BLOCK,
    () => `${BLOCK}${mallory}    { user: admin, password: admin }\n${more}`,
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
  it("drops frames, events and plain requests that have the headers of a stream or of a consumer", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    const ran: number[] = [];
    const heard: number[] = [];
    const handlers = [Pay.handle((n) => String(ran.push(n))), Paid.on((n) => void heard.push(n))];
    await using victim = await start(server, "orders-1", { handlers });
    await using other = await start(server, "gateway-1");
    await using admin = await client(server, "admin");
    const publish = (subject: string, text: string, header: string) => {
      const made = headers();
      made.set(header, "other");
      admin.connection.publish(subject, text, { headers: made });
    };
    const to = `catga.default.node.${victim.self.endpoint}.${other.self.endpoint}`;
    for (const header of ["Nats-Stream", "Nats-Last-Stream"]) {
      publish(to, `[1,5000,${Date.now()},["q","Pay",60000,666]]`, header);
      publish("catga.default.event.Paid", `[1,"${other.self.endpoint}",${Date.now()},{"seq":1},666]`, header);
      publish("catga.default.call.Pay", "666", header);
    }
    // valid messages arrive after them
    for (let n = 0; n < 100; n++) {
      await other.publish(Paid, n);
      assertEquals((await other.send(Pay, n)).ok, true);
    }
    admin.connection.publish("catga.default.call.Pay", "7000");
    await eventually("a client's request", () => ran.includes(7_000));
    await eventually("the events", () => heard.length >= 100);
    assertEquals([ran.includes(666), heard.includes(666)], [false, false]);
  });

  it("can neither answer a request in another node's name, nor delete a bucket: NATS refuses it", {
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
    connection.publish(frames, JSON.stringify([1, 5_000, Date.now(), ["r", 1, 0, "another's"]]));
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

  it("notices that a bucket was emptied: nodes write their records again, a lock is lost, tokens still grow", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    await using app = await start(server, "orders-1");
    await using other = await start(server, "gateway-1");
    await eventually("both", () => app.nodes().length === 2 && other.nodes().length === 2);
    const lock = await app.lock("k", { ttl: 3_000 });
    await using admin = await client(server, "admin");
    for (const kind of ["nodes", "locks"]) {
      const purged = await api(admin.connection, `STREAM.PURGE.KV_catga_default_${kind}`, undefined);
      assertEquals(purged.error, undefined);
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
        await write(`catga.default.sub.set.${key}`, garbage);
        await write(`catga.default.sub.rec.${key}`, garbage);
      }
      assertEquals(refused, []);
      await app.publish(Kept, 2);
      await eventually("the second", () => handled.includes(2));
      const dead = async () => (await app.subscriptions()).find(({ name }) => name === "kept")?.dead ?? 0;
      await eventually("what cannot be read is a dead letter", async () => await dead() > 0);
    },
  );

  it("passes by answers of JetStream that stand in the log: they are no dead letters, and stop nothing", {
    timeout: 300_000,
  }, async () => {
    await using server = await stage();
    const handled: number[] = [];
    await using app = await start(server, "orders-1", {
      handlers: Kept.on((n) => void handled.push(n), { name: "kept" }),
    });
    await using mallory = await client(server, "mallory");
    for (let n = 0; n < 20; n++) {
      await mallory.connection.request("catga.default.log.Kept", '{"type":"io.nats.jetstream.api.v1.x"}', PATIENT);
      await mallory.connection.request("catga.default.log.Kept", `{"stream":"other","seq":${n}}`, PATIENT);
    }
    // in order: when this one is a dead letter, those before it have been passed by
    await mallory.connection.request("catga.default.log.Kept", "{", PATIENT);
    assertEquals((await app.publish(Kept, 7)).ok, true);
    await eventually("the event", () => handled.includes(7));
    const dead = async () => (await app.subscriptions()).map(({ dead }) => dead);
    await eventually("the unreadable message", async () => (await dead()).some((count) => count > 0));
    await eventually("nothing to be open", async () => (await app.subscriptions()).every(({ open }) => open === 0));
    assertEquals(await dead(), [1]);
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
});

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

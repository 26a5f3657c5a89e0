/**
 * Tests of plain NATS clients while nodes leave or die, on a real server, and while nodes are overloaded, on virtual
 * time.
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { catga, command, type Logger, query, type Schema } from "../../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { startNode } from "../../../test/processes/node_process.ts";
import { delay } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { PATIENT } from "../../../test/support/patient.ts";
import { unreadable } from "../../../test/support/unreadable.ts";
import { MemoryNetwork } from "../../testing/mod.ts";

const Work = command<number, string>("Work");
const Echo = query<unknown, unknown>("Echo");

describe("plain traffic", await requireNatsServer(), () => {
  let server: NatsServer;
  let client: NatsConnection;
  before(async () => {
    server = await startNatsServer();
    client = await connect({ servers: server.url });
  });
  after(async () => {
    await client?.close();
    await server?.stop();
  });

  /** Calls a contract in 16 loops until it is stopped, and counts the outcomes. */
  function traffic(namespace: string, name: string, body: () => string, options = PATIENT) {
    const outcomes = new Map<string, number>();
    let going = true;
    const loop = async () => {
      while (going) {
        const answer = await client.request(`catga.${namespace}.call.${name}`, body(), options)
          .then((reply) => reply.headers?.get("Catga-Error-Code") || "ok", (error: Error) => error.message);
        outcomes.set(answer, (outcomes.get(answer) ?? 0) + 1);
      }
    };
    const loops = Array.from({ length: 16 }, loop);
    return {
      count: (outcome: string) => outcomes.get(outcome) ?? 0,
      async stop() {
        going = false;
        await Promise.all(loops);
        return Object.fromEntries(outcomes);
      },
    };
  }

  it("a node that drains loses no request that has reached it", { timeout: 300_000 }, async () => {
    const work = Work.handle(async (ms, ctx) => {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return ctx.node;
    });
    const options = { nats: server.url, namespace: "drained", handlers: work };
    await using _b = await catga({ ...options, id: "b" });
    for (let round = 0; round < 5; round++) {
      // with a concurrency of 4, most calls are still queued on the leaving node when its drain begins
      const leaving = await catga({ ...options, id: "a", concurrency: 4 });
      const calls = traffic("drained", "Work", () => "2");
      await eventually("some calls", () => calls.count("ok") > 50);
      await leaving.drain();
      assertEquals(Object.keys(await calls.stop()), ["ok"]);
    }
  });

  it(
    "after kill -9 of one node of two, the other takes all requests; at most those under way at the dead one are lost",
    {
      timeout: 300_000,
    },
    async () => {
      const options = { namespace: "killed" };
      await using a = (await startNode("deno", server.url, "a", options)).program;
      await using _b = (await startNode("bun", server.url, "b", options)).program;
      const calls = traffic("killed", "Slow", () => '{"entry":"x","ms":5}', { timeout: 30_000 });
      await eventually("some calls", () => calls.count("ok") > 100);
      a.kill("SIGKILL");
      const before = calls.count("ok");
      await eventually("calls after the death", () => calls.count("ok") > before + 300);
      const { ok, timeout = 0, ...other } = await calls.stop();
      assertGreater(ok, 400);
      assertLess(timeout, 17);
      assertEquals(other, {});
    },
  );

  it("a schema that throws what cannot be read: the request is refused, and the node serves on (it ended)", async () => {
    const logged: string[] = [];
    const logger: Logger = { debug() {}, info() {}, warn() {}, error: (text) => logged.push(text) };
    const input: Schema<boolean> = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate(value) {
          if (value === true) return { value };
          throw unreadable();
        },
      },
    };
    const Strict = query<boolean, string>("Strict", { input });
    await using _app = await catga({
      ...{ nats: server.url, namespace: "unreadable", handlers: Strict.handle(() => "read"), logger },
    });
    const ask = (body: string) => client.request("catga.unreadable.call.Strict", body, PATIENT);
    assertEquals((await ask("false")).headers?.get("Catga-Error-Code"), "INVALID_MESSAGE");
    assertEquals((await ask("true")).json(), "read");
    assertEquals(logged.filter((line) => line.includes("the plain request Strict failed")).length, 1);
  });

  it("hostile bytes on each of its subjects change nothing", { timeout: 300_000 }, async () => {
    const logged: string[] = [];
    const logger: Logger = {
      debug() {},
      info() {},
      warn: (text) => logged.push(text),
      error: (text) => logged.push(text),
    };
    const handlers = Echo.handle((payload) => payload);
    await using app = await catga({ nats: server.url, namespace: "hostile", id: "h", service: "s", handlers, logger });
    const subjects = [
      "catga.hostile.call.Echo",
      ...["PING", "INFO", "STATS"].flatMap((verb) => ["", ".s", ".s.h"].map((whom) => `$SRV.${verb}${whom}`)),
    ];
    const replies = [
      "*",
      ">",
      "a b",
      "a..b",
      ".",
      "catga.hostile.node.x.1.y.1",
      "$JS.API.STREAM.LIST",
      "_INBOX.nobody",
    ];
    for (let n = 0; n < 2_000; n++) {
      const reply = replies[n % replies.length];
      const bytes = n % 3 === 0 ? new TextEncoder().encode("[".repeat(1 + n * 8)) : randomBytes(n % 200);
      // nats.js accepts any reply subject without spaces
      for (const subject of subjects) client.publish(subject, bytes, / /.test(reply) ? {} : { reply });
      // wait for an answer now and then: the server disconnects clients that let 64 MB wait, or any data for 10 s
      if (n % 100 === 99) assertEquals((await client.request("catga.hostile.call.Echo", `${n}`, PATIENT)).json(), n);
    }
    const answer = await client.request("catga.hostile.call.Echo", '{"__proto__":{"x":1}}', { timeout: 30_000 });
    assertEquals(answer.string(), '{"__proto__":{"x":1}}');
    const { endpoints: [{ num_requests }] } = (await client.request("$SRV.STATS.s.h", "", PATIENT)).json<
      { endpoints: { num_requests: number }[] }
    >();
    assertGreater(num_requests, 100);
    assertEquals(app.self.load.inFlight, 0);
    assertEquals(logged.filter((text) => !text.includes("malformed")), []);
  });

  it(
    "after a restart of the NATS server calls are answered, and the node is listed",
    { timeout: 300_000 },
    async () => {
      const first = await startNatsServer();
      const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} };
      await using _ = await catga({
        nats: first.url,
        id: "r",
        handlers: Echo.handle((payload) => payload),
        logger: quiet,
      });
      await first.stop();
      await using second = await startNatsServer({ port: first.port });
      const plain = await connect({ servers: second.url });
      const answers = (subject: string) =>
        plain.request(subject, "1", PATIENT).then((answer) => answer.string(), () => "");
      await eventually("a call", async () => await answers("catga.default.call.Echo") === "1");
      await eventually("a ping", async () => (await answers("$SRV.PING")).includes('"id":"r"'));
      await plain.close();
    },
  );

  it("1,000 contracts are served", { timeout: 300_000 }, async () => {
    const handlers = Array.from({ length: 1_000 }, (_, n) => query<void, number>(`Q${n}`).handle(() => n));
    await using _ = await catga({ nats: server.url, namespace: "many", handlers });
    const names = [0, 1, 500, 999];
    const answers = await Promise.all(names.map((n) => client.request(`catga.many.call.Q${n}`, "", PATIENT)));
    assertEquals(answers.map((answer) => answer.json()), names);
    const info = await client.request("$SRV.INFO.app", "", PATIENT);
    assertEquals(info.json<{ endpoints: unknown[] }>().endpoints.length, 1_000);
  });
});

describe("plain traffic, on virtual time", () => {
  it("an overloaded node passes its calls on to another, and refuses those that no node can run in time", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock, seed: 1 });
    const client = network.connect({ name: "plain" });
    const Slow = command<void, string>("Slow", { timeout: 1_000, retries: 1 });
    let running = 0;
    let most = 0;
    const slow = Slow.handle(async (_, ctx) => {
      most = Math.max(most, ++running);
      await delay(clock, 50);
      running--;
      return ctx.node;
    });
    let asked = 0;
    const call = () =>
      new Promise<string>((resolve) => {
        const reply = `_INBOX.${++asked}`;
        const subscription = client.subscribe(reply, {}, ({ data, headers = {} }) => {
          subscription.close();
          resolve(headers["Nats-Service-Error-Code"] ?? new TextDecoder().decode(data));
        });
        client.publish("catga.busy.call.Slow", "", { reply });
      });
    const calls = (count: number) => clock.until(Promise.all(Array.from({ length: count }, call)));
    const options = { network, namespace: "busy", handlers: slow };

    const a = await clock.until(catga({ ...options, id: "a", concurrency: 2 }));
    const first = await calls(300);
    const count = (answer: string) => first.filter((each) => each === answer).length;
    assertEquals(most, 2);
    // 20 calls can run in a second, and each call has two seconds
    assertEquals([count('"a"'), count("503")], [40, 260]);

    const b = await clock.until(catga({ ...options, id: "b", concurrency: 64 }));
    assertEquals([...new Set(await calls(64))].sort(), ['"a"', '"b"']);
    await clock.until(Promise.all([a.drain(), b.drain(), client.close()]));
  });
});

/** Tests of `catga setup`, with which an operator creates the buckets and streams of a namespace. */
import { connect } from "@nats-io/transport-node";
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { describe, it } from "node:test";
import { catga, command, event, unwrap } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { PATIENT } from "../../../test/support/patient.ts";

const Kept = event<number>("Kept", { durable: true });
const Once = command<void, string>("Once", { idempotent: true });

/** Starts a proxy that replaces the beginning of the subject by `start` in the first message to it. */
async function rewritingProxy(target: number, subject: string, start: string) {
  const proxy = { rewritten: 0 };
  const server = createServer((client) => {
    const upstream = createConnection(target, "127.0.0.1");
    client.on("data", (chunk: Buffer) => {
      const at = proxy.rewritten === 0 ? chunk.indexOf(`PUB ${subject} `) : -1;
      if (at >= 0) {
        proxy.rewritten++;
        chunk.write(start, at + "PUB ".length);
      }
      upstream.write(chunk);
    });
    upstream.pipe(client);
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      socket.on("error", () => other.destroy());
      socket.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(proxy, {
    url: `nats://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  });
}

const run = (...args: string[]) => cliHere(args);

const ALL = ["nodes", "locks", "idempotency", "cache", "snapshots", "log", "entities", "subscriptions"];

/** Configuration of a server on which the user `operator` may create buckets and the user `node` may not. */
const CONFIG = `
  jetstream {}
  authorization { users: [
    { user: operator, password: operator }
    { user: node, password: node, permissions: { publish: { deny: ["$JS.API.STREAM.CREATE.>"] }, subscribe: [">"] } }
  ] }`;

describe("catga setup", await requireNatsServer(), () => {
  it("makes all buckets and the log, checks them the second time; nodes that may not make them use them", async () => {
    await using server = await startNatsServer({ config: CONFIG });
    const setup = ["setup", "--nats", server.url, "--user", "operator", "--password", "operator"];
    const made = (word: string) => ALL.map((kind) => `${word} catga_default_${kind}\n`).join("");
    assertEquals(await run(...setup), { code: 0, out: made("made"), err: "" });
    assertEquals(await run(...setup), { code: 0, out: made("checked"), err: "" });
    const nats = { servers: server.url, user: "node", pass: "node" };
    await using app = await catga({ nats, id: "a", handlers: Once.handle(() => "done") });
    assertEquals(unwrap(await app.send(Once, undefined, { id: "1" })), "done");
    await using lock = await app.lock("k");
    assertEquals(await app.cache.set("k", lock.token, { fence: lock.token }), true);
    assertEquals((await app.publish(Kept, 1)).error, undefined);
  });

  it("makes only the buckets that are named; with --json one value for each", async () => {
    await using server = await startNatsServer();
    const setup = ["setup", "log", "locks", "nodes", "--nats", server.url, "--namespace", "shop", "--json"];
    const { code, out } = await run(...setup);
    assertEquals([code, out.trimEnd().split("\n").map((line) => JSON.parse(line))], [0, [
      { bucket: "catga_shop_nodes", done: "made" },
      { bucket: "catga_shop_locks", done: "made" },
      { stream: "catga_shop_log", done: "made" },
    ]]);
  });

  it("a bucket that nodes would refuse is reported with the reason, and the exit code is 1", async () => {
    await using server = await startNatsServer();
    const client = await connect({ servers: server.url });
    const [config] = (await run("setup", "nodes", "--print", "--json")).out.split("\n");
    const republish = { src: "$KV.catga_default_nodes.>", dest: "catga.default.node.>" };
    await client.request(
      "$JS.API.STREAM.CREATE.KV_catga_default_nodes",
      JSON.stringify({ ...JSON.parse(config), republish }),
      PATIENT,
    );
    await client.close();
    const { code, out, err } = await run("setup", "--nats", server.url);
    assertEquals(code, 1);
    assertEquals(out, ALL.slice(1).map((kind) => `made catga_default_${kind}\n`).join(""));
    assertMatch(err, /^BUCKET_MISMATCH: the bucket catga_default_nodes exists with republish /);
    const { err: other } = await run("setup", "--nats", server.url, "--replicas", "3");
    assertStringIncludes(
      other,
      "num_replicas 1; Catga needs 3: give `--replicas 1`, or change it, which keeps all entries",
    );
  });

  it("a log with settings that could lose messages is reported with the reason, and the exit code is 1", async () => {
    await using server = await startNatsServer();
    const client = await connect({ servers: server.url });
    const [config] = (await run("setup", "log", "--print", "--json")).out.split("\n");
    const wrong = JSON.stringify({ ...JSON.parse(config), max_msgs: 1_000 });
    await client.request("$JS.API.STREAM.CREATE.catga_default_log", wrong, PATIENT);
    await client.close();
    const { code, out, err } = await run("setup", "log", "--nats", server.url);
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /^LOG_MISMATCH: the stream catga_default_log exists with max_msgs 1000/);
  });

  it("--print: the printed commands make the same buckets", async () => {
    const { code, out } = await run("setup", "--print", "--namespace", "shop");
    assertEquals(code, 0);
    await using server = await startNatsServer();
    const client = await connect({ servers: server.url });
    const commands = [
      ...out.matchAll(/^cat > (\S+) <<'EOF'\n([\s\S]*?)\nEOF\nnats stream add (\S+) --config (\S+)\n/gm),
    ];
    assertEquals(commands.length, ALL.length);
    assertEquals(out, commands.map(([whole]) => whole).join(""));
    for (const [, written, config, stream, read] of commands) {
      assertEquals([written, read], [`${stream}.json`, `${stream}.json`]);
      const answer = await client.request(`$JS.API.STREAM.CREATE.${stream}`, config, PATIENT);
      assertEquals(answer.json<{ error?: unknown }>().error, undefined);
    }
    await client.close();
    const checked = await run("setup", "--namespace", "shop", "--nats", server.url);
    assertEquals(checked, { code: 0, out: ALL.map((kind) => `checked catga_shop_${kind}\n`).join(""), err: "" });
  });

  it("a bucket whose question whether it exists had no answer is made with its own settings", async () => {
    await using server = await startNatsServer();
    const client = await connect({ servers: server.url });
    // through the proxy, the first request of `setup` goes to another subject of the same length: a client listens on
    // that subject and never answers
    client.subscribe("$XX.API.STREAM.INFO.>");
    await client.flush();
    await using link = await rewritingProxy(server.port, "$JS.API.STREAM.INFO.KV_catga_default_cache", "$XX");
    const { code, err } = await run("setup", "cache", "--nats", link.url);
    assertEquals([code, err, link.rewritten], [0, "", 1]);
    const { config } = (await client.request("$JS.API.STREAM.INFO.KV_catga_default_cache", "", PATIENT))
      .json<{ config: Record<string, unknown> }>();
    const [printed] = (await run("setup", "cache", "--print", "--json")).out.split("\n");
    const { first_seq: _, ...wanted } = JSON.parse(printed);
    const asked = Object.fromEntries(Object.keys(wanted).map((name) => [name, config[name]]));
    assertEquals(asked, wanted);
    await client.close();
  });

  it("the name of an unknown bucket is wrong usage", async () => {
    const { code, err } = await run("setup", "lock");
    assertEquals(code, 2);
    assertStringIncludes(err, 'there is no bucket or stream "lock"; there are nodes, locks, idempotency, cache');
  });

  it("a node that may not make its missing bucket fails, and the error names `catga setup`", async () => {
    await using server = await startNatsServer({ config: CONFIG });
    const nats = { servers: server.url, user: "node", pass: "node" };
    const logger = { debug() {}, info() {}, warn() {}, error() {} };
    const error = await catga({ nats, id: "a", logger }).then(() => undefined, (error) => error);
    assertEquals(error?.code, "UNAVAILABLE");
    assertMatch(error.message, /^the bucket catga_default_nodes is missing, .* may not make it .*`catga setup`/);
    await run("setup", "nodes", "--nats", server.url, "--user", "operator", "--password", "operator");
    await using app = await catga({ nats, id: "a", logger });
    const lock = await app.lock("k").then(() => undefined, (error) => error);
    assertMatch(lock?.message, /^the bucket catga_default_locks is missing, /);
  });
});

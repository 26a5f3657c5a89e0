/** An earlier version of Catga in processes beside this one, on a real server: the promises of docs/upgrading.md. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Catga, catga, type Logger } from "../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { Add, Flood, Hang, Note, Record, Spoil, Told, Who } from "./processes/node_messages.ts";
import { OWN_RUNTIMES, startNode, startProgram } from "./processes/node_process.ts";
import { type OlderTree, olderTree, requireCommit } from "./processes/older_tree.ts";
import { Once, type OnceNodeOptions } from "./processes/once_node.ts";
import { RunLog } from "./processes/run_log.ts";
import { eventually } from "./support/eventually.ts";
import { PATIENT } from "./support/patient.ts";

/** The first commit with shared state, protocol 1. Nothing is released yet; from then on, releases take its place. */
const EARLIER = "360bf4ba2de063079b4ef90605069b2134a0ebbb";

/** A program for either tree: acquires a lock, prints that, and holds it until SIGTERM. */
const HOLDER = `
import process from "node:process";
import { catga } from "@catga/catga";
const [nats, id] = process.argv.slice(2);
const app = await catga({ nats, id, namespace: "locks", signals: true });
console.log(JSON.stringify({ event: "asks" }));
const lock = await app.lock("k", { ttl: 3_000, timeout: 60_000 });
console.log(JSON.stringify({ event: "holds", token: lock.token }));
setInterval(() => {}, 1_000);
`;
type HolderLine = { event: "asks" } | { event: "holds"; token: number };

const nats = await requireNatsServer();
const history = await requireCommit(EARLIER);

describe("an earlier version of Catga beside this one", nats.skip ? nats : history, () => {
  let server: NatsServer;
  let tree: OlderTree;
  let raw: NatsConnection;
  before(async () => {
    server = await startNatsServer();
    raw = await connect({ servers: server.url });
    tree = await olderTree(EARLIER);
    await writeFile(join(tree.root, "scripts", "holder.ts"), HOLDER);
  });
  after(async () => {
    await raw?.close();
    await tree?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const sees = (app: Catga, ...ids: string[]) =>
    eventually(
      `${app.self.id} to see ${ids}`,
      () => app.nodes().map(({ id }) => id).join() === ids.sort().join(),
    );

  for (const runtime of OWN_RUNTIMES) {
    it(
      `nodes of both versions send, publish and broadcast to each other: ${runtime}`,
      { timeout: 300_000 },
      async () => {
        await using log = await RunLog.open();
        const namespace = `mixed-${runtime}`;
        const heard: string[] = [];
        await using now = await catga({
          nats: server.url,
          namespace,
          id: "now",
          service: "now",
          handlers: [
            Add.handle(({ a, b }) => a + b),
            Note.handle(() => "now"),
            Told.on(({ entry }) => heard.push(entry)),
          ],
        });
        const old = await startNode(runtime, server.url, "old", { namespace, folder: log.folder }, tree);
        await using program = old.program;
        await sees(now, "now", "old");
        await eventually("the old one to see the new one", () => old.view().length === 2);
        assertEquals(now.nodes().map(({ protocol }) => protocol), [1, 1]);

        const sums = await now.sendAll(Add, Array.from({ length: 1_000 }, (_, a) => ({ a, b: 1 })), { node: "old" });
        assertEquals(sums.map(({ value }) => value), Array.from({ length: 1_000 }, (_, a) => a + 1));
        assertEquals((await now.send(Who, undefined)).value, { id: "old", runtime });
        assertEquals((await now.send(Record, { entry: "r" }, { id: "mine", headers: { x: "1" } })).value, "old");
        const codes = ["throw", "bigint", "too large"] as const;
        const errors = await Promise.all(codes.map((how) => now.send(Spoil, { entry: how, how })));
        assertEquals(errors.map(({ error }) => error?.code), ["HANDLER_FAILED", "INVALID_RESPONSE", "TOO_LARGE"]);
        const flood = await now.send(Flood, { to: "now", count: 1_000 }, { timeout: 100_000 });
        assertEquals(flood.value?.failures, 0);
        const notes = await now.broadcast(Note, { entry: "n" });
        assertEquals(notes.map(({ node, result }) => [node, result.value]), [["now", "now"], ["old", "old"]]);
        await now.publish(Told, { entry: "told" });
        await eventually("the event there", async () => (await log.runs("Told")).length === 1);
        await eventually("the event here", () => heard.length === 1);

        const late = await now.send(Hang, { entry: "late" }, { timeout: 2_000 });
        assertEquals(late.error?.code, "OUTCOME_UNKNOWN");
        const inHand = now.send(Hang, { entry: "h" });
        await eventually("it to run", async () => (await log.runs("Hang")).some(({ entry }) => entry === "h"));
        program.kill("SIGKILL");
        assertEquals((await inHand).error?.code, "OUTCOME_UNKNOWN");
        await sees(now, "now");
      },
    );

    it(
      `nodes of both versions share ids of idempotent commands, and locks: ${runtime}`,
      { timeout: 300_000 },
      async () => {
        await using log = await RunLog.open();
        const options: OnceNodeOptions = { folder: log.folder, namespace: "locks", role: "handles" };
        await using once = await startProgram<{ event: string }>(
          runtime,
          "scripts/once_node.ts",
          [server.url, "once", JSON.stringify(options)],
          tree.root,
        );
        await once.line(({ event }) => event === "ready");
        const handlers = Once.handle((_, ctx) => `here ${ctx.fence}`);
        await using now = await catga({ nats: server.url, namespace: "locks", id: `now-${runtime}`, handlers });
        await eventually("it to see the other", () => now.nodes().length === 2);
        const send = (entry: string, node: string) => now.send(Once, { entry }, { id: `${runtime} ${entry}`, node });
        const [there, here] = [await send("a", "once"), await send("b", `now-${runtime}`)];
        assert(there.ok && here.ok);
        assertEquals((await send("a", `now-${runtime}`)).value, there.value);
        assertEquals((await send("b", "once")).value, here.value);
        // both at once: there is one run, whichever is first
        const both = await Promise.all([send("c", "once"), send("c", `now-${runtime}`)]);
        assertEquals(both[0].value, both[1].value);

        await using holder = await startProgram<HolderLine>(
          runtime,
          "scripts/holder.ts",
          [server.url, "holder"],
          tree.root,
        );
        const first = await holder.line((line) => line.event === "holds") as { token: number };
        const refused = await now.lock("k", { timeout: 0 }).then(() => "taken", ({ code }) => code);
        assertEquals(refused, "LOCK_TIMEOUT");
        const waiting = now.lock("k", { ttl: 12_000, timeout: 60_000 });
        holder.kill("SIGTERM");
        const own = await waiting;
        assert(own.token > first.token);

        await using next = await startProgram<HolderLine>(
          runtime,
          "scripts/holder.ts",
          [server.url, "next"],
          tree.root,
        );
        await next.line((line) => line.event === "asks");
        // a renewal of this Catga's, which the earlier one reads
        const written = async () => {
          const body = JSON.stringify({ last_by_subj: "$KV.catga_locks_locks.h.k" });
          const found = await raw.request("$JS.API.STREAM.MSG.GET.KV_catga_locks_locks", body, PATIENT);
          return found.json<{ message?: { seq: number } }>().message?.seq ?? 0;
        };
        const before = await written();
        await eventually("a renewal", async () => await written() > before);
        assertEquals([next.lines.length, own.signal.aborted], [1, false]);
        await own.release();
        const last = await next.line((line) => line.event === "holds") as { token: number };
        assert(last.token > own.token);
      },
    );
  }

  it("a rolling upgrade under traffic loses no send", { timeout: 300_000 }, async () => {
    const options = { namespace: "rolling", signals: true };
    const olds = await Promise.all([
      startNode("deno", server.url, "n1", options, tree),
      startNode("bun", server.url, "n2", options, tree),
    ]);
    await using client = await catga({ nats: server.url, namespace: "rolling", id: "client" });
    await sees(client, "client", "n1", "n2");
    let going = true;
    const codes = new Map<string, number>();
    const loops = Array.from({ length: 32 }, async () => {
      while (going) {
        const { error, value } = await client.send(Record, { entry: "x" });
        const outcome = error?.code ?? value!;
        codes.set(outcome, (codes.get(outcome) ?? 0) + 1);
      }
    });
    const news = [];
    for (const [index, old] of olds.entries()) {
      await eventually("traffic", () => (codes.get(old.id) ?? 0) > 100);
      old.program.kill("SIGTERM");
      await old.program.end();
      codes.delete(old.id);
      news.push(await startNode(index === 0 ? "bun" : "deno", server.url, old.id, options));
    }
    await eventually("traffic", () => (codes.get("n1") ?? 0) > 100 && (codes.get("n2") ?? 0) > 100);
    going = false;
    await Promise.all(loops);
    assertEquals([...codes.keys()].sort(), ["n1", "n2"]);
    for (const { program } of news) await program.stop();
  });

  it(
    "nodes of different protocol versions do not see each other, and send nothing to each other",
    { timeout: 300_000 },
    async () => {
      await using other = await olderTree(EARLIER);
      for (
        const [file, from, to] of [
          ["frame.ts", "PROTOCOL = 1;", "PROTOCOL = 2;"],
          ["endpoint.ts", '"[1,"', '"[2,"'],
          ["events.ts", "`[1,", "`[2,"],
        ]
      ) {
        const path = join(other.root, "src", "cluster", file);
        const text = await readFile(path, "utf8");
        assert(text.includes(from), `${file} has no ${from}`);
        await writeFile(path, text.replace(from, to));
      }
      const options = { namespace: "protocols" };
      await using now = await catga({
        nats: server.url,
        id: "now",
        handlers: Add.handle(({ a, b }) => a + b),
        ...options,
      });
      const later = await startNode("deno", server.url, "later", options, other);
      await using _ = later.program;
      assertEquals([now.nodes().length, later.view().length], [1, 1]);
      assertEquals((await now.send(Who, undefined)).error?.code, "NO_HANDLER");
      assertEquals((await now.send(Add, { a: 1, b: 2 }, { node: "later" })).error?.code, "NO_HANDLER");
      assertEquals((await now.send(Add, { a: 1, b: 2 })).value, 3);

      const logged: string[] = [];
      const logger: Logger = { debug() {}, info() {}, warn: (text) => void logged.push(text), error() {} };
      const taken = await catga({ nats: server.url, id: "later", logger, ...options }).then(
        () => "ok",
        ({ code }) => code,
      );
      assertEquals(taken, "ID_TAKEN");
      assertMatch(logged.join("\n"), /protocol version 2, not 1/);
    },
  );
});

/** Tests of a cluster whose nats-server dies, and of apps on connections that the user has opened. */
import { connect } from "@nats-io/transport-node";
import { assert, assertEquals, assertGreaterOrEqual, assertLess, assertRejects } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, CatgaError, type CatgaOptions, command, event, query } from "../../mod.ts";
import type { NodeChange } from "../contract/nodes/node_info.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT, patiently } from "../../test/support/patient.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Ask = query<void, string>("Ask");
const Told = event("Told");
const Do = command<{ entry: string; ms?: number }, string>("Do");

/**
 * Timeout of requests whose results come long before it ends, in ms: on a busy machine everything that happens until
 * then takes long.
 */
const DEADLINE = 240_000;

const required = await requireNatsServer();

describe("a nats-server that is killed and started anew", required, () => {
  for (const store of ["its", "an empty"]) {
    describe(`on ${store} store`, () => {
      let server: NatsServer;
      let folder: string;
      let sender: Catga;
      let workers: Catga[];
      /** Number of runs of each command. */
      const runs = new Map<string, number>();
      const seen: NodeChange[] = [];
      const stopWatching = new AbortController();

      before(async () => {
        folder = await mkdtemp(join(tmpdir(), "catga-restart-"));
        server = await startNatsServer({ storeDir: join(folder, "first") });
        sender = await catga({ nats: server.url, id: "sender", service: "sender", logger: QUIET });
        workers = await Promise.all(["w1", "w2", "w3"].map((id) => worker(id)));
        await eventually("all to see all", () => everybody().every((app) => app.nodes().length === 4));
        watch();
      });
      after(async () => {
        stopWatching.abort();
        await Promise.all(everybody().map((app) => app.drain({ timeout: 1_000 })));
        await server?.stop();
        await rm(folder, { recursive: true, force: true });
      });

      it(
        "has its nodes back: requests sent meanwhile end with an answer or at their deadline",
        { timeout: 300_000 },
        async () => {
          const timed = async <T>(result: Promise<T>) => ({ result: await result, took: performance.now() - down });
          const inHand = Array.from(
            { length: 20 },
            (_, i) => sender.send(Do, { entry: `in-hand-${i}`, ms: 300 }, { timeout: DEADLINE }),
          );
          await eventually("commands in hand", () => runs.size === 20);
          await server.kill("SIGKILL");
          await eventually("the sender to know", async () => {
            const { error } = await sender.send(Ask, undefined, { timeout: 1 });
            return error?.code === "UNAVAILABLE";
          });
          assertEquals((await sender.publish(Told)).error?.code, "UNAVAILABLE");
          const down = performance.now();
          const patient = Array.from(
            { length: 100 },
            (_, i) => sender.send(Do, { entry: `patient-${i}` }, { timeout: DEADLINE }),
          );
          const hasty = Array.from(
            { length: 100 },
            (_, i) => timed(sender.send(Do, { entry: `hasty-${i}` }, { timeout: 400 })),
          );
          // a node drains while the server is down, so that the other nodes do not notice that it leaves
          const leaver = workers.pop()!;
          await leaver.drain({ timeout: 2_000 });
          // another node starts while the server is down
          const newcomer = worker("w0", { servers: server.url, waitOnFirstConnect: true });
          for (const { result, took } of await Promise.all(hasty)) {
            assertEquals(result.error?.code, "UNAVAILABLE");
            assertEquals(result.error?.retryable, true);
            assertGreaterOrEqual(took, 395);
          }
          // the server was down until now: the hasty requests have ended at their deadlines, although no server
          // answered
          await server.stop();
          const storeDir = join(folder, store === "its" ? "first" : "second");
          server = await startNatsServer({ port: server.port, storeDir });
          const up = performance.now();

          const late = await Promise.all(patient);
          console.log(
            `${store} store: what waited was answered ${Math.round(performance.now() - up)} ms after the start`,
          );
          assertEquals(late.filter(({ ok }) => !ok), []);
          const known = await Promise.all(inHand);
          console.log(
            `${store} store: all in hand had a result ${Math.round(performance.now() - up)} ms after the start`,
          );
          assertLess(performance.now() - up, DEADLINE / 3);
          for (const { ok, error } of known) assert(ok || error.code === "OUTCOME_UNKNOWN", `${error}`);
          assertEquals([...runs].filter(([, times]) => times > 1), []);
          assertEquals([...runs.keys()].filter((entry) => entry.startsWith("hasty")), []);
          assertEquals([...runs.keys()].filter((entry) => entry.startsWith("patient")).length, 100);

          workers.push(await newcomer);
          const ids = ["sender", "w0", "w1", "w2"];
          await eventually(
            "all nodes to see all live nodes",
            () => everybody().every((app) => JSON.stringify(app.nodes().map(({ id }) => id)) === JSON.stringify(ids)),
          );
          console.log(`${store} store: every view is right ${Math.round(performance.now() - up)} ms after the start`);
          const last = (node: string) => seen.findLast((event) => event.node.id === node)?.type;
          await eventually("the watcher to see who left", () => last("w3") === "leave");
          const left = seen.filter(({ type }) => type === "leave").map(({ node }) => node.id);
          assertEquals(left, ["w3"], "the watcher saw others leave");
        },
      );

      it("lets nodes answer and join as before", { timeout: 300_000 }, async () => {
        for (const id of ["w1", "w2"]) assertEquals((await sender.send(Ask, undefined, { node: id })).value, id);
        const newcomer = await worker("w4");
        workers.push(newcomer);
        await eventually("all to see it", () => everybody().every((app) => app.nodes().some(({ id }) => id === "w4")));
        assertEquals((await sender.send(Ask, undefined, { node: "w4" })).value, "w4");
        assertEquals((await newcomer.send(Ask, undefined, { node: "w1" })).value, "w1");
        await newcomer.drain();
        workers.pop();
        await eventually("all to see it leave", () => everybody().every((app) => app.nodes().length === 4));
      });

      function worker(id: string, nats: CatgaOptions["nats"] = server.url): Promise<Catga> {
        const handlers = [
          Ask.handle(() => id),
          Do.handle(async ({ entry, ms = 0 }) => {
            runs.set(entry, (runs.get(entry) ?? 0) + 1);
            if (ms > 0) await wait(ms);
            return id;
          }),
        ];
        return catga({ nats, id, handlers, logger: QUIET });
      }
      function everybody(): Catga[] {
        return [sender, ...workers ?? []];
      }
      async function watch(): Promise<void> {
        for await (const event of sender.watchNodes({ signal: stopWatching.signal })) seen.push(event);
      }
    });
  }
});

describe("a nats-server that does not answer", required, () => {
  it("nodes that drain meanwhile log no errors of what the end of their connections cuts short", {
    timeout: 120_000,
  }, async () => {
    await using server = await startNatsServer();
    const said: string[] = [];
    const errors: string[] = [];
    const logger = {
      ...QUIET,
      warn: (line: string) => void said.push(line),
      error: (line: string, { error }: { error?: unknown }) => void errors.push(`${line}: ${error}`),
    };
    const Kept = event("Kept", { durable: true });
    const handlers = ["one", "two"].map((name) => Kept.on(() => {}, { name }));
    const start = (id: string) => patiently(() => catga({ nats: server.url, id, service: id, handlers, logger }));
    const [app, other] = await Promise.all([start("a"), start("b")]);
    await app.lock("order");
    const waiting = other.lock("order").catch(({ code }) => code);
    await server.kill("SIGSTOP");
    await eventually("something that the server does not answer", () => said.length > 0);
    await Promise.all([app, other].map((each) => each.drain({ timeout: 0 })));
    assertEquals([await waiting, errors], ["CLOSED", []]);
  });
});

describe("an app on a connection of the user's", required, () => {
  let server: NatsServer;
  before(async () => server = await startNatsServer());
  after(() => server?.stop());

  it("serves and sends, and leaves the connection open when it drains", async () => {
    const connection = await connect({ servers: server.url });
    try {
      const other = await catga({ nats: server.url, handlers: Ask.handle(() => "other") });
      const app = await catga({ nats: connection, handlers: Do.handle(({ entry }) => entry) });
      await eventually("each to see the other", () => other.nodes().length === 2 && app.nodes().length === 2);
      assertEquals((await app.send(Ask)).value, "other");
      assertEquals((await other.send(Do, { entry: "tea" })).value, "tea");
      await app.drain();
      await app.closed;
      await eventually("it to have left", () => other.nodes().length === 1);
      assertEquals(connection.isClosed(), false);
      connection.subscribe("echo", { callback: (_, message) => void message.respond(message.data) });
      assertEquals((await connection.request("echo", "still here", PATIENT)).string(), "still here");
      await other.drain();
    } finally {
      await connection.close();
    }
  });

  it("ends with CLOSED when the user closes the connection", async () => {
    const connection = await connect({ servers: server.url });
    const errors: string[] = [];
    const logger = { ...QUIET, error: (message: string) => errors.push(message) };
    await using other = await catga({ nats: server.url, handlers: Ask.handle(() => new Promise<string>(() => {})) });
    const app = await catga({ nats: connection, logger });
    const inHand = app.send(Ask);
    await eventually("the request to arrive", () => other.nodes().length === 2);
    await connection.close();
    const error = await assertRejects(() => app.closed, CatgaError);
    assertEquals([error.code, error.message], ["CLOSED", "the network connection was closed"]);
    assertEquals((await inHand).error?.code, "CLOSED");
    const refused = await app.send(Ask);
    assertEquals(refused.error?.code, "CLOSED");
    assertEquals((await app.publish(Told)).error?.code, "CLOSED");
    assert(errors.some((line) => line.includes("running this node")), errors.join("\n"));
    await app.drain();
    await other.drain({ timeout: 0 });
  });

  it("ends with CLOSED when the user closes the connection while the app starts", { timeout: 300_000 }, async () => {
    for (let start = 0; start < 10; start++) {
      const connection = await connect({ servers: server.url });
      const logger = { ...QUIET, info: (line: string) => void (line.includes(": join") && connection.close()) };
      const ended = catga({ nats: connection, id: "late", logger }).then((app) => app.closed);
      assertEquals((await assertRejects(() => ended, CatgaError)).code, "CLOSED");
    }
  });
});

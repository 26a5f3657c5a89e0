/** The views of nodes while real NATS servers die, lose their JetStream, or cannot be reached. */
import { connect } from "@nats-io/transport-node";
import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { type Catga, catga, type CatgaOptions, query } from "../../mod.ts";
import { type NodeProcess, startNode } from "../processes/node_process.ts";
import {
  type NatsCluster,
  type NatsServer,
  requireNatsServer,
  startNatsCluster,
  startNatsServer,
} from "../../tools/nats_server.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { deleteConsumers } from "../support/delete_consumers.ts";
import { eventually } from "../support/eventually.ts";
import { leaderOf } from "../support/log_stream.ts";
import { patientManager } from "../support/patient_jetstream.ts";
import { Standstill } from "../support/standstill.ts";
import { QUIET } from "../support/quiet.ts";

const Ask = query<void, string>("Ask");
const HEARTBEAT = 3_000;
/** No record expires while a test waits, lest expiry hides the failure detector; in ms. */
const LASTING = 3_600_000;
const required = await requireNatsServer();

describe("on three NATS servers", required, () => {
  let servers: NatsCluster;
  let observer: Observed;
  const nodes = new Map<string, NodeProcess>();

  before(async () => {
    servers = await startNatsCluster(3);
    // n2 and n3 share a server
    observer = await observe(servers.urls[0], "observer", { replicas: 3, heartbeat: LASTING });
    const homes = [["n1", 0], ["n2", 1], ["n3", 1], ["n4", 2]] as const;
    await Promise.all(homes.map(async ([id, home], i) => {
      const options = { replicas: 3, heartbeat: LASTING };
      nodes.set(id, await startNode(i % 2 === 0 ? "deno" : "bun", servers.urls[home], id, options));
    }));
    await eventually("all to see all", () => views().every((view) => view.length === 5));
  });
  after(async () => {
    await observer?.app.drain();
    await Promise.all([...nodes.values()].map(({ program }) => program.stop()));
    await servers?.stop();
  });

  it("a process that is killed leaves every view long before its record expires, not before it could have moved", {
    timeout: 1_200_000,
  }, async () => {
    const at = kill("n2");
    await eventually("all to have seen n2 leave", () => views().every((view) => !view.includes("n2")));
    const times = [observer.at("leave n2")!, ...[...nodes.values()].map((node) => node.left("n2")!)];
    const took = times.map((time) => time - at);
    console.log(`killed on three servers: gone from the views after ${took.join(", ")} ms`);
    assertGreaterOrEqual(Math.min(...took), 2_900);
  });

  it("a server dies, JetStream's leader perhaps with it: its nodes move, and none leaves", {
    timeout: 1_200_000,
  }, async () => {
    observer.events.length = 0;
    const began = Date.now();
    await servers.servers[1].kill("SIGKILL");
    await eventually("n3 to be on another server", () => {
      const found = observer.app.nodes().find(({ id }) => id === "n3");
      return found !== undefined && found.lastSeen > began;
    }); // an election of JetStream takes up to 10 s
    console.log(`its server killed: a node's record said so after ${Date.now() - began} ms`);
    // whoever was wrong about it would have written so by now
    await wait(1_500);
    assertEquals(observer.moves(), []);
    assertEquals(new Set(views().map(String)), new Set(["n1,n3,n4,observer"]));
  });

  function kill(id: string): number {
    nodes.get(id)!.program.kill("SIGKILL");
    nodes.delete(id);
    return Date.now();
  }
  function views(): string[][] {
    const seen = [...nodes.values()].map((node) => node.view().map((endpoint) => endpoint.split(".")[0]).sort());
    return [observer.ids(), ...seen];
  }
});

describe("while the server that keeps the records is away", required, () => {
  it("no node leaves, though all records have expired when it is back; then a node can join", {
    timeout: 1_200_000,
  }, async () => {
    await using servers = await startNatsCluster(3);
    const first = await observe(servers.urls[0], "a");
    const home = await leaderOf(servers.urls, "KV_catga_default_nodes");
    const others = [0, 1, 2].filter((index) => index !== home);
    const apps = [first, await observe(servers.urls[others[0]], "b"), await observe(servers.urls[others[1]], "c")];
    await using still = await Standstill.watch(others.map((index) => servers.urls[index]));
    try {
      await acquainted(apps);
      await servers.servers[home].kill("SIGKILL");
      const down = Date.now();
      await wait(HEARTBEAT + 500);
      for (const each of apps) assertEquals(stale(each, down), 2);
      const up = Date.now();
      await servers.restart(home);
      await eventually("all records to be written again", () => {
        return apps.every(({ app }) => app.nodes().every(({ lastSeen }) => lastSeen > up));
      });
      console.log(`the server with the records is back: all were written again after ${Date.now() - up} ms`);
      for (const each of apps) {
        await eventually("all to be in view", () => each.ids().join() === "a,b,c");
        assertEquals([each.app.self.id, movesOf(each, still)], [each.app.self.id, []]);
      }
      await using late = await observe(servers.urls[0], "d");
      await eventually("all to see d", () => apps.every((each) => each.ids().includes("d")));
      assertEquals(late.ids().length, 4);
    } finally {
      await Promise.all(apps.map(({ app }) => app.drain({ timeout: 1_000 })));
    }
  });
});

describe("on one NATS server", required, () => {
  let server: NatsServer;
  /** Two nodes, of which the first has lost its watch, and how long it took to see the second, in ms. */
  let deaf: { readonly a: Observed; readonly b: Observed; readonly saw: Promise<number> };

  before(async () => {
    server = await startNatsServer();
    deaf = await deafen("deaf");
  });
  after(async () => {
    await Promise.all([deaf?.a.app.drain(), deaf?.b.app.drain()]);
    await server?.stop();
  });

  it("a node that is cut off keeps its view, comes back at once, and sees who came and who went", {
    timeout: 1_200_000,
  }, async () => {
    await using proxy = await startTcpProxy(server.port);
    await using a = await observe(server.url, "a");
    await using cut = await observe(proxy.url, "cut");
    const goes = await observe(server.url, "goes");
    await acquainted([a, cut, goes]);
    proxy.cut();
    await eventually("the others to miss it", () => !a.ids().includes("cut"));
    await goes.app.drain();
    await using comes = await observe(server.url, "comes");
    await wait(1_200); // nothing on the server says any more that it has left
    assertEquals(cut.ids(), ["a", "cut", "goes"]);
    const at = Date.now();
    proxy.restore();
    await eventually("the others to have it back", () => a.ids().includes("cut") && comes.ids().includes("cut"));
    const back = Date.now() - at;
    await eventually("it to see who came and went", () => cut.ids().join() === "a,comes,cut");
    console.log(`cut off: back in the views after ${back} ms, its own view right after ${Date.now() - at} ms`);
    assertEquals(cut.moves(), ["join comes", "leave goes"].sort());
    assertEquals((await cut.app.send(Ask, undefined, { node: "comes" })).value, "comes");
  });

  it("a node whose watch has died on the server sees who joined", { timeout: 1_200_000 }, async () => {
    const took = await deaf.saw; // its seconds have passed beside those of the test before
    console.log(`a watch was deleted on the server: a join was seen after ${took} ms`);
    await deaf.b.app.drain();
    await eventually("it to be seen leaving", () => !deaf.a.ids().includes("b"));
  });

  async function deafen(namespace: string): Promise<typeof deaf> {
    const a = await observe(server.url, "a", { namespace });
    const connection = await connect({ servers: server.url });
    const manager = await patientManager(connection);
    const stream = `KV_catga_${namespace}_nodes`;
    await deleteConsumers(manager, stream);
    await connection.close();
    const b = await observe(server.url, "b", { namespace });
    const at = performance.now();
    const saw = eventually("it to be seen", () => a.ids().includes("b"))
      .then(() => Math.round(performance.now() - at));
    saw.catch(() => {}); // the test that awaits it sees the error
    return { a, b, saw };
  }
});

describe("a server whose JetStream is turned off, and on again", required, () => {
  it("removes no node: those that answer pings stay, also when the store is lost", { timeout: 1_200_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-jetstream-"));
    const config = join(folder, "nats.conf");
    const jetstream = (dir: string) => writeFile(config, `jetstream: { store_dir: "${join(folder, dir)}" }`);
    await jetstream("first");
    const server = await startNatsServer({ jetstream: false, args: ["-c", config] });
    const apps = await Promise.all(["a", "b", "c"].map((id) => observe(server.url, id)));
    await using still = await Standstill.watch([]); // the server ends connections when JetStream goes
    const moves = (each: Observed) => movesOf(each, still);
    try {
      await acquainted(apps);
      await writeFile(config, "");
      process.kill(server.pid, "SIGHUP");
      const down = Date.now();
      await wait(HEARTBEAT + 500);
      for (const each of apps) assertEquals([stale(each, down + 500), moves(each)], [2, []]);
      await jetstream("second");
      const up = Date.now();
      process.kill(server.pid, "SIGHUP");
      await eventually("all records to be written again", () => {
        return apps.every(({ app }) => app.nodes().every(({ lastSeen }) => lastSeen > up));
      });
      console.log(`JetStream is back, and empty: all records were written again after ${Date.now() - up} ms`);
      for (const each of apps) {
        await eventually("all to be in view", () => each.ids().join() === "a,b,c");
        assertEquals(moves(each), []);
      }
      await apps.pop()!.app.drain();
      await eventually("its leaving to be seen", () => apps.every((each) => each.ids().join() === "a,b"));
    } finally {
      await Promise.all(apps.map(({ app }) => app.drain({ timeout: 1_000 })));
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** A node of this process, and the changes that it has seen. */
interface Observed extends AsyncDisposable {
  readonly app: Catga;
  /** Everything, as `leave n1`, and when. */
  readonly events: { readonly what: string; readonly at: number }[];
  /** The joins and leaves, sorted. */
  moves(): string[];
  /** When a change was last seen, in ms since 1970. */
  at(what: string): number | undefined;
  ids(): string[];
}

async function observe(url: string, id: string, options: CatgaOptions = {}): Promise<Observed> {
  const handlers = Ask.handle(() => id);
  const app = await catga({ nats: url, id, handlers, logger: QUIET, heartbeat: HEARTBEAT, ...options });
  const events: Observed["events"] = [];
  const changes = app.watchNodes();
  (async () => {
    for await (const { type, node } of changes) events.push({ what: `${type} ${node.id}`, at: Date.now() });
  })();
  return {
    app,
    events,
    moves: () => events.map(({ what }) => what).filter((what) => !what.startsWith("update")).sort(),
    at: (what) => events.findLast((event) => event.what === what)?.at,
    ids: () => app.nodes().map((node) => node.id),
    [Symbol.asyncDispose]: () => app.drain({ timeout: 1_000 }),
  };
}

/** Resolves when all nodes see all others, and clears the changes seen until then. */
async function acquainted(all: readonly Observed[]): Promise<void> {
  await eventually("all to see all", () => all.every((each) => each.ids().length === all.length));
  for (const { events } of all) events.length = 0;
}

/**
 * The joins and leaves that a node has seen; none when the machine stood still meanwhile: a process or a server that
 * does answers no ping, so that a node is taken for gone, and comes back with its answer.
 */
function movesOf(node: Observed, still: Standstill): string[] {
  return still.ms < 250 ? node.moves() : [];
}

/** How many others a node sees whose records are older than this. */
function stale({ app }: Observed, since: number): number {
  return app.nodes().filter(({ id, lastSeen }) => id !== app.self.id && lastSeen < since).length;
}

import { assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { type Catga, catga, event, fail, unwrap, workflow } from "../../mod.ts";
import { cli } from "../cli/main.ts";
import { cliHere } from "../../test/support/cli_here.ts";
import { DashboardLooker } from "../../test/support/dashboard_looker.ts";
import { eventually } from "../../test/support/eventually.ts";
import { quietTerminal } from "../../test/support/quiet_terminal.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { codecSuite } from "./codec_suite.ts";
import { codecsAtRest, keyCodec } from "../../test/support/key_codec.ts";
import { patientManager } from "../../test/support/patient_jetstream.ts";

codecSuite("over NATS", await requireNatsServer(), async () => {
  // with -V the server logs each message that it receives; a subscription to all subjects would keep nodes from finding
  // each other
  const server = await startNatsServer({ args: ["-V"] });
  const connection = await connect({ servers: server.url });
  const apps: Catga[] = [];
  return {
    async start(options) {
      const app = await catga({ nats: server.url, logger: QUIET, ...options });
      apps.push(app);
      return app;
    },
    async stored() {
      const manager = await patientManager(connection);
      const all: string[] = [];
      for await (const { config: { name }, state: { first_seq, last_seq } } of manager.streams.list()) {
        for (let seq = first_seq; seq <= last_seq; seq++) {
          // messages that were removed are skipped
          const found = await manager.streams.getMessage(name, { seq }).catch(() => null);
          if (found !== null) all.push(`${found.subject} ${new TextDecoder().decode(found.data)}`);
        }
      }
      return all;
    },
    async sent() {
      const log = await readFile(join(dirname(server.storeDir), "log"), "utf8");
      return log.split("\n").filter((line) => line.includes("MSG_PAYLOAD"));
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(apps.map((app) => app.drain()));
      await codecsAtRest();
      await connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
});

describe("catga --codec", await requireNatsServer(), () => {
  it("shows payloads and runs with the module's codec, and what is readable without", async () => {
    await using server = await startNatsServer();
    const Placed = event<{ n: number }>("Placed", { durable: true });
    const Moved = event<{ to: string }>("Moved");
    const Trip = workflow<string>("Trip");
    const Go = Trip.signal("go");
    const handlers = [
      Placed.on(() => fail("NO", "no", { final: true }), { name: "list" }),
      Trip.handle(async (flow) => void await flow.wait(Go)),
    ];
    const app = await catga({ nats: server.url, handlers, codec: keyCodec([7]), logger: QUIET });
    unwrap(await app.publish(Placed, { n: 471_147_114_711 }, { id: "the-id" }));
    unwrap(await app.start(Trip, "oslo", { id: "the-run" }));
    await eventually("a letter", async () => (await Array.fromAsync(app.deadLetters())).length === 1);
    await eventually("a run that waits", async () => (await Array.fromAsync(app.runs()))[0].status === "waiting");
    const folder = await mkdtemp(join(tmpdir(), "catga-codec-"));
    const stop = new AbortController();
    try {
      const file = join(folder, "codec.ts");
      const suite = fileURLToPath(new URL("../../test/support/key_codec.ts", import.meta.url));
      await writeFile(file, `import { keyCodec } from ${JSON.stringify(suite)};\nexport default keyCodec([7]);\n`);
      const show = async (...words: string[]) => (await cliHere([...words, "--json", "--nats", server.url])).out;
      assertStringIncludes(await show("dead", "--codec", file), '"payload":{"n":471147114711}');
      assertStringIncludes(await show("run", "Trip", "the-run", "--codec", file), '"value":"oslo"');
      let seen = "";
      const terminal = quietTerminal({ write: (text) => void (seen += text), signal: stop.signal });
      const watching = cli(["watch", "--codec", file, "--json", "--nats", server.url], terminal);
      // published until the subscription, which may begin later, gets it
      await eventually("the watched event", async () => {
        unwrap(await app.publish(Moved, { to: "bergen" }));
        return seen !== "";
      }).finally(() => stop.abort());
      await watching;
      assertStringIncludes(seen, '"payload":{"to":"bergen"}');
      const sealed = await show("dead");
      assertStringIncludes(sealed, "the-id");
      assertEquals(sealed.includes("471147114711"), false);
      const { code, err } = await cliHere(["dead", "--nats", server.url, "--codec", join(folder, "none.ts")]);
      assertEquals([code !== 0, /none\.ts/.test(err)], [true, true]);
    } finally {
      await rm(folder, { recursive: true });
      await app.drain();
    }
  });
});

describe("catga dashboard --codec", await requireNatsServer(), () => {
  const Placed = event<{ n: number }>("Placed", { durable: true });
  const Moved = event<{ to: string }>("Moved");
  const stop = new AbortController();
  const ended: Promise<number>[] = [];
  const lookers: DashboardLooker[] = [];
  let server: NatsServer;
  let app: Catga;
  let folder: string;
  let opened: DashboardLooker["topics"];
  let sealed: DashboardLooker["topics"];

  const look = async (...words: string[]) => {
    let address = "";
    const terminal = quietTerminal({ write: (text) => void (address += text), signal: stop.signal });
    ended.push(cli(["dashboard", "--port", "0", "--nats", server.url, ...words], terminal));
    await eventually("its address", () => address !== "");
    const looker = await DashboardLooker.open(address.trim());
    lookers.push(looker);
    await eventually("the first topics", () => looker.topics.events);
    return looker.topics;
  };

  before(async () => {
    server = await startNatsServer();
    const handlers = [Placed.on(() => fail("NO", "no", { final: true }), { name: "list" })];
    app = await catga({ nats: server.url, handlers, codec: keyCodec([7]), logger: QUIET });
    folder = await mkdtemp(join(tmpdir(), "catga-codec-"));
    const file = join(folder, "codec.ts");
    const suite = fileURLToPath(new URL("../../test/support/key_codec.ts", import.meta.url));
    await writeFile(file, `import { keyCodec } from ${JSON.stringify(suite)};\nexport default keyCodec([7]);\n`);
    opened = await look("--codec", file);
    sealed = await look();
  });
  after(async () => {
    for (const looker of lookers) looker.close();
    stop.abort();
    await Promise.all(ended);
    await app?.drain();
    await server?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true });
  });

  it("shows payloads of dead letters, of kept events and of others; without it names and ids", async () => {
    unwrap(await app.publish(Placed, { n: 471_147_114_711 }, { id: "the-id" }));
    const letter = await eventually("the letter", () => opened.letters?.shown[0]);
    assertStringIncludes(letter!.payload, "471147114711");
    const kept = await eventually("the kept event", () => opened.events?.shown.find(({ durable }) => durable));
    assertStringIncludes(kept!.payload, "471147114711");
    // the event is published repeatedly until the dashboard's subscription, which may begin later, gets it
    const moved = await eventually("the other event", async () => {
      unwrap(await app.publish(Moved, { to: "oslo" }));
      return opened.events?.shown.find(({ durable }) => !durable);
    });
    assertStringIncludes(moved!.payload, "oslo");
    const shut = await eventually("the letter without the codec", () => sealed.letters?.shown[0]);
    assertEquals([shut!.id, JSON.stringify(sealed).includes("471147114711")], ["the-id", false]);
  });
});

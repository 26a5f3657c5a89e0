/**
 * Tests of the errors that a user reads when a node cannot start, with real servers: each says what is wrong and what
 * to do.
 */
import { connect } from "@nats-io/transport-node";
import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { execFile } from "node:child_process";
import { createServer, type Socket } from "node:net";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { catga, CatgaError, type CatgaOptions, type Logger } from "../../mod.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { OWN_RUNTIMES, startNode } from "../../test/processes/node_process.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { Standstill } from "../../test/support/standstill.ts";

describe("a node that cannot start", await requireNatsServer(), () => {
  let server: NatsServer;
  before(async () => server = await startNatsServer());
  after(() => server?.stop());

  /** Starts a node and returns the error with which that rejects. Asserts that nothing else is logged. */
  async function refusal(options: CatgaOptions): Promise<{ code: string; message: string }> {
    const logged: string[] = [];
    const log = (message: string) => logged.push(message);
    const logger: Logger = { debug() {}, info() {}, warn: log, error: log };
    const error = await assertRejects(() => catga({ ...options, logger }), CatgaError);
    assertEquals(logged, []);
    // the system's error number, which transport-deno appends, is cut off
    return { code: error.code, message: error.message.replace(/ \(os error \d+\)/, "") };
  }

  it("names an address without a server, and says how to start one or to wait for one", async () => {
    const [port] = await freePorts(1);
    assertEquals(await refusal({ nats: `nats://127.0.0.1:${port}` }), {
      code: "UNAVAILABLE",
      message: `cannot connect to NATS at 127.0.0.1:${port}: connection refused. Is a server running there ` +
        "(`nats-server -js`)? With `waitOnFirstConnect: true` in `nats` Catga waits for it",
    });
  });

  it("names an address where something else listens that does not answer, after the timeout", async () => {
    const { port, close } = await listen("");
    try {
      await using still = await Standstill.watch([]);
      const since = still.stopwatch();
      assertEquals(await refusal({ nats: { servers: `127.0.0.1:${port}`, timeout: 300 } }), {
        code: "UNAVAILABLE",
        message:
          `cannot connect to NATS at 127.0.0.1:${port}: no answer within 300 ms (a server with \`max_connections\` clients, ` +
          "or with `handshake_first`, does not answer). Is a server running there " +
          "(`nats-server -js`)? With `waitOnFirstConnect: true` in `nats` Catga waits for it",
      });
      assertLess(since(), 5_000); // the start fails sooner than after the default timeout
    } finally {
      await close();
    }
  });

  it("says which permission of Deno it needs, and for what", { skip: !("Deno" in globalThis) }, async () => {
    const main = new URL("../../mod.ts", import.meta.url).href;
    const start = async (options: CatgaOptions, ...permissions: string[]) => {
      const program = `import { catga } from "${main}";` +
        `const app = await catga(${JSON.stringify(options)}).catch((error) => error);` +
        "console.log(app.message ?? app.self.metadata.host); await app.drain?.();";
      const running = promisify(execFile)(process.execPath, ["run", "--no-prompt", "--no-check", ...permissions, "-"]);
      running.child.stdin?.end(program);
      return (await running).stdout.trim();
    };
    const where = `localhost:${server.port}`;
    const nats = `nats://${where}`;
    for (const transport of ["deno", "node"] as const) {
      assertEquals(
        await start({ nats, transport }, "--allow-sys=hostname"),
        `Deno does not let the node connect to NATS at ${where}: run it with --allow-net`,
      );
    }
    assertEquals(
      await start({ nats }, "--allow-net"),
      "Deno does not let the node read its host's name, which is part of its metadata: run it with " +
        '--allow-sys=hostname, or give a name yourself, `metadata: { host: "…" }`',
    );
    assertEquals(await start({ nats, metadata: { host: "h1" } }, "--allow-net"), "h1");
  });

  it("says how to turn JetStream on", async () => {
    await using bare = await startNatsServer({ jetstream: false });
    assertEquals(await refusal({ nats: bare.url }), {
      code: "UNAVAILABLE",
      message: `no JetStream on the NATS server at 127.0.0.1:${bare.port}: start it with \`nats-server -js\` ` +
        "(or put `jetstream {}` into its configuration, and enable it for the account); at a leaf node that is to use the " +
        "JetStream of its hub put `default_js_domain: { ACCOUNT: DOMAIN }` into its configuration, with the hub's domain " +
        "(catga docs topologies)",
    });
  });

  it("says that credentials were refused", async () => {
    await using locked = await startNatsServer({ args: ["--user", "tea", "--pass", "pot"] });
    assertEquals(await refusal({ nats: `nats://tea:kettle@127.0.0.1:${locked.port}` }), {
      code: "UNAVAILABLE",
      message:
        `NATS at 127.0.0.1:${locked.port} refused the credentials (Authorization Violation): check user and pass, ` +
        "token or authenticator in `nats`",
    });
  });

  it("names the version of an old server, and the one that is needed", async () => {
    const { port, close } = await listen(
      'INFO {"server_id":"OLD","version":"2.9.25","max_payload":1048576,"proto":1,"headers":true}\r\n',
    );
    try {
      assertEquals(await refusal({ nats: `nats://127.0.0.1:${port}` }), {
        code: "UNAVAILABLE",
        message:
          `the nats-server at 127.0.0.1:${port} is version 2.9.25; Catga needs 2.11 or newer (expiry of single ` +
          "keys): install a newer nats-server",
      });
    } finally {
      await close();
    }
  });

  it("names the setting in which the membership's bucket differs", async () => {
    const connection = await connect({ servers: server.url });
    const stream = { name: "KV_catga_mine_nodes", subjects: ["$KV.catga_mine_nodes.>"], storage: "memory" };
    await connection.request(`$JS.API.STREAM.CREATE.${stream.name}`, JSON.stringify(stream), PATIENT);
    await connection.close();
    assertEquals(await refusal({ nats: server.url, namespace: "mine" }), {
      code: "BUCKET_MISMATCH",
      message:
        'the bucket catga_mine_nodes exists with storage "memory"; Catga needs "file": open it with the options ' +
        "that it was made with, or delete it (`nats kv rm catga_mine_nodes`) and make it anew (`catga setup`, or let Catga do it)",
    });
  });

  it("names an id that a live node has, and where that one runs", async () => {
    await using first = await catga({ nats: server.url, id: "n1", service: "orders", metadata: { host: "h1" } });
    assertEquals(await refusal({ nats: server.url, id: "n1" }), {
      code: "ID_TAKEN",
      message:
        `the node id n1 belongs to another process of this namespace (${first.self.endpoint}, service orders on ` +
        "host h1), which is alive; give every process an id of its own, or leave the id out",
    });
    assertEquals(first.nodes().map(({ endpoint }) => endpoint), [first.self.endpoint]);
  });

  it("says that the process with its id may be frozen", { timeout: 300_000 }, async () => {
    const frozen = await startNode("deno", server.url, "frozen", { heartbeat: 10_000 });
    try {
      frozen.program.kill("SIGSTOP");
      const { code, message } = await refusal({ nats: server.url, id: "frozen" });
      assertEquals(code, "ID_TAKEN");
      assertEquals(
        message.includes("which does not answer, and may be frozen: its record expires by itself"),
        true,
        message,
      );
    } finally {
      await frozen.program.stop();
    }
  });

  for (const runtime of OWN_RUNTIMES) {
    it(`takes over the id of a killed process at once: ${runtime}`, { timeout: 300_000 }, async () => {
      await using watcher = await catga({ nats: server.url, namespace: runtime, id: "watcher" });
      const { program, endpoint } = await startNode(runtime, server.url, "again", { namespace: runtime });
      program.kill("SIGKILL");
      await program.end();
      const began = performance.now();
      await using app = await catga({ nats: server.url, namespace: runtime, id: "again" });
      const took = performance.now() - began;
      console.log(`the id of a process killed in ${runtime} was taken over in ${Math.round(took)} ms`);
      assertEquals(app.self.endpoint === endpoint, false);
      await eventually(
        "the others to see it",
        () => watcher.nodes().some((node) => node.endpoint === app.self.endpoint),
      );
    });
  }
});

/** Listens on a port of this machine, sends this text to each client, and nothing else. */
function listen(greeting: string): Promise<{ port: number; close: () => Promise<void> }> {
  return new Promise((resolve, reject) => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      if (greeting === "") return;
      socket.write(greeting);
      socket.on("data", (data) => data.toString().includes("PING") && socket.write("PONG\r\n"));
    });
    const close = () =>
      new Promise<void>((done) => {
        server.close(() => done());
        for (const socket of sockets) socket.destroy();
      });
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      // cast: the address of a TCP server is an object
      const { port } = server.address() as { port: number };
      resolve({ port, close });
    });
  });
}

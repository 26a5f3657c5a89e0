/** What `catga()` refuses, what it says then, and what it starts with. Tests of whole clusters stand in `cluster/`. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { catga, type CatgaOptions, MemoryNetwork } from "./catga.ts";
import { command, query } from "./contract/definition.ts";
import { unwrap } from "./contract/result.ts";
import * as prices from "../test/support/prices.ts";

const Double = query<number, number>("Double");

/** The name and the message of what `catga()` rejects with. */
async function refusal(options: unknown): Promise<[string, string]> {
  const error = await assertRejects(() => catga(options as CatgaOptions), Error);
  return [error.name, error.message];
}

describe("catga: options that are none", () => {
  const token = 'must be 1 to 64 letters, digits, "-" and "_"';
  const known = "handlers, nats, network, namespace, service, id, metadata, transport, signals, timeout, retries, " +
    "route, concurrency, heartbeat, breaker, behaviors, logger, replicas";
  const cases: [what: string, options: unknown, name: string, message: string][] = [
    ["no object", null, "TypeError", "catga takes an object of options; got null"],
    ["handlers instead of options", [], "TypeError", "catga takes an object of options; got an array"],
    ["unknown", { handler: 1 }, "TypeError", `catga: unknown option handler; it takes ${known}`],
    [
      "handlers",
      { handlers: 5 },
      "TypeError",
      "handlers must be a module namespace (import * as orders), a handler, or an array of these; got 5",
    ],
    [
      "handlers of a module without any",
      { handlers: prices },
      "TypeError",
      "handlers has no handlers: it exports CURRENCY, Price; export what Contract.handle(…) and Contract.on(…) give",
    ],
    [
      "two handlers for one contract",
      { handlers: { a: Double.handle((n) => n), b: Double.handle((n) => n) } },
      "TypeError",
      "two handlers for query Double: handlers.a and handlers.b; a command or query has exactly one handler in a node, " +
      "and its name belongs to no other contract",
    ],
    [
      "nats beside network",
      { nats: "nats://localhost", network: new MemoryNetwork() },
      "TypeError",
      "nats and network exclude each other: give one of them",
    ],
    ["network", { network: {} }, "TypeError", "network must be a MemoryNetwork; got an object"],
    ["namespace", { namespace: "shop.eu" }, "TypeError", `namespace ${token}; got "shop.eu"`],
    ["namespace, empty", { namespace: "" }, "TypeError", `namespace ${token}; got ""`],
    ["service", { service: "x y" }, "TypeError", `service ${token}; got "x y"`],
    ["service, too long", { service: "x".repeat(65) }, "TypeError", `service ${token}; got "${"x".repeat(65)}"`],
    ["id", { id: 5 }, "TypeError", `id ${token}; got 5`],
    ["id, a wildcard", { id: "*" }, "TypeError", `id ${token}; got "*"`],
    ["metadata", { metadata: ["a"] }, "TypeError", "metadata must be an object of strings; got an array"],
    ["metadata, a number in it", { metadata: { port: 80 } }, "TypeError", "metadata.port must be a string; got 80"],
    ["transport", { transport: "bun" }, "TypeError", 'transport must be "deno" or "node"; got "bun"'],
    ["signals", { signals: "SIGTERM" }, "TypeError", 'signals must be true or false; got "SIGTERM"'],
    ["timeout", { timeout: "1s" }, "TypeError", 'timeout must be a number of ms; got "1s"'],
    ["timeout, negative", { timeout: -1 }, "RangeError", "timeout must be from 1 to 2147483647 ms; got -1"],
    ["timeout, endless", { timeout: Infinity }, "RangeError", "timeout must be from 1 to 2147483647 ms; got Infinity"],
    ["retries", { retries: true }, "TypeError", "retries must be a number; got true"],
    ["retries, negative", { retries: -1 }, "RangeError", "retries must be from 0 to 1000; got -1"],
    ["retries, broken", { retries: 1.5 }, "RangeError", "retries must be a whole number; got 1.5"],
    [
      "route",
      { route: "nearest" },
      "TypeError",
      'route must be one of round-robin, local-first, hash, least-loaded, random, or a function; got "nearest"',
    ],
    ["heartbeat", { heartbeat: 100 }, "RangeError", "heartbeat must be from 3000 to 2147483647 ms; got 100"],
    ["behaviors", { behaviors: () => {} }, "TypeError", "behaviors must be an array of functions; got a function"],
    ["behaviors, one of them", { behaviors: [null] }, "TypeError", "behaviors[0] must be a function; got null"],
    [
      "logger",
      { logger: null },
      "TypeError",
      "logger must have the methods debug, info, warn and error, as console has; got null",
    ],
    [
      "logger, incomplete",
      { logger: { debug() {}, info() {}, warn() {} } },
      "TypeError",
      "logger.error must be a function; got undefined",
    ],
    ["replicas", { replicas: 0 }, "RangeError", "replicas must be from 1 to 5; got 0"],
    ["replicas, broken", { replicas: 1.5 }, "RangeError", "replicas must be a whole number; got 1.5"],
  ];
  for (const [what, options, name, message] of cases) {
    it(`${what}: says the option, the value and what it should be`, async () => {
      assertEquals(await refusal(options), [name, message]);
    });
  }

  it("are found before anything is opened", async () => {
    const network = new MemoryNetwork();
    let connected = 0;
    const { connect } = network;
    network.connect = (...args) => (connected++, Reflect.apply(connect, network, args));
    await refusal({ network, replicas: 9 });
    await refusal({ network, handlers: prices });
    assertEquals(connected, 0);
  });
});

describe("catga: an app without a network", () => {
  it("no options at all", async () => {
    await using app = await catga();
    const { id, service, handles, server } = app.self;
    assertEquals([id.length, service, handles, server], [10, "app", [], ""]);
  });

  it("is its own and only node, with what it was started with", async () => {
    const handlers = Double.handle((n) => n * 2);
    await using app = await catga({ id: "me", service: "shop", metadata: { zone: "a" }, handlers });
    const { id, service, handles, metadata } = app.self;
    assertEquals({ id, service, handles }, { id: "me", service: "shop", handles: ["Double"] });
    assertEquals(metadata, { zone: "a" });
    assertEquals(app.nodes(), [app.self]);
    assert(Object.isFrozen(app.self) && Object.isFrozen(metadata));
    assertEquals(unwrap(await app.send(Double, 21)), 42);
  });

  it("watchNodes ends when the signal aborts, and when the app stops", async () => {
    const app = await catga();
    assertEquals((await app.watchNodes({ signal: AbortSignal.abort() }).next()).done, true);
    const watching = app.watchNodes().next();
    await app.drain();
    assertEquals((await watching).done, true);
    assertEquals(app.nodes(), []);
  });

  it("its own timeout stands behind those of sends and contracts", async () => {
    const deadlines: number[] = [];
    const Short = command<void, void>("Short", { timeout: 60_000 });
    const Plain = command<void, void>("Plain");
    const note = (_: void, { deadline }: { deadline: number }) => void deadlines.push(deadline - Date.now());
    await using app = await catga({ timeout: 240_000, handlers: [Short.handle(note), Plain.handle(note)] });
    await app.send(Plain);
    await app.send(Short);
    await app.send(Short, undefined, { timeout: 120_000 });
    for (const [at, whole] of [240_000, 60_000, 120_000].entries()) {
      assert(deadlines[at] <= whole && deadlines[at] > whole / 2, `${deadlines[at]} ms of ${whole} ms are left`);
    }
  });

  // Bun has no permissions
  const permissions = "Deno" in globalThis ? it : () => {};
  permissions("asks Deno for no permission", async () => {
    // it once asked for the host's name
    const main = fileURLToPath(new URL("./catga.ts", import.meta.url));
    const program =
      `import { catga } from "${main}"; await using app = await catga(); console.log(app.nodes().length);`;
    const url = `data:application/typescript,${encodeURIComponent(program.replace(main, `file://${main}`))}`;
    const { stdout } = await promisify(execFile)(process.execPath, ["run", "--no-prompt", "--no-check", url]);
    assertEquals(stdout, "1\n");
  });

  permissions("asks Deno for no permission for a cluster in memory", async () => {
    // it asked for the host's name there, and the first test with the test kit failed
    const kit = new URL("./testing/mod.ts", import.meta.url).href;
    const program = `import { testCluster } from "${kit}"; await using cluster = await testCluster(2, {});` +
      "console.log(cluster.apps[0].nodes().length);";
    const url = `data:application/typescript,${encodeURIComponent(program)}`;
    const { stdout } = await promisify(execFile)(process.execPath, ["run", "--no-prompt", "--no-check", url]);
    assertEquals(stdout, "2\n");
  });
});

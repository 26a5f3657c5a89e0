/** Invalid options of `catga()`, and the texts of the errors. */
import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { catga } from "../catga.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { query } from "../contract/declaration/definition.ts";
import * as prices from "../../test/support/prices.ts";
import { type CatgaOptions, withDefaults } from "./app_options.ts";

const Double = query<number, number>("Double");

/** Returns the name and the message of the error with which `catga()` rejects. */
async function refusal(options: unknown): Promise<[string, string]> {
  const error = await assertRejects(() => catga(options as CatgaOptions), Error);
  return [error.name, error.message];
}

describe("options", () => {
  const token = 'must be 1 to 64 letters, digits, "-" and "_"';
  const known =
    "handlers, nats, network, file, sql, namespace, service, id, metadata, transport, signals, timeout, retries, " +
    "route, concurrency, heartbeat, breaker, behaviors, carry, causes, codec, logger, replicas";
  const cases: [what: string, options: unknown, name: string, message: string][] = [
    ["no object", null, "TypeError", "catga takes an object of options; got null"],
    ["handlers instead of options", [], "TypeError", "catga takes an object of options; got an array"],
    ["unknown", { handler: 1 }, "TypeError", `catga: unknown option handler; it takes ${known}`],
    [
      "a handler itself",
      Double.handle((n) => n),
      "TypeError",
      "catga takes an object of options; got a handler of Double: give { handlers }",
    ],
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
    [
      "file beside nats",
      { nats: "nats://localhost", file: "shop.db" },
      "TypeError",
      "nats and file exclude each other: give one of them",
    ],
    ["file", { file: "" }, "TypeError", 'file must be the path of a file, as "shop.db"; got ""'],
    ["file without a path", { file: {} }, "TypeError", 'file must be the path of a file, as "shop.db"; got undefined'],
    [
      "file with another option",
      { file: { path: "shop.db", sync: true } },
      "TypeError",
      "file: unknown option sync; it takes path, durability",
    ],
    [
      "file.durability",
      { file: { path: "shop.db", durability: "none" } },
      "TypeError",
      'file.durability must be "disk" or "process"; got "none"',
    ],
    ["network", { network: {} }, "TypeError", "network must be a MemoryNetwork; got an object"],
    ["namespace", { namespace: "shop.eu" }, "TypeError", `namespace ${token}; got "shop.eu"`],
    ["namespace, empty", { namespace: "" }, "TypeError", `namespace ${token}; got ""`],
    ["service", { service: "x y" }, "TypeError", `service ${token}; got "x y"`],
    ["service, too long", { service: "x".repeat(65) }, "TypeError", `service ${token}; got "${"x".repeat(65)}"`],
    ["id", { id: 5 }, "TypeError", `id ${token}; got 5`],
    ["id, a wildcard", { id: "*" }, "TypeError", `id ${token}; got "*"`],
    ["metadata", { metadata: ["a"] }, "TypeError", "metadata must be an object of strings; got an array"],
    [
      "metadata, a date",
      { metadata: new Date() },
      "TypeError",
      "metadata must be an object of strings; got an instance of Date",
    ],
    [
      "breaker, a map",
      { breaker: new Map() },
      "TypeError",
      "breaker takes an object of options; got an instance of Map",
    ],
    ["metadata, a number in it", { metadata: { port: 80 } }, "TypeError", "metadata.port must be a string; got 80"],
    ["transport", { transport: "bun" }, "TypeError", 'transport must be "deno", "node" or "official"; got "bun"'],
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
      "logger must be an object with the methods debug, info, warn, error; got null",
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
    it(`${what}: an invalid value is refused, with the option, the value and what it should be`, async () => {
      assertEquals(await refusal(options), [name, message]);
    });
  }

  it("invalid ones are refused before anything is opened", async () => {
    const network = new MemoryNetwork();
    let connected = 0;
    const { connect } = network;
    network.connect = (...args) => (connected++, Reflect.apply(connect, network, args));
    await refusal({ network, replicas: 9 });
    await refusal({ network, handlers: prices });
    assertEquals(connected, 0);
  });

  it("each that was left out has its default, also in a breaker that is half given", () => {
    const { timeout, retries, route, concurrency, heartbeat, breaker } = withDefaults({ breaker: { failures: 2 } });
    assertEquals({ timeout, retries, route, concurrency, heartbeat, breaker }, {
      timeout: 30_000,
      retries: 3,
      route: "round-robin",
      concurrency: 1_024,
      heartbeat: 30_000,
      breaker: { failures: 2, cooldown: 5_000 },
    });
  });
});

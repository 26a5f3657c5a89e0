import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { pino } from "pino";
import { catga } from "../catga.ts";
import { event, query, stream } from "../contract/declaration/definition.ts";
import type { MaybePromise, Schema, SchemaResult } from "../contract/schemas/schema.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { MemoryNetwork } from "../memory/network.ts";
import type { LogFields, Logger, Observation } from "../contract/nodes/observer.ts";
import { consoleWarnings, logTo } from "./logging.ts";
import { consoleErrors } from "../../test/support/console_errors.ts";

/** Makes a logger that records each call as `[level, message, fields]`. */
function keeping(): { logger: Logger; lines: [string, string, LogFields][] } {
  const lines: [string, string, LogFields][] = [];
  const at = (level: string) => (message: string, fields: LogFields) => void lines.push([level, message, fields]);
  return { logger: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }, lines };
}

describe("consoleWarnings", () => {
  it("an error without a cause is the line alone; `throw undefined` has a cause, undefined", () => {
    const real = console.error;
    const seen: unknown[][] = [];
    console.error = (...args) => void seen.push(args);
    try {
      const error = new Error("why");
      consoleWarnings.error("a dead letter", {});
      consoleWarnings.error("it failed", { error });
      consoleWarnings.error("it threw", { error: undefined });
      assertEquals(seen, [["a dead letter"], ["it failed", error], ["it threw", undefined]]);
    } finally {
      console.error = real;
    }
  });
});

describe("logTo", () => {
  it("writes a line for each observation, at its level", () => {
    const { logger, lines } = keeping();
    const observer = logTo(logger, "n1", { monotonic: () => 0 });
    const error = new Error("bug");
    const seen: Observation[] = [
      { type: "handler-failed", contract: "Create", id: "m1", error },
      { type: "fault", during: "event Tick (m2)", error },
      { type: "malformed", subject: "catga.x", reason: "no JSON", count: 3 },
      { type: "event-dropped", contract: "Moved", count: 7 },
      { type: "connection", state: "connected", generation: 1 },
      { type: "connection", state: "disconnected", generation: 1 },
      { type: "connection", state: "closed", generation: 1 },
      { type: "unreachable", address: "nats-1:4222", reason: "connection refused" },
      { type: "gone", endpoint: "n2.a", inHand: 4 },
      { type: "held-up", ms: 30_000, by: ["command Create (2)", "sends (1)"] },
      { type: "node", change: "suspect", node: "n2" },
      { type: "retry", contract: "Create", node: "n2", reason: "BOUNCED", attempt: 2 },
      { type: "bounce", endpoint: "n2.a" },
      { type: "notice", text: "older" },
      { type: "lock-wait", key: "k", ms: 12.3, code: undefined },
      { type: "lock-wait", key: "k", ms: 30, code: "LOCK_TIMEOUT" },
    ];
    for (const observation of seen) observer(observation);
    assertEquals(lines.map(([level, message]) => [level, message]), [
      ["error", "catga n1: the handler of Create threw (message m1)"],
      ["error", "catga n1: event Tick (m2) failed"],
      ["warn", "catga n1: dropped 3 malformed message(s), the last on catga.x: no JSON"],
      ["warn", "catga n1: dropped 7 event(s) Moved: too many wait for their handlers"],
      ["warn", "catga n1: connected to the network again"],
      ["warn", "catga n1: lost the network, reconnecting"],
      ["warn", "catga n1: the network connection is closed"],
      ["warn", "catga n1: waiting for NATS at nats-1:4222: connection refused"],
      ["info", "catga n1: process n2.a is gone with 4 request(s) in hand"],
      ["warn", "catga n1: drain: command Create (2), sends (1) did not end within 30 s; the drain goes on without"],
      ["info", "catga n1: node n2: suspect"],
      ["debug", "catga n1: retrying Create: node n2 failed (BOUNCED), attempt 2"],
      ["debug", "catga n1: a frame to n2.a bounced: no process is there"],
      ["info", "catga n1: older"],
      ["debug", "catga n1: lock k acquired after 12 ms"],
      ["debug", "catga n1: lock k failed (LOCK_TIMEOUT) after 30 ms"],
    ]);
  });

  it("writes one line, whatever is in the ids and subjects of other processes", () => {
    const { logger, lines } = keeping();
    const observer = logTo(logger, "n1", { monotonic: () => 0 });
    observer({ type: "handler-failed", contract: "Create", id: "m1)\ncatga n1: all is well\x1b[2J", error: "bug" });
    observer({ type: "malformed", subject: "catga.\x1b]0;x\x07", reason: "no JSON", count: 1 });
    assertEquals(lines.map(([, message]) => message), [
      "catga n1: the handler of Create threw (message m1)\\u{a}catga n1: all is well\\u{1b}[2J)",
      "catga n1: dropped 1 malformed message(s), the last on catga.\\u{1b}]0;x\\u{7}: no JSON",
    ]);
  });

  it("the fields have the node that logs, the observation, and the node of the observation as peer", () => {
    const { logger, lines } = keeping();
    const error = new Error("bug");
    const observer = logTo(logger, "n1", { monotonic: () => 0 });
    observer({ type: "handler-failed", contract: "Create", id: "m1", error });
    observer({ type: "breaker", node: "n2", state: "open" });
    // these headers must not be logged, because they may hold secrets
    const headers = { authorization: "Bearer of a secret" };
    observer({ type: "retry", contract: "Create", node: "n2", reason: "LOST", attempt: 2, headers });
    assertEquals(lines.map(([, , fields]) => fields), [
      { node: "n1", type: "handler-failed", contract: "Create", id: "m1", error },
      { node: "n1", peer: "n2", type: "breaker", state: "open" },
      { node: "n1", peer: "n2", type: "retry", contract: "Create", reason: "LOST", attempt: 2 },
    ]);
  });

  it("an app logs what a handler threw, with contract and message id, to its logger", async () => {
    const { logger, lines } = keeping();
    const thrown = new Error("secret");
    const Ask = query("Ask");
    await using app = await catga({
      id: "n1",
      logger,
      handlers: Ask.handle(() => {
        throw thrown;
      }),
    });
    await app.send(Ask, undefined, { id: "m1" });
    assertEquals(lines.length, 1);
    assertEquals(lines[0].slice(0, 2), ["error", "catga n1: the handler of Ask threw (message m1)"]);
    assertStrictEquals(lines[0][2].error, thrown);
  });
});

describe("a logger from npm", () => {
  it("pino: a line of JSON with level, message, fields and the error, by an adapter of four lines", async () => {
    const lines: string[] = [];
    const log = pino({ base: null, timestamp: false, errorKey: "error" }, {
      write: (line: string) => void lines.push(line),
    });
    const logger: Logger = {
      debug: (message, fields) => log.debug(fields, message),
      info: (message, fields) => log.info(fields, message),
      warn: (message, fields) => log.warn(fields, message),
      error: (message, fields) => log.error(fields, message),
    };
    const Ask = query("Ask");
    const handlers = Ask.handle(() => {
      throw new Error("bug");
    });
    await using app = await catga({ id: "n1", network: new MemoryNetwork(), logger, handlers });
    await app.send(Ask, undefined, { id: "m1" });
    const [joined, { error: { stack: _, ...error }, ...failed }] = lines.map((line) => JSON.parse(line));
    assertEquals(joined, {
      level: 30,
      node: "n1",
      peer: "n1",
      type: "node",
      change: "join",
      msg: "catga n1: node n1: join",
    });
    assertEquals([failed, error], [{
      level: 50,
      node: "n1",
      type: "handler-failed",
      contract: "Ask",
      id: "m1",
      correlationId: "m1",
      msg: "catga n1: the handler of Ask threw (message m1)",
    }, { type: "Error", message: "bug" }]);
  });
});

function schemaOf(validate: (value: unknown) => MaybePromise<SchemaResult<unknown>>): Schema<unknown> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

describe("a schema that throws on the handler's node", () => {
  it("is logged there as an error, once for each message; what a schema refuses is not logged", async () => {
    const bug = new TypeError("no name");
    const failing = schemaOf((value) => {
      if (value === "bug") throw bug;
      return value === "bad" ? { issues: [{ message: "bad" }] } : { value };
    });
    const later = schemaOf(async (value) => {
      await Promise.resolve();
      return await failing["~standard"].validate(value);
    });
    const { logger, lines } = keeping();
    const network = new MemoryNetwork();
    const contracts = [
      query<unknown, unknown>("Input", { input: failing }),
      query<unknown, unknown>("Later", { input: later }),
      query<unknown, unknown>("Output", { output: failing }),
      query<unknown, unknown>("OutputLater", { output: later }),
    ];
    const Items = stream<unknown, unknown>("Items", { items: failing });
    const Told = event<unknown>("Told", { input: failing });
    const Kept = event<unknown>("Kept", { input: failing, durable: true });
    await using _server = await catga({
      id: "server",
      network,
      logger,
      handlers: [
        ...contracts.map((contract) => contract.handle((value) => value)),
        Items.handle(function* (value) {
          yield value;
        }),
        Told.on(() => {}),
        Kept.on(() => {}, { name: "keeper", retry: { attempts: 1 } }),
      ],
    });
    await using client = await catga({ network, id: "client", logger: QUIET });
    await eventually("the client to see the server", () => client.nodes().length === 2);
    const logged = () => lines.filter(([level, , fields]) => level === "error" && fields.type === "handler-failed");
    for (const payload of ["bad", "bug"]) {
      for (const { name } of contracts) await client.send(query<unknown, unknown>(name), payload, { id: `${name} 1` });
      await client.stream(stream<unknown, unknown>("Items"), payload, {}).next().catch(() => {});
      await client.publish(event<unknown>("Told"), payload, { id: "Told 1" });
      await client.publish(event<unknown>("Kept", { durable: true }), payload, { id: `Kept ${payload}` });
      if (payload === "bad") assertEquals(logged(), []);
    }
    await eventually("the line of each", () => logged().length >= 7);
    assertEquals(logged().map(([, , { contract, schema }]) => `${contract} ${schema}`).sort(), [
      "Input input",
      "Items items",
      "Kept input",
      "Later input",
      "Output output",
      "OutputLater output",
      "Told input",
    ]);
    assertEquals(new Set(logged().map(([, , { error }]) => error)), new Set([bug]));
    const [, text, fields] = logged()[0];
    assertEquals(text, "catga server: the input schema of Input threw (message Input 1)");
    assertEquals([fields.id, fields.correlationId], ["Input 1", "Input 1"]);
    const faults = lines.filter(([, , { type }]) => type === "fault");
    assertEquals(faults.length, 1, "of the event that was refused, which no sender hears of");
  });
});

describe("a logger that throws", () => {
  it("has no effect: handlers answer, senders get failures, the node drains (each line lost a place)", async () => {
    const told = await consoleErrors(async () => {
      const wrong = () => {
        throw new Error("disk full");
      };
      const logger = { debug: wrong, info: wrong, warn: wrong, error: wrong };
      const Break = query<number, number>("Break");
      const network = new MemoryNetwork();
      const handlers = Break.handle((n) => {
        if (n % 2 === 1) throw new Error("bug");
        return n;
      });
      await using _server = await catga({ network, handlers, logger, concurrency: 1 });
      await using client = await catga({ network, logger });
      const results = await client.sendAll(Break, [0, 1, 2, 3, 4]);
      assertEquals(results.map(({ value, error }) => error?.code ?? value), [
        0,
        "HANDLER_FAILED",
        2,
        "HANDLER_FAILED",
        4,
      ]);
    });
    assertStrictEquals(String(told[0][1]), "Error: disk full");
  });
});

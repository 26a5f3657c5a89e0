/**
 * Tests that an error thrown by a handler stays on its node: a client that reads every subject of a real server sees
 * none of it.
 */
import { connect } from "@nats-io/transport-node";
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, CatgaError, command, event, type Schema } from "../../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { PATIENT } from "../../../test/support/patient.ts";

const SECRET = "swordfish";
const CODES = {
  throws: "HANDLER_FAILED",
  rejects: "HANDLER_FAILED",
  "throws with a cause": "MINE",
  "throws what is no error": "HANDLER_FAILED",
  "answers what throws": "INVALID_RESPONSE",
  "fails with details that throw": "MINE",
  "has a getter that throws": "HANDLER_FAILED",
};
type Way = keyof typeof CODES;

function handler(way: Way): unknown {
  const secret = new Error(SECRET);
  const thrower = () => {
    throw secret;
  };
  switch (way) {
    case "throws":
      throw secret;
    case "rejects":
      return Promise.reject(secret);
    case "throws with a cause":
      throw new CatgaError("MINE", "this may be told", { cause: secret });
    case "throws what is no error":
      throw { SECRET, toString: () => SECRET };
    case "answers what throws":
      return Object.defineProperty({}, "secret", { get: thrower, enumerable: true });
    case "fails with details that throw":
      return {
        ok: false,
        error: new CatgaError("MINE", "this may be told", {
          details: Object.defineProperty({}, "secret", { get: thrower, enumerable: true }),
        }),
      };
    case "has a getter that throws":
      return Object.defineProperty({}, "ok", { get: thrower });
  }
}

const throwing: Schema<unknown> = {
  "~standard": {
    version: 1,
    vendor: "a test",
    validate(value) {
      if (value === "throw here") return { value };
      throw new Error(SECRET);
    },
  },
};

const Do = command<Way, unknown>("Do");
const Once = command<Way, unknown>("Once", { idempotent: true });
const Checked = command<unknown, unknown>("Checked", { output: throwing });
const Told = event<Way>("Told");

describe("what a handler throws", await requireNatsServer(), () => {
  it("is published nowhere, neither text nor stack: not in answers, kept results, events or plain answers", async () => {
    await using server = await startNatsServer();
    const tap = await connect({ servers: server.url });
    const seen: string[] = [];
    tap.subscribe(">", {
      callback: (_, message) => {
        const headers = message.headers?.keys().map((key) => `${key}: ${message.headers!.get(key)}`) ?? [];
        seen.push([message.subject, ...headers, message.string()].join("\n"));
      },
    });
    await tap.flush();
    const logged: unknown[] = [];
    const logger = { debug() {}, info() {}, warn() {}, error: (...line: unknown[]) => logged.push(line) };
    const handlers = [
      Do.handle(handler),
      Once.handle(handler),
      Checked.handle(() => "anything"),
      Told.on((way) => handler(way) as void),
    ];
    await using node = await catga({ nats: server.url, id: "node", handlers, logger });
    await using client = await catga({ nats: server.url, id: "client", logger });
    for (const [way, code] of Object.entries(CODES) as [Way, string][]) {
      assertEquals([way, (await client.send(Do, way)).error?.code], [way, code]);
      assertEquals([way, (await client.send(Once, way)).error?.code], [way, code]);
      const answer = await tap.request("catga.default.call.Do", JSON.stringify(way), PATIENT);
      assertEquals([way, answer.headers?.get("Catga-Error-Code")], [way, code]);
      await client.publish(Told, way);
    }
    assertEquals((await client.send(Checked, 1)).error?.code, "INVALID_RESPONSE");
    await node.drain();
    await tap.flush();
    assert(seen.length > 40, `only ${seen.length} messages were seen`);
    assert(logged.length > 10, "nothing was logged");
    assertEquals(seen.filter((text) => text.includes(SECRET) || /\n {4}at |\.ts:\d/.test(text)), []);
    await tap.close();
  });
});

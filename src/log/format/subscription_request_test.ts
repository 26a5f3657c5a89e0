import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { encodeValue } from "../../data/encoding.ts";
import { readRequest, type SubscriptionRequest, writeRequest } from "./subscription_request.ts";

const nested = (levels: number) => JSON.parse("[".repeat(levels) + "]".repeat(levels));

describe("a request to a subscription's leader", () => {
  it("is read as it was written", () => {
    const requests: SubscriptionRequest[] = [
      { kind: "replay", message: "7-8", dead: 9 },
      { kind: "replay", message: "7-8", dead: 9, payload: '{"n":1}' },
      { kind: "replay", message: "7-8", dead: 9, payload: "null" },
      { kind: "replay", message: "7-8", dead: 9, payload: encodeValue({ at: new Date(7) }, "payload") },
      { kind: "discard", message: "7-8", dead: 9 },
      { kind: "rewind", to: 0 },
      { kind: "join", began: { Placed: 7 } },
    ];
    for (const request of requests) assertEquals(readRequest(writeRequest(request)), request);
  });

  it("that is invalid is described", () => {
    const cases: [unknown, string][] = [
      [[], "no object"],
      [{ v: 2, kind: "rewind", to: 1 }, "of another version"],
      [{ v: 1, kind: "stop" }, "another request"],
      [{ v: 1, kind: "replay", message: 7, dead: 1 }, "no dead letter"],
      [{ v: 1, kind: "discard", message: "7-8", dead: -1 }, "no dead letter"],
      [{ v: 1, kind: "replay", message: "7-8", dead: 1, payload: { n: 1 } }, "no payload"],
      [{ v: 1, kind: "replay", message: "7-8", dead: 1, payload: "{" }, "no payload"],
      [{ v: 1, kind: "replay", message: "7-8", dead: 1, payload: '~{"$":' }, "no payload"],
      [{ v: 1, kind: "replay", message: "7-8", dead: 1, payload: "[".repeat(5_000) + "]".repeat(5_000) }, "no payload"],
      [{ v: 1, kind: "replay", message: "7-8", dead: 1, plain: nested(5_000) }, "no payload"],
      [{ v: 1, kind: "rewind", to: 1.5 }, "no position"],
      [{ v: 1, kind: "join", began: { "a b": 1 } }, "no categories"],
      [{ v: 1, kind: "join", began: { Placed: "1" } }, "no categories"],
    ];
    for (const [value, reason] of cases) assertEquals(readRequest(JSON.stringify(value)), reason);
    assertEquals(readRequest("{"), "no JSON");
  });
});

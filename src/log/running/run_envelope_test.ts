import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { type Logged, RunEnvelope } from "./run_envelope.ts";

const LOGGED: Logged = { id: "m", attempt: 3, position: 1_025, key: "k", meta: undefined, fence: 7 };

describe("RunEnvelope", () => {
  it("has what stands in the message, and what the leader's request says", () => {
    const meta = { c: "correlation", a: "causation", h: { trace: "t" }, k: 60_000 };
    const { id, attempt, position, key, fence, call, correlation, causation, headers } = envelope({ meta });
    assertEquals({ id, attempt, position, key, fence, call }, { ...without(LOGGED), call: "here.1.9" });
    assertEquals([correlation, causation, { ...headers }], ["correlation", "causation", { trace: "t" }]);
  });

  it("has neither headers nor ancestry for a message without them, which nobody can change", () => {
    for (const meta of [undefined, null, {}]) {
      const { headers, ancestry, correlation, causation } = envelope({ meta });
      assertEquals([Object.keys(headers), ancestry, correlation, causation], [[], [], undefined, undefined]);
      assertEquals([Object.isFrozen(headers), Object.isFrozen(ancestry)], [true, true]);
    }
  });

  it("gives headers as a copy that nobody can change, with their own names only, the same each time", () => {
    const given = JSON.parse('{"__proto__":"p","trace":"t"}');
    const made = envelope({ meta: { h: given } });
    const { headers } = made;
    given.trace = "changed";
    assertEquals(Object.entries(headers), [["__proto__", "p"], ["trace", "t"]]);
    assertEquals(["constructor" in headers, Object.isFrozen(headers)], [false, true]);
    assertStrictEquals(made.headers, headers);
  });

  it("asks for the run's id only when that is read: most handlers never do", () => {
    let asked = 0;
    const envelope = {
      get call() {
        return `here.1.${++asked}`;
      },
    };
    const made = new RunEnvelope(LOGGED, { envelope });
    assertEquals([made.id, asked], ["m", 0]);
    assertEquals([made.call, asked], ["here.1.1", 1]);
  });
});

function envelope(more: Partial<Logged>): RunEnvelope {
  return new RunEnvelope({ ...LOGGED, ...more }, { envelope: { call: "here.1.9" } });
}

function without({ meta: _, ...rest }: Logged) {
  return rest;
}

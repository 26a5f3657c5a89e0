import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isLeftOut, type ParkedMessage, readParked, withoutPayload, writeParked } from "./parked_message.ts";

const ID = "1024-1795000000000";
const PARKED: ParkedMessage = {
  message: {
    position: 1_024,
    category: "orders.Placed",
    id: "m1",
    key: "k",
    payload: { a: [1, null] },
    tagged: false,
    meta: { c: "c1", a: "a1", h: { ["__proto__"]: "x" }, k: 1_000 },
    time: 1_795_000_000_000,
  },
  error: { code: "BROKE", message: "why" },
};

describe("parked messages", () => {
  it("are read as they were written", () => {
    assertEquals(readParked(ID, writeParked(PARKED)), PARKED);
    const message = { ...PARKED.message, key: undefined, meta: undefined, payload: undefined };
    const bare: ParkedMessage = { error: undefined, message };
    assertEquals(readParked(ID, writeParked(bare)), bare);
    const tagged = { ...PARKED, message: { ...PARKED.message, tagged: true, payload: '~{"at":"~d1"}' } };
    assertEquals(readParked(ID, writeParked(tagged)), tagged);
  });

  it("keep their payloads before they were edited, and leave them out of one that is too large", () => {
    const message = { ...PARKED.message, earlier: [[7, '{"n":1}']] as const };
    assertEquals(readParked(ID, writeParked({ ...PARKED, message })), { ...PARKED, message });
    assertEquals((readParked(ID, writeParked({ ...PARKED, message }, 0)) as ParkedMessage).message, PARKED.message);
    for (const earlier of [7, ["x"], [[-1, "x"]], [[7, 8]]]) {
      const text = JSON.stringify({ v: 1, message: { ...PARKED.message, earlier } });
      assertEquals(readParked(ID, text), "no earlier payloads");
    }
  });

  it("keep a payload of 1,000 levels, and are invalid with a deeper one", () => {
    const deep = (levels: number) => {
      const payload = JSON.parse("[".repeat(levels) + "]".repeat(levels));
      return readParked(ID, writeParked({ ...PARKED, message: { ...PARKED.message, payload } }));
    };
    let depth = 0;
    for (let at = (deep(1_000) as ParkedMessage).message.payload; Array.isArray(at); at = at[0]) depth++;
    assertEquals([depth, deep(2_000)], [1_000, "nested too deeply"]);
  });

  it("keep what the handler threw, 4 kB of it at most, and leave it out of one that is too large", () => {
    const error = { code: "HANDLER_FAILED", message: "it threw", cause: `TypeError: ${"x".repeat(9_000)}` };
    const read = readParked(ID, writeParked({ ...PARKED, error })) as ParkedMessage;
    assertEquals(read.error, { ...error, cause: error.cause.slice(0, 4_096) });
    const small = readParked(ID, writeParked({ ...PARKED, error }, 0)) as ParkedMessage;
    assertEquals(small.error, { code: "HANDLER_FAILED", message: "…" });
  });

  it("keep the beginning of a long error", () => {
    const error = { code: "C".repeat(1_000), message: "m".repeat(5_000) };
    const read = readParked(ID, writeParked({ ...PARKED, error })) as ParkedMessage;
    assertEquals([read.error?.code.length, read.error?.message.length], [201, 1_001]);
  });

  it("that are too large keep what they are, and no handler gets a payload that is not their own", () => {
    const { message, error } = withoutPayload(PARKED);
    assertEquals([message.id, message.key, message.tagged, error?.code], ["m1", "k", true, "BROKE"]);
    assertEquals([isLeftOut(message), isLeftOut(PARKED.message)], [true, false]);
    assertEquals(readParked(ID, writeParked({ message, error })), { message, error });
    // the log does not have the payload that an operator gave it
    const edited = withoutPayload({ ...PARKED, message: { ...PARKED.message, earlier: [[1, "{}"]] } });
    assertEquals(isLeftOut(edited.message), false);
  });

  it("that are invalid are described", () => {
    const value = JSON.parse(writeParked(PARKED));
    const { message } = value;
    const cases: [unknown, string][] = [
      [[], "no object"],
      [{ ...value, v: 2 }, "of another version"],
      [{ ...value, error: ["x"] }, "no error"],
      [{ ...value, message: [] }, "no message"],
      [{ ...value, message: { ...message, position: 1 } }, "another message than its subject says"],
      [{ ...value, message: { ...message, time: -1 } }, "no position, category, id or time"],
      [{ ...value, message: { ...message, category: "a b" } }, "no position, category, id or time"],
      [{ ...value, message: { ...message, key: 7 } }, "no key"],
      [{ ...value, message: { ...message, tagged: true } }, "no payload"],
      [{ ...value, message: { ...message, meta: { h: { a: 1 } } } }, "no headers"],
    ];
    for (const [text, reason] of cases) assertEquals(readParked(ID, JSON.stringify(text)), reason);
    assertEquals(readParked(ID, "{"), "no JSON");
  });
});

import { describe, it } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { answersIn, Malformed, MalformedCount, readEventFrame, readFrame } from "./frame_reader.ts";
import type { EventFrame, Frame } from "./frame.ts";
import { Unreadable } from "../../data/tags.ts";
import { withoutTemporal } from "../../../test/support/payloads.ts";
import type { Observation } from "../../contract/nodes/observer.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Transport } from "../../ports/transport.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const frame = (...items: unknown[]): Frame => readFrame(bytes(JSON.stringify([1, 7, 1_000, ...items])));
const event = (...rest: unknown[]): EventFrame => readEventFrame(bytes(JSON.stringify([1, ...rest])));
const refused = (read: () => unknown): string => assertThrows(read, Malformed).message;

describe("readFrame", () => {
  it("accepts every kind of item, as it is", () => {
    const items = [
      ["q", "Add", 100, 1, { a: 2 }],
      ["q", "Ping", 100],
      ["m", "orders.Create", 100, { id: "x", attempt: 2, headers: { a: "b" }, ancestry: ["c"], correlation: "r" }, 1],
      ["m", "Ping", 100, {}],
      ["r", 3, 0, null, 1],
      ["r", 3, 2],
      ["e", 3, 3, { code: "NO", message: "no" }],
      ["n", 3, 4, "DRAINING"],
      ["c", 3, 5],
      ["p", 9],
      ["o", 9, 7, [1, 2, 4, 4], [3, 0]],
      ["v", 1, 2],
      ["b", "a.1", "SERVER"],
      ["h", "orders.Create"],
      ["g", "orders.Create", 300_000],
    ];
    const read = frame(...items);
    assertEquals([read.seq, read.sentAt], [7, 1_000]);
    assertEquals(read.items as unknown[], items);
  });

  it("reads what is around a value whose type this runtime does not have", () => {
    const [instant, why] = [
      "~Temporal.Instant:2026-01-01T00:00:00Z",
      "it has a Temporal.Instant, which this runtime does not have",
    ];
    const failed = (what: string) => ({
      code: "INVALID_RESPONSE",
      message: `${what} cannot be read: ${why}`,
      final: true,
    });
    const restore = withoutTemporal();
    try {
      const { items } = frame(
        ["Q", "Add", 100, "~Date:0", { at: instant }],
        ["R", 3, 0, "~Date:0", [instant], 1],
        ["E", 3, 3, { code: "NO", message: "~~no", details: instant }],
        ["I", 3, 4, 7, "~Date:0", instant],
        ["p", 9],
      );
      const request = items[0] as unknown as [string, string, number, Date, Unreadable];
      assertEquals([request[3], request[4] instanceof Unreadable, request[4].why], [new Date(0), true, why]);
      assertEquals(items.slice(1) as unknown[], [
        ["r", 3, 0, new Date(0)],
        ["e", 3, 1, failed("the answer")],
        ["r", 3, 2, 1],
        ["e", 3, 3, { code: "NO", message: "~no", details: "(the details could not be read)" }],
        ["e", 3, 4, failed("an item")],
        ["p", 9],
      ]);
    } finally {
      restore();
    }
  });

  it("skips items of unknown kinds, and keeps the others", () => {
    assertEquals(frame(["zz", { any: "thing" }], ["p", 1], [""], ["P"]).items, [["p", 1]]);
  });

  it("reads values that JSON lacks in the items that say so, and in no others", () => {
    const read = frame(
      ["Q", "Add", 100, "~Date:0", ["~Map", ["a", "~bigint:ff"]], "~~x", 1],
      ["q", "Add", 100, "~Date:0", ["~Map", ["a", 1]], "~nothing"],
      ["M", "Add", 100, { id: "~Date:0" }, { n: "~NaN" }],
      ["R", 3, 0, "~undefined", ["~Set", "~-0"]],
      ["E", 3, 2, { code: "NO", message: "~~no", details: "~Infinity" }],
    );
    assertEquals(read.items as unknown[], [
      ["q", "Add", 100, new Date(0), new Map([["a", 255n]]), "~x", 1],
      ["q", "Add", 100, "~Date:0", ["~Map", ["a", 1]], "~nothing"],
      ["m", "Add", 100, { id: "~Date:0" }, { n: NaN }],
      ["r", 3, 0, undefined, new Set([-0])],
      ["e", 3, 2, { code: "NO", message: "~no", details: Infinity }],
    ]);
  });

  it("refuses a frame with a tag that is none, as a whole", () => {
    const items = [
      ["Q", "Add", 100, "~"],
      ["Q", "Add", 100, 1, { a: ["~Date:never"] }],
      ["M", "Add", 100, {}, ["~Map", 1]],
      ["R", 3, 0, "~Uint8Array:AAA"],
      ["E", 3, 0, { details: "~bigint:xyz" }],
    ];
    for (const item of items) assert(refused(() => frame(["p", 1], item)).startsWith("invalid tags: "));
    for (const item of [["Q", "no name!", 100], ["M", "Add", 100, 1], ["R", -1, 0], ["E", 1]]) {
      refused(() => frame(item));
    }
  });

  it("answersIn returns the answers of a frame with their tags", () => {
    const answers = [["R", 3, 0, "~Date:0", "~~"], ["E", 3, 2, { code: "NO", details: "~NaN" }], ["r", 3, 3, "~"]];
    const text = JSON.stringify([1, 7, 1_000, ["p", 1], ["Q", "Add", 100, "~NaN"], ...answers]);
    assertEquals(answersIn(text), answers.map((item) => `,${JSON.stringify(item)}`).join(""));
  });

  it("accepts a frame without items", () => assertEquals(frame().items, []));

  it("refuses what is not a frame, and says why", () => {
    const cases: [string, string][] = [
      ["", "it is not JSON"],
      ["{", "it is not JSON"],
      ["\0c\x01", "it is encrypted, and this node has no codec, or not its key"],
      ["null", "it is not an array"],
      ["7", "it is not an array"],
      ['{"0":1}', "it is not an array"],
      ["[]", "it has no protocol version"],
      ['["1",1,1]', "it has no protocol version"],
      ["[1.5,1,1]", "it has no protocol version"],
      ["[-1,1,1]", "it has no protocol version"],
      ["[2,1,1]", "protocol version 2, not 1"],
      ["[1]", "seq is not a positive integer"],
      ["[1,0,1]", "seq is not a positive integer"],
      ["[1,-1,1]", "seq is not a positive integer"],
      ["[1,1.5,1]", "seq is not a positive integer"],
      ["[1,9007199254740992,1]", "seq is not a positive integer"],
      ["[1,1e400,1]", "seq is not a positive integer"],
      ['[1,"1",1]', "seq is not a positive integer"],
      ["[1,1]", "sentAt is not a time"],
      ["[1,1,null]", "sentAt is not a time"],
      ["[1,1,1e400]", "sentAt is not a time"],
    ];
    for (const [text, why] of cases) assertEquals(refused(() => readFrame(bytes(text))), why, text);
  });

  it("refuses a whole frame for one item with the wrong shape", () => {
    const cases: unknown[] = [
      7,
      null,
      "q",
      {},
      [],
      [7],
      [["q"]],
      ["q"],
      ["q", 7, 100],
      ["q", "", 100],
      ["q", "a..b", 100],
      ["q", "a b", 100],
      ["q", "*", 100],
      ["q", "x".repeat(257), 100],
      ["q", "Add", "100", 1],
      ["q", "Add", null, 1],
      ["m", "Add", 100],
      ["m", "Add", 100, null],
      ["m", "Add", 100, []],
      ["m", "Add", 100, "meta"],
      ["m", "Add", 100, { passedOn: "yes" }],
      ["m", "Add", 100, { id: 7 }, 1],
      ["m", "Add", 100, { id: "" }, 1],
      ["m", "Add", 100, { correlation: {} }, 1],
      ["m", "Add", 100, { causation: [] }, 1],
      ["m", "Add", 100, { attempt: -1 }, 1],
      ["m", "Add", 100, { attempt: 1.5 }, 1],
      ["m", "Add", 100, { send: "" }, 1],
      ["m", "Add", 100, { span: "long" }, 1],
      ["m", "Add", 100, { ancestry: "a" }, 1],
      ["m", "Add", 100, { ancestry: [1] }, 1],
      ["m", "Add", 100, { headers: [] }, 1],
      ["m", "Add", 100, { headers: { a: 1 } }, 1],
      ["m", "Add", 100, {}, 1, 2],
      ["r"],
      ["r", 1],
      ["r", -1, 0, 1],
      ["r", 1, 0.5, 1],
      ["e", "1", 0, {}],
      ["n", 1, 0],
      ["n", 1, 0, 7],
      ["n", 1, null, "LATE"],
      ["c", 1],
      ["c", 1, -1],
      ["i", 1, 0],
      ["w", 1, 0, 3],
      ["w", 1, 0, 3, "3"],
      ["w", 1, 0, -1, 3],
      ["p"],
      ["p", "1"],
      ["p", 1, 0, "2"],
      ["p", 1, 0, [2]],
      ["p", 1, 0, [2, -3]],
      ["o", 1, 2, [], [0, 0], [1]],
      ["o", 1, 2, [], [0, 0], "1"],
      ["o", 1, 1, []],
      ["o", 1, 1, [1], [0, 0]],
      ["o", 1, 1, [1, "2"], [0, 0]],
      ["o", 1, 1, {}, [0, 0]],
      ["o", 1, 1, [], [0]],
      ["o", 1, 1, [], [0, -1]],
      ["o", 1, -1, [], [0, 0]],
      ["v", "1"],
      ["b"],
      ["b", "a", "SERVER"],
      ["b", "a.1"],
      ["b", "a.1", 7],
      ["v", ...new Array(17).fill(1)],
      ["h"],
      ["h", "a b"],
      ["h", "x".repeat(257)],
      ["g", "Add"],
      ["g", "Add", -1],
      ["g", 7, 1],
    ];
    for (const item of cases) assert(refused(() => frame(["p", 1], item)).length > 0, JSON.stringify(item));
  });

  it("reports the version of a frame that it cannot read", () => {
    assertEquals(assertThrows(() => readFrame(bytes('[2,"whatever"]')), Malformed).version, 2);
    assertEquals(assertThrows(() => readFrame(bytes("[1,0,0]")), Malformed).version, undefined);
  });

  it("refuses invalid UTF-8", () => {
    for (const wrong of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98]]) {
      const text = bytes('[1,1,1,["q","A",1,"');
      assertEquals(refused(() => readFrame(new Uint8Array([...text, ...wrong, ...bytes('"]]')]))), "it is not JSON");
    }
  });

  it("keeps __proto__ in payloads and meta what it is in JSON: a key without effect", () => {
    const text = '[1,1,1,["m","A",1,{"__proto__":{"id":7},"headers":{"__proto__":"x"}},{"__proto__":{"admin":true}}]]';
    const item = readFrame(bytes(text)).items[0] as unknown as ["m", string, number, Record<string, unknown>, object];
    assertEquals(Object.getPrototypeOf(item[3]), Object.prototype);
    assertEquals((item[4] as { admin?: boolean }).admin, undefined);
    assertEquals(({} as { admin?: boolean }).admin, undefined);
  });

  it("reads nesting as deep as a message can hold", () => {
    for (const [open, close] of [["[", "]"], ['{"a":', "}"]]) {
      const depth = 150_000;
      const deep = open.repeat(depth) + "1" + close.repeat(depth);
      for (const text of [deep, `[1,1,1,${deep}]`, `[1,1,1,["q","A",1,${deep}]]`, `[1,1,1,["v",${deep}]]`]) {
        try {
          readFrame(bytes(text));
        } catch (error) {
          assert(error instanceof Malformed, String(error));
        }
      }
    }
  });
});

describe("readEventFrame", () => {
  it("accepts a batch, and one without a payload", () => {
    assertEquals(event("a.1", 5, { seq: 1, id: "x" }, 1, null), {
      sender: "a.1",
      sentAt: 5,
      meta: { seq: 1, id: "x" },
      payloads: [1, null],
    });
    assertEquals(event("a.1", 5, { seq: 1 }).payloads, []);
  });

  it("refuses what is not a batch", () => {
    const cases: unknown[][] = [
      [],
      ["a", 5, { seq: 1 }],
      [7, 5, { seq: 1 }],
      ["a.1.2", 5, { seq: 1 }],
      ["a.1", "5", { seq: 1 }],
      ["a.1", 5],
      ["a.1", 5, null, 1],
      ["a.1", 5, {}, 1],
      ["a.1", 5, { seq: -1 }, 1],
      ["a.1", 5, { seq: 1, headers: { a: {} } }, 1],
      ["a.1", 5, { seq: 1, id: 1 }, 1],
    ];
    for (const rest of cases) assert(refused(() => event(...rest)).length > 0, JSON.stringify(rest));
  });
});

describe("readEventFrame of events with tags", () => {
  const tagged = (...payloads: unknown[]) =>
    readEventFrame(bytes(JSON.stringify(["~1", "a.1", 1_000, { seq: 1, id: "~Date:0" }, ...payloads])));

  it("reads them", () => {
    const { payloads, meta } = tagged("~Date:0", { a: ["~Set", 1] });
    assertEquals([payloads, meta.id], [[new Date(0), { a: new Set([1]) }], "~Date:0"]);
    assertEquals(event("a.1", 1_000, { seq: 1 }, "~Date:0").payloads, ["~Date:0"]);
  });

  it("refuses tags that are none, and a frame of requests with that version", () => {
    assertEquals(refused(() => tagged("~x")), "invalid tags: a text begins like a tag, and is none");
    assertEquals(refused(() => readFrame(bytes('["~1",7,1000]'))), "it has no protocol version");
  });
});

/** Makes a transport with the only member that a count uses. */
const transportOf = (clock: VirtualClock) => ({ clock }) as unknown as Transport;

describe("MalformedCount", () => {
  it("reports the first message at once, then once a minute how many came, with the last one's reason", async () => {
    const clock = new VirtualClock();
    const reports: Observation[] = [];
    const malformed = new MalformedCount(transportOf(clock), (report) => void reports.push(report));
    malformed.add("s", "first");
    for (let i = 0; i < 5; i++) malformed.add("s", `more ${i}`);
    assertEquals(reports, [{ type: "malformed", subject: "s", reason: "first", count: 1 }]);
    await clock.advance(60_000);
    malformed.add("t", "last");
    assertEquals(reports.slice(1), [{ type: "malformed", subject: "t", reason: "last", count: 6 }]);
  });

  it("report() reports the rest, once; a subject of any length is cut to 200 characters", () => {
    const reports: Observation[] = [];
    const malformed = new MalformedCount(transportOf(new VirtualClock()), (report) => void reports.push(report));
    malformed.add("s", "first");
    malformed.add("x".repeat(1_000), "second");
    malformed.report();
    malformed.report();
    assertEquals(reports.slice(1), [{ type: "malformed", subject: "x".repeat(200), reason: "second", count: 1 }]);
  });
});

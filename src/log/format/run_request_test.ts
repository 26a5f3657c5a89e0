import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import {
  MAX_ANSWER_CODE,
  MAX_ANSWER_MESSAGE,
  readBarrier,
  readBarrierAnswer,
  readBatchAnswer,
  readBatchRequest,
  readRunAnswer,
  readRunRequest,
} from "./run_request.ts";

const REQUEST = [7, 1_025, 1, "m", null, { n: 1 }, 0, 1.5, null];

/** Returns the valid request with one element replaced. */
function changed(index: number, value: unknown): unknown[] {
  return REQUEST.with(index, value as never);
}

describe("readRunRequest", () => {
  it("takes a request as it is, without copying it", () => {
    const whole = [...REQUEST.slice(0, 3), "x".repeat(512), "key", "~Date:0", 1, 0, { c: "c", a: "a", h: { t: "" } }];
    for (const request of [REQUEST, whole, changed(5, undefined), changed(8, {}), changed(8, { k: 1, new: {} })]) {
      assertStrictEquals(readRunRequest(request), request);
    }
  });

  it("says which element is wrong", () => {
    const wrong: [why: string, index: number, values: unknown[]][] = [
      ["no token, position or attempt", 0, [0, -1, 1.5, 2 ** 53, "7", NaN]],
      ["no token, position or attempt", 1, [0, "1", null, {}]],
      ["no token, position or attempt", 2, [0, 0.5, undefined]],
      ["no id", 3, ["", 7, null, "x".repeat(513)]],
      ["no key", 4, [7, undefined]],
      ["no payload", 6, [1, 2, true, null]],
      ["no time", 7, ["1", null, NaN, Infinity]],
      ["no meta", 8, [undefined, 7, "c", []]],
      ["no correlation or causation", 8, [{ c: 7 }, { a: null }, { a: {} }]],
      ["no headers", 8, [{ h: null }, { h: "t" }, { h: ["t"] }, { h: { t: 7 } }]],
    ];
    for (const [why, index, values] of wrong) {
      for (const value of values) assertEquals(readRunRequest(changed(index, value)), why, `${index}: ${value}`);
    }
    for (const value of [undefined, null, {}, "x", REQUEST.slice(1), [...REQUEST, 1]]) {
      assertEquals(readRunRequest(value), "no array of 9");
    }
  });
});

describe("readBatchRequest", () => {
  it("takes 1 to 1,000 requests of one leader, and says what is wrong with any other batch", () => {
    const other = changed(1, 1_026);
    assertEquals<unknown>(readBatchRequest(["batch", REQUEST, other]), [REQUEST, other]);
    assertEquals<unknown>(readBatchRequest(["batch", REQUEST]), [REQUEST]);
    for (const value of [undefined, null, "batch", {}, [], REQUEST, ["Batch", REQUEST]]) {
      assertEquals(readBatchRequest(value), undefined);
    }
    const wrong: [why: string, members: unknown[]][] = [
      ["no batch of 1 to 1000", []],
      ["no batch of 1 to 1000", Array(1_001).fill(REQUEST)],
      ["no array of 9", [REQUEST, null]],
      ["no array of 9", [REQUEST, ["batch", REQUEST]]],
      ["no key", [REQUEST, changed(4, 7)]],
      ["no payload", [REQUEST, changed(6, 1)]],
      ["messages of two leaders", [REQUEST, changed(0, 8)]],
    ];
    for (const [why, members] of wrong) assertEquals(readBatchRequest(["batch", ...members]), why);
  });
});

describe("readBatchAnswer", () => {
  it("takes one answer for each member, no more and no fewer", () => {
    const failed = ["GONE", "none", 0];
    assertEquals<unknown>(readBatchAnswer({ of: [0, 2, 3, failed] }, 4), [0, 2, 3, failed]);
    const wrong = [[], [0], [0, 0, 0], [0, 1], [0, 4], [0, null], [0, []], [0, { of: [] }], { length: 2 }, "00", 2];
    for (const each of wrong) assertEquals(readBatchAnswer({ of: each }, 2), undefined, JSON.stringify(each));
    for (const value of [undefined, null, 0, [0, 0], "of"]) assertEquals(readBatchAnswer(value, 2), undefined);
  });
});

describe("readRunAnswer", () => {
  it("takes 0, 1 and failures, with a cause if it is a text, of 4 kB at most", () => {
    for (const answer of [0, 1, ["GONE", "", 1], ["GONE", "none", 0, "TypeError: no"]]) {
      assertEquals<unknown>(readRunAnswer(answer), answer);
    }
    for (const cause of [undefined, null, 7, { stack: "x" }]) {
      assertEquals(readRunAnswer(["GONE", "none", 0, cause]), ["GONE", "none", 0]);
    }
    assertEquals(readRunAnswer(["GONE", "none", 0, "x".repeat(5_000)]), ["GONE", "none", 0, "x".repeat(4_096)]);
  });

  it("cuts a code and a message that are too long", () => {
    const [code, message] = ["C".repeat(MAX_ANSWER_CODE), "m".repeat(MAX_ANSWER_MESSAGE)];
    assertEquals(readRunAnswer([`${code}C`, `${message}m`, 0]), [code, message, 0]);
  });

  it("takes nothing else, which a leader would count as an attempt", () => {
    const wrong = [2, "0", null, undefined, true, {}, [], ["A", "b"], ["A", "b", 0, 1, 2]];
    for (const value of [...wrong, ["", "b", 0], [7, "b", 0], ["A", null, 0], ["A", "b", true], ["A", "b", 4]]) {
      assertEquals(readRunAnswer(value), undefined, JSON.stringify(value));
    }
  });
});

describe("barriers", () => {
  it("have a token, and are answered with positions", () => {
    assertEquals(readBarrier(["barrier", 7]), 7);
    const answer = {
      running: ["1025-3", "7-0"],
      ended: ["9-1"],
      finished: [["9-1", 4, 1, 0], ["8-1", 3, 2, ["SOLD_OUT", "no more", 1]]] as const,
    };
    assertEquals(readBarrierAnswer({ ...answer, more: 1 }), { ...answer, invalid: 0 });
    const nothing = { running: [], ended: [], finished: [] };
    assertEquals(readBarrierAnswer(nothing), { ...nothing, invalid: 0 });
    assertEquals(readBarrierAnswer({ running: ["7-0"], ended: ["9-1"] }), {
      ...{ running: ["7-0"], ended: ["9-1"], finished: [], invalid: 0 }, // of an earlier build
    });
  });

  it("are nothing else", () => {
    for (
      const value of [null, "barrier", ["barrier"], ["stop", 7], ["barrier", 7, 1], ["barrier", 0], ["barrier", "7"]]
    ) {
      assertEquals(readBarrier(value), undefined, JSON.stringify(value));
    }
  });

  it("lose what is invalid of their answer, and no more", () => {
    const good = ["7-1", 1, 1, 0];
    for (const odd of [undefined, null, 7, "7", {}, ["7-1"]]) {
      const value = { running: ["7-1", odd], ended: [odd, "9-1"], finished: [good, odd] };
      assertEquals<unknown>(readBarrierAnswer(value), {
        ...{ running: ["7-1"], ended: ["9-1"], finished: [good], invalid: 3 },
      });
    }
    for (const odd of [["7", 1, 1, 0], ["7-1", 0, 1, 0], ["7-1", 1, 0, 0], ["7-1", 1, 1, 1], ["7-1", 1, 1, 0, 0]]) {
      const { finished, invalid } = readBarrierAnswer({ running: [], ended: [], finished: [odd, good] });
      assertEquals<unknown>([finished, invalid], [[good], 1]);
    }
    for (const list of [undefined, 7, { length: 0 }]) {
      const { running, ended, invalid } = readBarrierAnswer({ running: list, ended: ["9-1"], finished: [] });
      assertEquals([running, ended, invalid], [[], ["9-1"], 1]);
    }
    for (const value of [undefined, null, 0, "running", []]) {
      assertEquals(readBarrierAnswer(value), { running: [], ended: [], finished: [], invalid: 1 });
    }
  });
});

import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { difference, withoutTemporal } from "../../test/support/payloads.ts";
import {
  base64,
  isTagged,
  MAX_DIGITS,
  MINUS_ZERO,
  readTag,
  tagOfBigint,
  tagOfBytes,
  tagOfDate,
  tagOfNumber,
  UNDEFINED,
  UnknownType,
} from "./tags.ts";
import { decodeText, encodeValue } from "./encoding.ts";

describe("tags", () => {
  /**
   * Values with their tags, and the texts of the tags, which must not change, because other nodes and the store have
   * them.
   */
  const TAGS: readonly (readonly [value: unknown, tag: string | undefined, written: string])[] = [
    [NaN, tagOfNumber(NaN), "~NaN"],
    [-Infinity, tagOfNumber(-Infinity), "~-Infinity"],
    [-0, MINUS_ZERO, "~-0"],
    [undefined, UNDEFINED, "~undefined"],
    [255n, tagOfBigint(255n), "~bigint:ff"],
    [-16n, tagOfBigint(-16n), "~bigint:-10"],
    [new Date(-1), tagOfDate(new Date(-1)), "~Date:-1"],
    [new Date(NaN), tagOfDate(new Date(NaN)), "~Date:NaN"],
    [new Uint8Array([1, 2]), tagOfBytes(new Uint8Array([1, 2])), "~Uint8Array:AQI="],
    [new Uint16Array([1]), tagOfBytes(new Uint16Array([1])), "~Uint16Array:AQA="],
    [new Uint8Array([1]).buffer, tagOfBytes(new Uint8Array([1]).buffer), "~ArrayBuffer:AQ=="],
    [new DataView(new ArrayBuffer(0)), tagOfBytes(new DataView(new ArrayBuffer(0))), "~DataView:"],
  ];

  it("have a fixed form, and are read as the value", () => {
    for (const [value, tag, written] of TAGS) {
      assertEquals(tag, written);
      assertEquals(difference(readTag(written), value), undefined, written);
    }
  });

  it("of Temporal have a fixed form, and are read as the value", () => {
    const values: readonly (readonly [value: unknown, text: string])[] = [
      [Temporal.Instant.from("2026-01-01T00:00:00.000000001Z"), '~"~Temporal.Instant:2026-01-01T00:00:00.000000001Z"'],
      [
        Temporal.ZonedDateTime.from("1970-01-01T01:00[Europe/Berlin]"),
        '~"~Temporal.ZonedDateTime:0,Europe/Berlin,iso8601"',
      ],
      [Temporal.PlainDate.from("2026-01-02"), '~"~Temporal.PlainDate:2026-01-02"'],
      [Temporal.PlainTime.from("03:04"), '~"~Temporal.PlainTime:03:04:00"'],
      [Temporal.PlainDateTime.from("2026-01-02T03:04"), '~"~Temporal.PlainDateTime:2026-01-02T03:04:00"'],
      [Temporal.PlainYearMonth.from("2026-01"), '~"~Temporal.PlainYearMonth:2026-01"'],
      [Temporal.PlainMonthDay.from("01-02"), '~"~Temporal.PlainMonthDay:01-02"'],
      [new Temporal.Duration(1, 2, 3, 4, 5, 6, 7, 8, 9, 1_000), '~"~Temporal.Duration:1,2,3,4,5,6,7,8,9,1000"'],
    ];
    for (const [value, text] of values) {
      assertEquals(encodeValue(value, "payload"), text);
      assertEquals(difference(decodeText(text), value), undefined, text);
    }
  });

  it("of Temporal are a TypeError if they are invalid, and an UnknownType where the runtime lacks the type", () => {
    const bad = [
      "Instant:soon",
      "Duration:1,x",
      "ZonedDateTime:0,Nowhere/Atlantis,iso8601",
      "ZonedDateTime:x",
      "Now:1",
    ];
    for (const text of bad) assertThrows(() => readTag(`~Temporal.${text}`), TypeError, "a text", text);
    const restore = withoutTemporal();
    try {
      const error = assertThrows(() => readTag("~Temporal.Instant:2026-01-01T00:00:00Z"), UnknownType);
      assertEquals(error.message, "it has a Temporal.Instant, which this runtime does not have");
    } finally {
      restore();
    }
  });

  it("begin with a tilde; a text with two is one that begins with one", () => {
    assertEquals(["~", "~~", "~Date:0", "", "a~", "-"].map(isTagged), [true, true, true, false, false, false]);
    assertEquals(["~~", "~~~", "~~Date:0"].map(readTag), ["~", "~~", "~Date:0"]);
    assertThrows(() => readTag("~Date"), TypeError, "a text begins like a tag, and is none");
  });
});

describe("tagOfBigint", () => {
  it("has as many digits as may be read, with either sign, and returns no tag for more", () => {
    const largest = BigInt(`0x${"f".repeat(MAX_DIGITS)}`);
    for (const value of [largest, -largest]) {
      const tag = tagOfBigint(value);
      assertEquals([tag !== undefined, readTag(tag ?? UNDEFINED) === value], [true, true]);
    }
    assertEquals([tagOfBigint(largest + 1n), tagOfBigint(-largest - 1n)], [undefined, undefined]);
  });
});

describe("tagOfBytes and base64", () => {
  it("have the bytes of a view, and not the rest of its buffer", () => {
    const view = new Uint8Array([9, 1, 2, 9]).subarray(1, 3);
    assertEquals([tagOfBytes(view), base64(view), base64(view.buffer)], ["~Uint8Array:AQI=", "AQI=", "CQECCQ=="]);
    const within = new DataView(view.buffer, 2, 1);
    assertEquals(tagOfBytes(within), "~DataView:Ag==");
  });

  it("a class that extends a type of bytes has the tag of that type, whatever its own name is", () => {
    class Digest extends Uint8Array {
      override get [Symbol.toStringTag](): "Uint8Array" {
        return "Digest" as "Uint8Array";
      }
    }
    assertEquals(tagOfBytes(new Digest([1, 2])), "~Uint8Array:AQI=");
    assertStrictEquals(Object.getPrototypeOf(readTag("~Uint8Array:AQI=")), Uint8Array.prototype);
  });
});

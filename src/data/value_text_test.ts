import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch, assertNotEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { fingerprint, type Form, UnsendableError, valueText, whyUnsendable } from "./value_text.ts";

const write = (value: unknown, form: Form) => valueText(value, form, "it").text;

/** Asserts that a value cannot be sent, and returns the error. */
const refused = (value: unknown, form: Form = "tagged") =>
  assertThrows(() => valueText(value, form, "it"), UnsendableError);

describe("valueText", () => {
  it("each form has its own text of one value", () => {
    const value = { b: -0, a: undefined, at: new Date(0), m: new Map([["~x", new Set([1n])]]), l: [undefined, "~"] };
    assertEquals(
      write(value, "tagged"),
      '{"b":"~-0","a":"~undefined","at":"~Date:0","m":["~Map",["~~x",["~Set","~bigint:1"]]],"l":["~undefined","~~"]}',
    );
    assertEquals(
      write(value, "canonical"),
      '{"at":"~Date:0","b":"~-0","l":["~undefined","~~"],"m":["~Map",["~~x",["~Set","~bigint:1"]]]}',
    );
    assertEquals(
      write(value, "json"),
      '{"b":0,"at":"1970-01-01T00:00:00.000Z","m":[["~x",["1"]]],"l":[null,"~"]}',
    );
    assertEquals(write({ b: "~x", a: -0, c: undefined }, "canonical-json"), '{"a":"~-0","b":"~x"}');
  });

  it("canonical: keys in the order of their UTF-16 code units, at every depth", () => {
    const value = { "\ufb33": 1, "\u{1f600}": 2, é: 3, a: [{ z: 1, B: 2 }], 10: 4, 9: 5 };
    const text = '{"10":4,"9":5,"a":[{"B":2,"z":1}],"é":3,"\u{1f600}":2,"\ufb33":1}';
    assertEquals([write(value, "canonical"), write(value, "canonical-json")], [text, text]);
  });

  it("says whether the text has tags, and strings that are escaped", () => {
    const flags = (value: unknown) => {
      const { tagged, escaped } = valueText(value, "tagged", "it");
      return { tagged, escaped };
    };
    assertEquals(flags({ a: [1, "x", null] }), { tagged: false, escaped: false });
    assertEquals(flags({ a: undefined, b: -0 }), { tagged: true, escaped: false });
    assertEquals(flags([undefined]), { tagged: true, escaped: false });
    assertEquals(flags(new Set()), { tagged: true, escaped: false });
    assertEquals(flags(["~x"]), { tagged: false, escaped: true });
  });

  it("writes a value that stands in two places twice: only one within itself is a cycle", () => {
    const shared = { n: 1 };
    const map = new Map([["k", shared]]);
    assertEquals(write([shared, shared, map, map], "json"), '[{"n":1},{"n":1},[["k",{"n":1}]],[["k",{"n":1}]]]');
    const within: unknown[] = [shared];
    within.push([within]);
    assertEquals(refused(within).message, "it[1][0] has a cycle: it stands within itself");
  });

  it("refuses objects of classes in every form; one without prototype is plain", () => {
    const values = [new (class extends Date {})(0), new (class extends Set {})(), Object.create({ a: 1 })];
    for (const form of ["tagged", "canonical", "canonical-json", "json"] as const) {
      for (const value of values) assertEquals(refused({ value }, form).path, "it.value");
      assertEquals(write(Object.assign(Object.create(null), { a: 1 }), form), '{"a":1}');
    }
  });

  it("keeps what a getter threw as the cause, and not in the message", () => {
    const cause = new Error("secret");
    const error = refused({
      a: [0, {
        get b() {
          throw cause;
        },
      }],
    });
    assertStrictEquals(error.cause, cause);
    assertEquals(error.message, "it.a[1].b cannot be read: a getter threw, or its text is too long");
  });

  it("paths: keys that are no names stand in quotes, and of a long one the end is shown", () => {
    assertEquals(refused({ "größe_1": { "a.b": { "": [Symbol()] } } }).path, 'it.größe_1["a.b"][""][0]');
    let value: unknown = { last: Symbol() };
    for (let i = 0; i < 900; i++) value = { a: value };
    const { path } = refused(value);
    assert(path.startsWith("it….a") || path.startsWith("it…a."), path);
    assertEquals([path.endsWith(".a.a.last"), path.length], [true, 203]);
  });
});

describe("Unsendable", () => {
  it("is a TypeError with the path, which its message begins with, and the cause", () => {
    const cause = new Error("a getter");
    const error = new UnsendableError("payload.at", "cannot be read", cause);
    assert(error instanceof TypeError);
    assertEquals([error.message, error.path, error.cause], ["payload.at cannot be read", "payload.at", cause]);
    assertEquals("cause" in new UnsendableError("payload", "is a symbol"), false);
  });
});

describe("whyUnsendable", () => {
  const instead = "send a plain object, or a text, that it can be made from";

  it("says what the value is, and what to send in its place", () => {
    const why: [value: unknown, why: string][] = [
      [() => 1, "is a function"],
      [class Account {}, "is a function"],
      [Symbol("secret"), "is a symbol"],
      [Promise.resolve(), "is a promise: await it first"],
      [new RangeError("secret"), "is an Error: send its message, or fail() with a code"],
      [/secret/, "is a RegExp: send its source and its flags"],
      [new URL("https://secret.example"), `is an instance of URL: ${instead}`],
      [new (class Straße_2 {})(), `is an instance of Straße_2: ${instead}`],
    ];
    for (const [value, expected] of why) assertEquals(whyUnsendable(value), expected);
  });

  it("leaves out the name of a class that is no name, or that cannot be read", () => {
    const named = (name: unknown) => ({ constructor: { name } });
    const odd: object[] = [
      ...[named(""), named("a b"), named("a\nb"), named("1a"), named("x".repeat(65)), named(7), named(undefined)],
      { constructor: null },
      { constructor: undefined },
      Object.create({
        get constructor() {
          throw new Error("secret");
        },
      }),
    ];
    for (const value of odd) assertEquals(whyUnsendable(value), `is an instance of a class: ${instead}`);
    assertEquals(whyUnsendable(named("x".repeat(64))), `is an instance of ${"x".repeat(64)}: ${instead}`);
  });
});

describe("fingerprint", () => {
  it("is the same for equal JSON, whatever the order of the keys, at any depth", () => {
    assertEquals(
      fingerprint({ a: 1, b: { c: [1, { d: 2, e: 3 }] } }),
      fingerprint({ b: { c: [1, { e: 3, d: 2 }] }, a: 1 }),
    );
    assertMatch(fingerprint({}), /^[\w-]{43}$/);
  });

  it("does not depend on members that are undefined", () => {
    assertEquals(fingerprint({ a: undefined, b: 0 }), fingerprint({ b: 0 }));
    assertEquals(fingerprint({ a: undefined, b: [1n] }), fingerprint({ b: [1n] }));
  });

  it("differs for values that JSON does not tell apart, and from texts like their tags", () => {
    const values: unknown[] = [
      new Date(0),
      new Date(1),
      new Date(0).toJSON(),
      "~Date:0",
      '~"~Date:0"',
      1n,
      "~bigint:1",
      "1",
      1,
      new Map([["a", 1]]),
      new Map([["a", 2]]),
      new Map([["b", 1]]),
      new Map<unknown, unknown>([[1, 1]]),
      new Map<unknown, unknown>([["1", 1]]),
      [["a", 1]],
      ["~Map", ["a", 1]],
      new Set(["a"]),
      new Set(["b"]),
      ["a"],
      new Uint8Array([1]),
      new Uint8Array([2]),
      new Int8Array([1]),
      { 0: 1 },
      NaN,
      Infinity,
      -Infinity,
      0,
      -0,
      "~-0",
      null,
      [undefined],
      [null],
      {},
    ];
    assertEquals(new Set(values.map(fingerprint)).size, values.length);
    const [a, b] = [{ x: new Date(0), y: { c: 1n, d: 2 } }, { y: { d: 2, c: 1n }, x: new Date(0) }];
    assertEquals(fingerprint(a), fingerprint(b));
  });

  it("differs for other values", () => {
    const values: unknown[] = [
      undefined,
      null,
      0,
      "0",
      "",
      [],
      {},
      [[]],
      [1, 2],
      [2, 1],
      ["1,2"],
      { a: 1 },
      { a: "1" },
      { b: 1 },
    ];
    values.push({ a: undefined, b: null }, { a: { b: 1 } }, { a: 1, b: 1 }, JSON.parse('{"__proto__":1}'), "undefined");
    assertEquals(new Set(values.map(fingerprint)).size, values.length);
    assertNotEquals(fingerprint("e\u0301"), fingerprint("é"));
  });

  it("throws a TypeError for what cannot be sent", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    for (const bad of [() => 1, cycle]) assertThrows(() => fingerprint(bad), TypeError);
  });

  it("of JSON stays the same in every version: claims in the store may be of a node of version 0.1", () => {
    const known: [value: unknown, fingerprint: string][] = [
      [undefined, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"],
      [null, "dCNOmK_nSY-12vHzasLXiswzlGT5UHA7jAGYkvmCuQs"],
      [0, "X-zrZv_IbzjZUnhsbWlsecLbwjndTpG0ZynXOif7V-k"],
      [-0, "W2GFpsZBrTyYewvhS_B6t44EN2U5FELDGL-KCAWzl6U"],
      [1e21, "JBxGQ_pwsdzeEgW3G-TjvrsX6fiAyOGjPQ6tbCcnHTw"],
      ["", "Eq4yyx7ALQHto1gbEnwf7jsNxTVy7WuvI5choD2C4SY"],
      ["undefined", "z5ObOYt18KZdePvAaq81MI-me53T3Q3jqWHEeW8b4OY"],
      ["e\u0301", "PWjOIfKJmkdXE82-dWK6m9trHf3orx8iG9_0oJNbU7I"],
      ["\ud800", "jAxZ3Q0nWq3NRipf4S6zUsvf6vlh6uT4WkZgUh330vU"],
      [[], "T1PNoYwrqgwDVLtfmj7L5e0Sq02OEbqHPC8RFhICuUU"],
      [{}, "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"],
      [
        { b: { c: [1, { d: 2, e: 3 }] }, a: 1, "10": 1, "9": 2, "ä": 3, "\u{1f600}": 4, "\ufb01": 5 },
        "NsBIABZJ_CLD7wHk8FhB5WuY03OidfP8kuJmD5W1KAY",
      ],
      [JSON.parse('{"__proto__":{"a":1},"toString":2}'), "aMyY_NafWAZKDtsM77sQGmZw_FhI2edZOVULGRqK2sY"],
      [[[[[1]]], { a: [] }], "rwxi7v2Dq4mR5-gvHBe834pGbuGSkkhESE4eK5WqdeE"],
    ];
    for (const [value, expected] of known) assertEquals(fingerprint(value), expected);
  });

  it("of a payload of more than 1,000 levels is refused", () => {
    for (const [open, close] of [["[", "]"], ['{"a":', "}"]]) {
      const deep = (levels: number) => JSON.parse(open.repeat(levels) + '{"x":1,"y":2}' + close.repeat(levels));
      assertEquals(fingerprint(deep(999)).length, 43);
      assertThrows(() => fingerprint(deep(1_000)), TypeError, "is nested too deeply");
      assertThrows(() => fingerprint(deep(100_000)), TypeError, "is nested too deeply");
    }
  });
});

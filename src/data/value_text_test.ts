import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { type Form, valueText } from "./value_text.ts";
import { UnsendableError } from "./unsendable.ts";

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

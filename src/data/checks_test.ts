import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnown,
  checkMethods,
  checkNumber,
  checkSignal,
  checkString,
  checkStrings,
  checkToken,
  show,
} from "./checks.ts";

/**
 * Calls a check with a value that a program without types may pass. Asserts that it throws an error of this type, and
 * returns the error's message.
 */
function refusal(type: typeof TypeError | typeof RangeError, check: (value: never) => void, value: unknown): string {
  const error = assertThrows(() => check(value as never));
  assertInstanceOf(error, type);
  return error.message;
}

describe("checkNumber and checkInteger", () => {
  it("accept the ends of the range, and throw a RangeError beside them, for NaN too", () => {
    const check = (value: number) => checkNumber("ttl", value, 1, 10, "ms");
    for (const value of [1, 1.5, 10]) check(value);
    for (const value of [0, 0.999, 10.001, -1, NaN, Infinity, -Infinity]) {
      assertEquals(refusal(RangeError, check, value), `ttl must be from 1 to 10 ms; got ${value}`);
    }
  });

  it("throw a TypeError for what is no number, though it could become one", () => {
    for (
      const [value, shown] of [["5", '"5"'], [5n, "5n"], [null, "null"], [new Date(5), "an instance of Date"]] as const
    ) {
      const withUnit = refusal(TypeError, (n) => checkNumber("ttl", n, 1, 10, "ms"), value);
      assertEquals(withUnit, `ttl must be a number of ms; got ${shown}`);
      assertEquals(refusal(TypeError, (n) => checkInteger("n", n, 1, 10), value), `n must be a number; got ${shown}`);
    }
  });

  it("checkInteger: a fraction within the range is a RangeError of its own", () => {
    const check = (value: number) => checkInteger("n", value, 1, 10);
    for (const value of [1, 10]) check(value);
    assertEquals(refusal(RangeError, check, 1.5), "n must be a whole number; got 1.5");
    assertEquals(refusal(RangeError, check, 10.5), "n must be from 1 to 10; got 10.5");
  });
});

describe("checkKnown", () => {
  const check = (options: object) => checkKnown("drain", options, new Set(["timeout", "signal"]));

  it("throws for a name that is not known, also of an option that is undefined", () => {
    check({});
    check({ signal: 1, timeout: undefined });
    const message = "drain: unknown option timout; it takes timeout, signal";
    assertEquals(refusal(TypeError, check, { timeout: 1, timout: undefined }), message);
    assertEquals(
      refusal(TypeError, check, JSON.parse('{"__proto__":1}')),
      "drain: unknown option __proto__; it takes timeout, signal",
    );
  });

  it("throws for what is no object of options", () => {
    class Own {}
    const others: [options: unknown, shown: string][] = [
      [null, "null"],
      [7, "7"],
      ["x", '"x"'],
      [[], "an array"],
      [new Date(), "an instance of Date"],
      [new Map(), "an instance of Map"],
      [new Own(), "an instance of Own"],
      [new (class {})(), "an instance of a class"],
      [Promise.resolve(), "an instance of Promise"],
      [Object.create({ timeout: 1 }), "an object"],
    ];
    for (const [options, shown] of others) {
      assertEquals(refusal(TypeError, check, options), `drain takes an object of options; got ${shown}`);
    }
  });
});

describe("checkBoolean, checkString and checkFunction", () => {
  it("accept nothing that could become one", () => {
    checkBoolean("once", false);
    checkString("key", "");
    checkFunction("load", () => {});
    for (const value of [0, 1, "true", null, {}, new Boolean(true)]) {
      const message = refusal(TypeError, (value: boolean) => checkBoolean("once", value), value);
      assertEquals(message, `once must be true or false; got ${show(value)}`);
    }
    for (const value of [0, true, null, ["a"], new String("a")]) {
      const message = refusal(TypeError, (value: string) => checkString("key", value), value);
      assertEquals(message, `key must be a string; got ${show(value)}`);
    }
    for (const value of ["", null, {}, 5]) {
      const message = refusal(TypeError, (value: unknown) => checkFunction("load", value), value);
      assertEquals(message, `load must be a function; got ${show(value)}`);
    }
  });
});

describe("checkMethods", () => {
  it("accepts instances of classes, and names the method that is missing", () => {
    class Console {
      warn(): void {}
      error(): void {}
    }
    const check = (value: unknown) => checkMethods("logger", value, ["warn", "error"]);
    check(new Console());
    assertEquals(refusal(TypeError, check, { warn() {} }), "logger.error must be a function; got undefined");
    const message = "logger must be an object with the methods warn, error; got ";
    for (const value of [null, "x", 5]) assertEquals(refusal(TypeError, check, value), message + show(value));
  });
});

describe("checkToken", () => {
  const check = (value: string) => checkToken("id", value);

  it("accepts 1 to 64 letters, digits, - and _", () => {
    for (const token of ["a", "A-z_09", "-", "x".repeat(64)]) check(token);
  });

  it("throws for what would be no token, or several, in a subject", () => {
    for (const token of ["", "a.b", "*", ">", "a b", "a\n", "é", "x".repeat(65), 7, undefined, ["a"]]) {
      assertEquals(
        refusal(TypeError, check, token),
        `id must be 1 to 64 letters, digits, "-" and "_"; got ${show(token)}`,
      );
    }
  });
});

describe("checkStrings and checkSignal", () => {
  it("checkStrings: an object whose values are strings; the error names the key", () => {
    checkStrings("headers", {});
    checkStrings("headers", { a: "", b: "1" });
    const check = (value: Record<string, string>) => checkStrings("headers", value);
    assertEquals(refusal(TypeError, check, { a: "", b: 1 }), "headers.b must be a string; got 1");
    assertEquals(refusal(TypeError, check, { a: undefined }), "headers.a must be a string; got undefined");
    for (const value of [null, "a", ["a"], 7, new Headers({ a: "1" }), new Date()]) {
      assertEquals(refusal(TypeError, check, value), `headers must be an object of strings; got ${show(value)}`);
    }
  });

  it("checkSignal: undefined or an AbortSignal, not the controller", () => {
    checkSignal("send Pay", undefined);
    checkSignal("send Pay", AbortSignal.abort());
    const check = (value: AbortSignal) => checkSignal("send Pay", value);
    for (const value of [new AbortController(), { aborted: false }, null]) {
      assertEquals(refusal(TypeError, check, value), `send Pay: signal must be an AbortSignal; got ${show(value)}`);
    }
  });
});

describe("show", () => {
  it("names the class of an instance, and throws for no value", () => {
    class Own {}
    const { proxy: revoked, revoke } = Proxy.revocable({}, {});
    revoke();
    const throws = () => {
      throw new Error("unreadable");
    };
    const shown: [value: unknown, text: string][] = [
      [new Own(), "an instance of Own"],
      [new Date(), "an instance of Date"],
      [new Date(NaN), "an invalid Date"],
      [Object.create(null), "an object"],
      [new Proxy({}, { getPrototypeOf: throws }), "an object that cannot be read"],
      [Object.create({}, { constructor: { get: throws } }), "an object that cannot be read"],
      [revoked, "an object that cannot be read"],
    ];
    for (const [value, text] of shown) assertEquals(show(value), text);
  });

  it("is short, and holds nothing of an object", () => {
    const shown: [value: unknown, text: string][] = [
      ['a "b"\n', '"a \\"b\\"\\n"'],
      ["x".repeat(80), `"${"x".repeat(80)}"`],
      ["x".repeat(81), `"${"x".repeat(80)}…"`],
      [[1], "an array"],
      [{ password: "secret" }, "an object"],
      [() => "secret", "a function"],
      [10n, "10n"],
      [Symbol("s"), "Symbol(s)"],
      [-0, "0"],
      [null, "null"],
      [undefined, "undefined"],
    ];
    for (const [value, text] of shown) assertEquals(show(value), text);
  });
});

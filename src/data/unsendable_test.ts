import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { UnsendableError, whyUnsendable } from "./unsendable.ts";

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

import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { CatgaError, isCatgaError, isErrorCode } from "./error.ts";

describe("CatgaError", () => {
  it("has a plain form, which keeps code and details through structuredClone; the error itself loses them", () => {
    const error = new CatgaError("NO_TEA", "none", { retryable: true, details: { until: new Date(5) } });
    assertEquals("code" in structuredClone(error), false);
    const plain = structuredClone(error.toJSON());
    assertEquals([plain.code, plain.message, plain.retryable], ["NO_TEA", "none", true]);
    assertEquals(plain.details, { until: new Date(5) });
    assertStrictEquals(Object.getPrototypeOf(error.toJSON()), Object.prototype); // as devalue demands
  });

  it("is an Error with the defaults of its options, also of those that are undefined", () => {
    const options = { retryable: undefined, details: undefined, node: undefined, final: undefined, cause: undefined };
    for (const error of [new CatgaError("NO_TEA", "none"), new CatgaError("NO_TEA", "none", options)]) {
      assert(error instanceof Error && error instanceof CatgaError);
      const { name, code, message, retryable, details, node, final } = error;
      assertEquals(
        { name, code, message, retryable, details, node, final },
        {
          ...{ name: "CatgaError", code: "NO_TEA", message: "none" },
          ...{ retryable: false, details: undefined, node: undefined, final: false },
        },
      );
      assertEquals("cause" in error, false);
    }
  });

  it("refuses options that are no object", () => {
    for (const options of [null, 5]) {
      // what a program without types may pass
      const make = () => new CatgaError("GONE", "it is gone", options as never);
      assertEquals(assertThrows(make, TypeError).message, `CatgaError takes an object of options; got ${options}`);
    }
  });

  it("keeps its options, and the cause as it is", () => {
    const cause = new TypeError("why");
    const error = new CatgaError("NO_TEA", "none", { retryable: true, details: [1], node: "a", final: true, cause });
    const { retryable, details, node, final } = error;
    assertEquals({ retryable, details, node, final }, { retryable: true, details: [1], node: "a", final: true });
    assertStrictEquals(error.cause, cause);
  });

  it("toJSON: has the message, which an Error's JSON lacks, and neither the cause nor the stack", () => {
    const error = new CatgaError("NO_TEA", "none", { details: { left: 0 }, cause: new Error("secret") });
    assertEquals(
      JSON.stringify({ ok: false, error }),
      '{"ok":false,"error":{"name":"CatgaError","code":"NO_TEA","message":"none","retryable":false,"details":{"left":0}}}',
    );
  });
});

describe("isErrorCode", () => {
  it("is true for Catga's own codes, and for no member that every object has", () => {
    assertEquals(["TIMEOUT", "CLOSED", "NO_HANDLER"].map(isErrorCode), [true, true, true]);
    const others = ["NO_TEA", "timeout", "", "toString", "constructor", "__proto__"];
    assertEquals(others.filter(isErrorCode), []);
  });
});

describe("isCatgaError", () => {
  it("is true for the error of another copy of the class", () => {
    const copy = Object.assign(new Error("none"), { name: "CatgaError", code: "NO_TEA" });
    assertEquals([copy instanceof CatgaError, isCatgaError(copy)], [false, true]);
    assertEquals(isCatgaError(new (class extends CatgaError {})("NO_TEA", "none")), true);
  });

  it("is false for other errors, and for objects that have its members and are no Error", () => {
    const others: unknown[] = [
      ...[
        Object.assign(new Error("none"), { code: "NO_TEA" }),
        Object.assign(new Error("none"), { name: "CatgaError" }),
      ],
      Object.assign(new Error("none"), { name: "CatgaError", code: 7 }),
      ...[new CatgaError("NO_TEA", "none").toJSON(), "CatgaError", null, undefined],
    ];
    assertEquals(others.filter(isCatgaError), []);
  });

  it("is false for a thrown value that cannot be read (it threw)", () => {
    const { proxy: revoked, revoke } = Proxy.revocable(new CatgaError("NO_TEA", "none"), {});
    revoke();
    const unreadable = Object.defineProperty(new Error("none"), "name", {
      get() {
        throw new Error("a getter that throws");
      },
    });
    assertEquals([revoked, unreadable].map(isCatgaError), [false, false]);
  });
});

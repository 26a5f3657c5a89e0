import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import type { Failure } from "../contract/calls/result.ts";
import { CatgaError } from "../error.ts";
import { plainError, plainFailure } from "./error_encoding.ts";

/** Returns the members of an error that other nodes can see. */
function shown(error: CatgaError) {
  const { name, code, message, retryable, details, node, final } = error;
  return { name, code, message, retryable, details, node, final };
}

const failing = () => {
  throw new Error("a getter");
};

describe("plainError", () => {
  it("returns an error that is plain as it is, also of another copy of the class", () => {
    const own = new CatgaError("NO_TEA", "none", { retryable: true, details: { left: 0 }, node: "a", final: true });
    const foreign = Object.assign(new Error("none"), { name: "CatgaError", code: "NO_TEA" });
    for (const error of [own, foreign]) assertStrictEquals(plainError(error), error);
  });

  it("keeps what can be read of an error with members of other types", () => {
    const odd = { code: "NO_TEA", message: "none", retryable: "yes", final: 1, details: [1], node: 7 };
    assertEquals(shown(plainError(odd)), {
      ...{ name: "CatgaError", code: "NO_TEA", message: "none", retryable: false, details: [1], node: undefined },
      final: false,
    });
    const kept = { code: 7, message: "none", retryable: true, final: true, node: "a" };
    assertEquals(shown(plainError(kept)), {
      ...{
        name: "CatgaError",
        code: "HANDLER_FAILED",
        message: "none",
        retryable: true,
        details: undefined,
        node: "a",
      },
      final: true,
    });
    assertStrictEquals(plainError(odd).cause, odd);
  });

  it("copies what a getter returns, for the next reader may get another value, or an error", () => {
    let reads = 0;
    const error = new CatgaError("NO_TEA", "none");
    Object.defineProperty(error, "details", { get: () => ++reads });
    const plain = plainError(error);
    assertEquals([plain.details, plain.details, reads], [1, 1, 1]);
  });

  it("never throws: for getters of a class, and for values that nobody can look at", () => {
    class Sold {
      readonly message = "sold";
      get code(): string {
        return failing();
      }
    }
    assertEquals(shown(plainError(new Sold())).message, "sold");
    const unreadable = { code: "NO_TEA", message: { [Symbol.toPrimitive]: failing, toString: failing } };
    const no = "the handler failed with an error whose message is no text:";
    const messages: [error: unknown, message: string][] = [
      [revokedProxy(), `${no} undefined`],
      [unreadable, `${no} an object`],
      [{ message: revokedProxy() }, `${no} an object that cannot be read`],
      ...[undefined, null, "a text", 7].map((error): [unknown, string] => [error, `${no} undefined`]),
    ];
    for (const [error, message] of messages) assertEquals(plainError(error).message, message);
  });
});

describe("plainFailure", () => {
  it("returns the failure itself if its error is plain; else one with an error that is", () => {
    const failure: Failure = { ok: false, error: new CatgaError("NO_TEA", "none") };
    assertStrictEquals(plainFailure(failure), failure);
    const odd = { ok: false, error: { code: "NO_TEA", message: 7 } } as unknown as Failure;
    const { ok, error } = plainFailure(odd);
    assertEquals([ok, error.code], [false, "NO_TEA"]);
    assertEquals(error.message, "the handler failed with an error whose message is no text: 7");
  });

  it("never throws: without an error, and with one that a getter throws instead of", () => {
    const without = [{ ok: false }, Object.defineProperty({ ok: false }, "error", { get: failing })];
    for (const failure of without) {
      assertEquals(plainFailure(failure as unknown as Failure).error.code, "HANDLER_FAILED");
    }
  });
});

function revokedProxy(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

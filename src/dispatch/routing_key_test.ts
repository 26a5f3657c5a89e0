import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { command } from "../contract/declaration/definition.ts";
import { idOf, keyOf } from "./routing_key.ts";

describe("keyOf", () => {
  it("is what the contract's function returns; undefined without a function", () => {
    assertEquals(keyOf(command<{ id: string }>("Create", { key: ({ id }) => id }), { id: "7" }), "7");
    assertEquals(keyOf(command<{ id: string }>("Create"), { id: "7" }), undefined);
  });

  it("is INVALID_MESSAGE for a key that is no string, a rejected promise too, which stays handled", async () => {
    const rejecting = command("Create", { key: (() => Promise.reject(new Error("no"))) as unknown as () => string });
    const refused = keyOf(rejecting, undefined);
    assert(typeof refused === "object");
    assertEquals(refused.error.code, "INVALID_MESSAGE");
    assertStringIncludes(
      refused.error.message,
      "the key of Create cannot be made of this payload: it must be a string",
    );
    await new Promise((resolve) => setTimeout(resolve)); // time for an unhandled rejection to end the process
  });
});

/** Returns the id that a contract's function makes; the function may return anything, as in plain JavaScript. */
function made(id: (payload: string) => unknown): ReturnType<typeof idOf> {
  return idOf(command<string>("Pay", { idempotent: true, id: id as (payload: string) => string }), "cart-7");
}

describe("idOf", () => {
  it("is what the contract's function returns for the payload", () => {
    assertEquals(made((cart) => `pay:${cart}`), "pay:cart-7");
    assertEquals(made(() => "x".repeat(256)), "x".repeat(256));
  });

  it("is undefined for a contract without the function", () => {
    assertEquals(idOf(command<string>("Pay", { idempotent: true }), "cart-7"), undefined);
  });

  it("INVALID_MESSAGE: not a string, an empty one, a long one", () => {
    const must = "the id of Pay cannot be made of this payload: it must be a string of 1 to 256 characters; got";
    const wrong: [unknown, string][] = [[7, "7"], [undefined, "undefined"], ["", '""'], [
      Promise.reject(new Error("late")),
      "an instance of Promise",
    ]];
    for (const [returned, shown] of wrong) {
      const result = made(() => returned);
      assert(typeof result === "object");
      assertEquals([result.error.code, result.error.message], ["INVALID_MESSAGE", `${must} ${shown}`]);
    }
    assertEquals(typeof made(() => "x".repeat(257)), "object");
  });

  it("INVALID_MESSAGE: what the function throws is the cause", () => {
    const thrown = new Error("no cart");
    const result = made(() => {
      throw thrown;
    });
    assert(typeof result === "object");
    assertEquals(result.error.message, "the id of Pay cannot be made of this payload: the id function threw");
    assertStrictEquals(result.error.cause, thrown);
  });
});

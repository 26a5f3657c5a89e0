import { describe, it } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { command } from "../contract/definition.ts";
import { keyOf } from "./routing_key.ts";

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

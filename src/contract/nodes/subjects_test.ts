import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { isEndpoint, nodeOf } from "./subjects.ts";

describe("isEndpoint", () => {
  it("is true of a node's id, a dot and a nonce, and of nothing else", () => {
    assert(isEndpoint("a-b_C.9"));
    for (const text of ["", "a", "a.", ".a", "a.b.c", "a b.c", "a.*", ">", `${"x".repeat(65)}.1`]) {
      assertEquals(isEndpoint(text), false, text);
    }
  });
});

describe("nodeOf", () => {
  it("returns the node's id of an endpoint", () => assertEquals(nodeOf("a-b.9"), "a-b"));
});

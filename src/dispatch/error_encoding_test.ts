import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { CatgaError } from "../error.ts";
import { readError, writeError } from "./error_encoding.ts";
import { exceeds } from "../data/utf8.ts";

describe("writeError and readError", () => {
  const over = (error: CatgaError, limit = 10_000) => readError(JSON.parse(writeError(error, limit)), "there");

  it("carry code, message, retryable, final, details and node; not the cause and not the stack", () => {
    const error = new CatgaError("NO_TEA", "none", { retryable: true, final: true, details: { left: 0 }, node: "x" });
    const { code, message, retryable, final, details, node } = over(error);
    assertEquals({ code, message, retryable, final, details, node }, {
      code: "NO_TEA",
      message: "none",
      retryable: true,
      final: true,
      details: { left: 0 },
      node: "x",
    });
    const secret = writeError(new CatgaError("A", "b", { cause: new Error("secret") }), 10_000);
    assert(!secret.includes("secret") && !secret.includes("stack"), secret);
  });

  it("replace details that cannot be sent by a note", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    assertEquals(
      over(new CatgaError("A", "b", { details: cycle })).details,
      "(the details could not be sent)",
    );
    assertEquals(over(new CatgaError("A", "b", { details: () => 1 })).code, "A");
  });

  it("shorten an error that is larger than the limit", () => {
    const large = over(new CatgaError("A", "b", { details: "é".repeat(9_000) }));
    assertEquals([large.message, large.details], ["b", "(the details are too large for the server)"]);
    const long = new CatgaError("A".repeat(9_000), "b".repeat(90_000), { retryable: true });
    const text = writeError(long, 4_000);
    assert(!exceeds(text, 4_000));
    assertEquals([over(long, 4_000).code.length, over(long, 4_000).retryable], [128, true]);
  });

  it("read any JSON as an error", () => {
    for (const wire of [undefined, null, 7, "x", [], {}, { code: 7 }, { code: "", message: {} }]) {
      assertEquals([readError(wire, "there").code, readError(wire, "there").node], ["HANDLER_FAILED", "there"]);
    }
    assertEquals(readError({ code: "x".repeat(500), retryable: "yes" }, "n").code.length, 128);
    assertEquals(readError({ code: "X", retryable: "yes", node: 7 }, "n").retryable, false);
  });

  it("ignore a node that is no valid id", () => {
    for (const node of ["x\nnode b is fine", "a.b", "", "\u202e", "x".repeat(65), 7, {}]) {
      assertEquals([readError({ node }, "n").node, readError({ node }, "n\n").node], ["n", undefined]);
    }
    assertEquals(readError({ node: "other-1" }, "n").node, "other-1");
  });
});

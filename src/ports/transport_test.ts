/** Tests of the errors of the transport port; `transport_suite.ts` tests what a transport does. */
import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { CatgaError } from "../error.ts";
import { isForbidden, mayNot } from "./transport.ts";

describe("mayNot", () => {
  it("is UNAVAILABLE, not worth trying again, with the permission that is missing and what caused it", () => {
    const cause = new Error("Permissions Violation");
    const error = mayNot({ operation: "subscribe", subject: "orders.>" }, cause);
    assertEquals({ code: error.code, retryable: error.retryable, details: error.details, cause: error.cause }, {
      code: "UNAVAILABLE",
      retryable: false,
      details: { operation: "subscribe", subject: "orders.>" },
      cause,
    });
    assertStringIncludes(error.message, "may not subscribe to orders.>");
    assertEquals("cause" in mayNot({ operation: "publish", subject: "a" }), false);
  });
});

describe("isForbidden", () => {
  it("is true for errors of mayNot, also for one with their details and another text", () => {
    const error = mayNot({ operation: "publish", subject: "orders" });
    assertEquals(isForbidden(error), true);
    assertEquals(isForbidden(new CatgaError("UNAVAILABLE", "no bucket", { details: error.details })), true);
  });

  it("is false for a server that is away, and for a handler's own failure with such details", () => {
    const details = { operation: "publish", subject: "orders" };
    for (const other of [undefined, null, "publish", {}, { operation: 1 }]) {
      assertEquals(isForbidden(new CatgaError("UNAVAILABLE", "away", { details: other })), false);
    }
    assertEquals(isForbidden(new CatgaError("NO_TEA", "none left", { details })), false);
  });
});

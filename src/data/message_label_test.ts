import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { messageLabel } from "./printable.ts";

describe("messageLabel", () => {
  it("has the correlation id only if it is another", () => {
    assertEquals(
      [messageLabel("m2", "m1"), messageLabel("m1", "m1"), messageLabel("m1", undefined)],
      ["message m2, correlation m1", "message m1", "message m1"],
    );
  });
});

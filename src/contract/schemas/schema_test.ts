import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { type Schema, validate } from "./schema.ts";
import { isThenable } from "../../data/checks.ts";

describe("validate", () => {
  const schema = (check: Schema<never, unknown>["~standard"]["validate"]): Schema<never, unknown> => ({
    "~standard": { version: 1, vendor: "test", validate: check },
  });

  it("names the first issue and its path, and has all of them in the details", async () => {
    const issues = [{ message: "too small", path: ["items", { key: 2 }] }, { message: "unknown" }];
    const { error } = await validate(schema(() => ({ issues })), {}, "INVALID_MESSAGE", "Buy");
    assertEquals(error?.code, "INVALID_MESSAGE");
    assertEquals(
      error?.message,
      "the payload of Buy does not fit its schema at items.2: too small (and 1 more, see details)",
    );
    assertEquals(error?.details, [{ message: "too small", path: ["items", 2] }, { message: "unknown", path: [] }]);
  });

  it("is a failure when the validator throws or rejects, with what it threw as the cause", async () => {
    const throwing = schema(() => {
      throw "thrown";
    });
    const rejecting = schema(() => Promise.reject("rejected"));
    const results = [
      await validate(throwing, 1, "INVALID_RESPONSE", "Buy"),
      await validate(rejecting, 1, "INVALID_RESPONSE", "Buy"),
    ];
    assertEquals(results.map(({ error }) => [error?.code, error?.cause]), [
      ["INVALID_RESPONSE", "thrown"],
      ["INVALID_RESPONSE", "rejected"],
    ]);
  });
});

describe("isThenable", () => {
  it("is true for every object with a then method, and for nothing else", () => {
    const values = [Promise.resolve(), { then: () => {} }, { then: 1 }, null, "then", undefined];
    assertEquals(values.map(isThenable), [true, true, false, false, false, false]);
  });
});

import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { command } from "../contract/declaration/definition.ts";
import { asResult, Refusal, type RefusalCode } from "./outcome.ts";

const ctx = { contract: command("Pay"), node: "a", remaining: () => 0 };

describe("asResult", () => {
  it("a result stays as it is", () => {
    const result = { ok: true, value: 1 } as const;
    assertStrictEquals(asResult(result), result);
  });

  it("a refusal becomes a failure with a code of a send; all but DEADLOCK are retryable", () => {
    const failures = (["OVERLOADED", "LATE", "DRAINING", "DEADLOCK"] satisfies RefusalCode[]).map((code) => {
      const { error } = asResult(new Refusal(code, ctx));
      return { code: error?.code, retryable: error?.retryable, node: error?.node };
    });
    assertEquals(failures, [
      { code: "OVERLOADED", retryable: true, node: "a" },
      { code: "UNAVAILABLE", retryable: true, node: "a" },
      { code: "DRAINING", retryable: true, node: "a" },
      { code: "DEADLOCK", retryable: false, node: "a" },
    ]);
  });
});

import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { HIDDEN_TEXT } from "../../../test/support/hidden_characters.ts";
import { printable } from "../../data/printable.ts";
import { deadlock, lockTimeout } from "./lock_error.ts";
import type { LockRecord } from "./lock_record.ts";

describe("the failures of locks", () => {
  it("have messages of one line, whatever other nodes wrote into their records", () => {
    const text = `${HIDDEN_TEXT}\nall is well`;
    const record: LockRecord = {
      nonce: "n",
      node: text,
      endpoint: text,
      call: text,
      ancestry: [],
      ttl: 1_000,
      since: 0,
    };
    const edge = { call: text, node: text, waitsFor: text, heldBy: { call: "other", node: text } };
    const errors = [lockTimeout(text, 10, 20, record), deadlock([edge]), deadlock([edge, edge])];
    for (const { message } of errors) {
      assertEquals(message, printable(message));
      assertStringIncludes(message, "u{a}all is well");
    }
    // the error's details keep the record unchanged, for programs
    assertEquals((errors[0].details as { holder: unknown }).holder, { node: text, endpoint: text, call: text });
  });
});

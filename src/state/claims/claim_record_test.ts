import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { fail, type Result } from "../../contract/calls/result.ts";
import {
  copyOf,
  type DoneClaim,
  readClaim,
  resultOf,
  type RunningClaim,
  unfit,
  writeDone,
  writeRunning,
} from "./claim_record.ts";

const claim: RunningClaim = { state: "running", fingerprint: "f", nonce: "n", endpoint: "red.0" };

/** Writes a result into a claim's record, and returns the result that is read back from the record. */
function recorded(result: Result<unknown>, limit = Infinity): Result<unknown> {
  const done = writeDone(claim, result, limit);
  const record = readClaim(done.text);
  assertEquals(record?.state, "done");
  assertEquals(record?.nonce, claim.nonce);
  // cast: `assertEquals` above has checked that the state is "done"
  const read = resultOf(record as DoneClaim);
  const copy = copyOf(done);
  // two errors that are equal differ by their stacks
  assertEquals({ ...copy, error: copy.error?.message }, { ...read, error: read.error?.message });
  return read;
}

describe("a claim's record", () => {
  it("is read as it was written while its attempt runs", () => {
    assertEquals(readClaim(writeRunning(claim)), claim);
    assertEquals(writeRunning(claim), JSON.stringify(claim));
  });

  it("is undefined for a text that is not one", () => {
    for (const text of ["", "{", "7", "null", "[]", '{"state":"done"}']) assertEquals(readClaim(text), undefined, text);
    for (const [member, value] of Object.entries({ state: "lost", fingerprint: 1, nonce: null, endpoint: [] })) {
      assertEquals(readClaim(JSON.stringify({ ...claim, [member]: value })), undefined, member);
    }
  });

  it("keeps values, undefined, null and those that JSON lacks too", () => {
    for (const value of [7, "tea", null, undefined, { a: [1] }, { at: new Date(0) }, 1n]) {
      assertEquals(recorded({ ok: true, value }), { ok: true, value });
    }
  });

  it("keeps details that JSON lacks", () => {
    const details = { since: new Date(0), "~": "~Date:0" };
    assertEquals(recorded(fail("CLOSED", "closed", { final: true, details })).error?.details, details);
  });

  it("is undefined for tags that are none", () => {
    for (const tagged of [null, 1, {}, { value: 1 }, { value: "~" }, { value: '~"~Date"' }, { error: "x" }]) {
      assertEquals(readClaim(JSON.stringify({ ...claim, state: "done", tagged })), undefined);
    }
  });

  it("keeps a failure with the node that it came from, without details above the limit", () => {
    const failure = fail("SOLD_OUT", "no tea", { final: true, details: { text: "x".repeat(2_000) } });
    const whole = recorded(failure);
    const short = recorded(failure, 1_024);
    for (const { error } of [whole, short]) {
      assertEquals(error?.code, "SOLD_OUT");
      assertEquals(error?.message, "no tea");
      assertEquals(error?.final, true);
      assertEquals(error?.node, "red");
    }
    assertEquals(whole.error?.details, { text: "x".repeat(2_000) });
    assertEquals(short.error?.details, "(the details are too large for the server)");
  });

  it("throws INVALID_RESPONSE for a value that cannot be sent; a final failure takes its place", () => {
    const error = assertThrows(() => writeDone(claim, { ok: true, value: () => 1 }, Infinity), CatgaError);
    assertEquals(error.code, "INVALID_RESPONSE");
    const instead = recorded(unfit(error, "Pay has run"));
    assertEquals(instead.error?.code, "INVALID_RESPONSE");
    assertEquals(instead.error?.final, true);
    assertStringIncludes(instead.error!.message, "Pay has run: ");
  });
});

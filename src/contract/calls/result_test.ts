import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { fail, unwrap } from "./result.ts";

describe("result", () => {
  it("unwrap gives the value, and throws the error of a failure", () => {
    assertEquals(unwrap({ ok: true, value: undefined }), undefined);
    const failure = fail("SOLD_OUT", "no seats are left");
    assertEquals(assertThrows(() => unwrap(failure), CatgaError), failure.error);
  });

  it("unwrap says what it was given in place of a result", () => {
    // @ts-expect-error: the argument is a promise: the send is not awaited
    assertThrows(() => unwrap(Promise.resolve()), TypeError, "unwrap takes a result; got a promise: await it");
    // @ts-expect-error: the argument is undefined
    assertThrows(() => unwrap(undefined), TypeError, "unwrap takes a result; got undefined");
    // @ts-expect-error: the argument is a plain value, not a result
    assertThrows(() => unwrap({ orderId: "1" }), TypeError, "unwrap takes a result; got an object");
  });

  it("fail takes the time after which to try again, beside other details", () => {
    const { error } = fail("RATE_LIMITED", "429", { retryAfter: 1_500, details: { bank: "a" } });
    assertEquals(error.details, { bank: "a", retryAfter: 1_500 });
    assertEquals(fail("BUSY", "wait", { retryAfter: 1 }).error.details, { retryAfter: 1 });
    for (const retryAfter of [0, -1, NaN, 86_400_001]) {
      assertThrows(() => fail("BUSY", "wait", { retryAfter }), RangeError, "fail BUSY: retryAfter");
    }
    assertThrows(
      () => fail("BUSY", "wait", { retryAfter: 1, details: 7 }),
      TypeError,
      "beside retryAfter is an object",
    );
  });

  it("fail needs a code", () => {
    // @ts-expect-error: the code and the message are missing
    assertThrows(() => fail(), TypeError, 'fail: the code must be a text such as "SOLD_OUT"; got undefined');
    // @ts-expect-error: the code is an object, not a text
    assertThrows(() => fail({ code: "SOLD_OUT" }, "none"), TypeError, "fail: the code must be a text");
    assertThrows(() => fail("", "none"), TypeError, 'got ""');
    assertThrows(() => fail("X".repeat(129), "long"), RangeError, "at most 128 characters; got 129");
    assertEquals(fail("X".repeat(128), "not too long").error.code.length, 128);
  });
});

import { describe, it } from "node:test";
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { command, event } from "../../contract/declaration/definition.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { fail } from "../../contract/calls/result.ts";
import { CatgaError } from "../../error.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { outcomeOf, readRunAnswer } from "../format/run_request.ts";
import { answerTo, DONE, failureAnswer, lastAnswer, refusedAnswer } from "./run_answer.ts";

const Placed = event<void>("Placed", { durable: true });
const Book = command<void, string>("Book", { durable: true, idempotent: true });

describe("answerTo", () => {
  it("is 0 for a handler that succeeded, whatever it returned", () => {
    assertStrictEquals(answerTo({ ok: true, value: ["a", "result", 0] }, context(Book), true, 0), DONE);
  });

  it("is an answer for a handler that failed, which is no failure of the command that ran it", () => {
    for (const code of ["GONE", "UNAVAILABLE", "TIMEOUT"]) {
      const outcome = { ok: false, error: new CatgaError(code, "none") } as const;
      assertEquals(answerTo(outcome, context(Placed), false, 0), { ok: true, value: [code, "none", 0] });
      assertEquals(answerTo(outcome, context(Book), false, 0), { ok: true, value: [code, "none", 0] });
    }
  });

  it("has the time after which a handler that is limited is to run again, unless each failure counts", () => {
    const limited = fail("RATE_LIMITED", "429", { retryAfter: 1_500.5 });
    const answer = ["RATE_LIMITED", "429", 0, null, 60_000, 1_501];
    assertEquals(answerTo(limited, context(Placed), false, 60_000), { ok: true, value: answer });
    assertEquals(outcomeOf({ ok: true, value: answer }), {
      ...{ code: "RATE_LIMITED", message: "429", final: false, outage: 60_000, retryAfter: 1_501, node: undefined },
    });
    const counts: Outcome = { ok: true, value: ["RATE_LIMITED", "429", 0] };
    assertEquals(answerTo(limited, context(Placed), false, 0), counts);
    assertEquals(answerTo(fail("RATE_LIMITED", "429"), context(Placed), false, 60_000), counts);
    for (const retryAfter of [0, -5, "5", 1e12]) {
      const forged = { ok: false, error: new CatgaError("RATE_LIMITED", "429", { details: { retryAfter } }) } as const;
      assertEquals(answerTo(forged, context(Placed), false, 60_000), counts);
      assertEquals(readRunAnswer([...answer.slice(0, 5), retryAfter]), undefined);
    }
  });

  it("stays a refusal for a message that did not run: it counts as no attempt", () => {
    const refusal = new Refusal("DRAINING", context(Placed));
    assertStrictEquals(answerTo(refusal, context(Placed), true, 0), refusal);
  });

  it("stays a failure while the claim of an idempotent command was not acquired, unless its id was used for another", () => {
    const ctx = context(Book);
    ctx.execution.stage = "claiming";
    for (const code of ["UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"]) {
      const outcome = { ok: false, error: new CatgaError(code, "claimed") } as const;
      assertStrictEquals(answerTo(outcome, ctx, true, 0), outcome);
    }
    const reused = { ok: false, error: new CatgaError("ID_REUSED", "claimed") } as const;
    assertEquals(answerTo(reused, ctx, false, 0), { ok: true, value: ["ID_REUSED", "claimed", 0] });
  });
});

describe("failureAnswer", () => {
  it("says whether trying again is of use", () => {
    assertEquals(failureAnswer(new CatgaError("GONE", "none", { final: true }), false), ["GONE", "none", 1]);
  });

  it("has what the handler threw, and nothing of it without `causes`", () => {
    const failed = new CatgaError("HANDLER_FAILED", "it threw", { cause: new TypeError("no card") });
    const [, , , cause] = failureAnswer(failed, true) as readonly [string, string, 0, string];
    assert(cause.startsWith("TypeError: no card\n    at ") && cause.includes("run_answer_test.ts"), cause);
    assertEquals(failureAnswer(failed, false), ["HANDLER_FAILED", "it threw", 0]);
  });

  it("has no details: they are for callers, and a message of the log has none", () => {
    assertEquals(failureAnswer(new CatgaError("GONE", "none", { details: { secret: 1 } }), false), ["GONE", "none", 0]);
  });

  it("can be read by the leader, whatever code, message and cause the handler gave", () => {
    assertEquals(failureAnswer(new CatgaError("", ""), false), ["HANDLER_FAILED", "", 0]);
    for (const text of ["", "\ud800", "x".repeat(10_000), "😀".repeat(10_000), `x${"😀".repeat(10_000)}`]) {
      const error = new CatgaError(text, text, { cause: new Error(text) });
      const answer = failureAnswer(error, true) as readonly [string, string, 0, string];
      assertEquals(readRunAnswer(answer), answer);
      assertEquals([answer[0], answer[1], answer[3]].map((part) => part.isWellFormed()), [true, true, true]);
    }
  });
});

function context(contract: AnyContract): MessageContext {
  return new MessageContext(localApp().inside, contract, 1_000, undefined);
}

describe("refusedAnswer", () => {
  it("is a final failure to leaders of earlier builds, which read no other `final` than 0 and 1 (a batch ran again)", () => {
    const error = new CatgaError("INVALID_MESSAGE", "no seat", { final: true });
    for (const [causes, outage] of [[false, 0], [true, 0], [false, 5_000.5], [true, 5_000.5]] as const) {
      const value = refusedAnswer(error, causes, outage);
      assertEquals(value[2], 1);
      assertEquals(readRunAnswer(value), value);
      const { refused, final, ...failed } = outcomeOf({ ok: true, value }) as unknown as Record<string, unknown>;
      assertEquals([refused, final, failed.code, failed.outage], [
        true,
        true,
        "INVALID_MESSAGE",
        Math.ceil(outage) || undefined,
      ]);
      assertEquals(lastAnswer({ ok: true, value }), { ok: true, value });
    }
  });
});

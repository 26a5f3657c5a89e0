import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { command, event } from "../../contract/definition.ts";
import type { AnyContract } from "../../contract/contract.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { Refusal } from "../../dispatch/outcome.ts";
import { CatgaError } from "../../error.ts";
import { localApp } from "../../../test/support/local_app.ts";
import { readRunAnswer } from "../format/run_request.ts";
import { answerTo, DONE, failureAnswer } from "./run_answer.ts";

const Placed = event<void>("Placed", { durable: true });
const Book = command<void, string>("Book", { durable: true, idempotent: true });

describe("answerTo", () => {
  it("is 0 for a handler that succeeded, whatever it returned", () => {
    assertStrictEquals(answerTo({ ok: true, value: ["a", "result", 0] }, context(Book)), DONE);
  });

  it("is an answer for a handler that failed, which is no failure of the command that ran it", () => {
    for (const code of ["GONE", "UNAVAILABLE", "TIMEOUT"]) {
      const outcome = { ok: false, error: new CatgaError(code, "none") } as const;
      assertEquals(answerTo(outcome, context(Placed)), { ok: true, value: [code, "none", 0] });
      assertEquals(answerTo(outcome, context(Book)), { ok: true, value: [code, "none", 0] });
    }
  });

  it("stays a refusal for a message that did not run: it counts as no attempt", () => {
    const refusal = new Refusal("DRAINING", context(Placed));
    assertStrictEquals(answerTo(refusal, context(Placed)), refusal);
  });

  it("stays a failure while the claim of an idempotent command was not acquired, unless its id was used for another", () => {
    const ctx = context(Book);
    ctx.execution.claiming = true;
    for (const code of ["UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN", "CANCELLED", "CLOSED"]) {
      const outcome = { ok: false, error: new CatgaError(code, "claimed") } as const;
      assertStrictEquals(answerTo(outcome, ctx), outcome);
    }
    const reused = { ok: false, error: new CatgaError("ID_REUSED", "claimed") } as const;
    assertEquals(answerTo(reused, ctx), { ok: true, value: ["ID_REUSED", "claimed", 0] });
  });
});

describe("failureAnswer", () => {
  it("says whether trying again is of use, and has details only if there are any", () => {
    assertEquals(failureAnswer(new CatgaError("GONE", "none", { final: true })), ["GONE", "none", 1]);
    assertEquals(failureAnswer(new CatgaError("GONE", "none", { details: null })), ["GONE", "none", 0, null]);
  });

  it("can be read by the leader, whatever code and message the handler gave", () => {
    assertEquals(failureAnswer(new CatgaError("", "")), ["HANDLER_FAILED", "", 0]);
    for (const text of ["", "\ud800", "x".repeat(10_000), "😀".repeat(10_000), `x${"😀".repeat(10_000)}`]) {
      const answer = failureAnswer(new CatgaError(text, text)) as readonly [string, string, 0];
      assertEquals(readRunAnswer(answer), answer);
      assertEquals(answer.slice(0, 2).map((part) => String(part).isWellFormed()), [true, true]);
    }
  });

  it("has details of 16 kB as JSON at most; a text stands for larger ones, and for those that cannot be sent", () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    const largest = "x".repeat(16_382);
    const details = [largest, `${largest}x`, "ü".repeat(8_192), () => {}, cycle];
    assertEquals(details.map((each) => failureAnswer(new CatgaError("GONE", "none", { details: each }))), [
      ["GONE", "none", 0, largest],
      ["GONE", "none", 0, "(the details are too large)"],
      ["GONE", "none", 0, "(the details are too large)"],
      ["GONE", "none", 0, "(the details could not be sent)"],
      ["GONE", "none", 0, "(the details could not be sent)"],
    ]);
  });
});

function context(contract: AnyContract): MessageContext {
  return new MessageContext(localApp().inside, contract, 1_000, undefined);
}

import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { localApp } from "../../test/support/local_app.ts";
import { command } from "../contract/declaration/definition.ts";
import { CatgaError, type ErrorCode } from "../error.ts";
import { MessageContext } from "./message_context.ts";
import { type Outcome, Refusal } from "./outcome.ts";
import { orRefusal, refusalOf } from "./message_schema.ts";

const Pay = command<void, string>("Pay");

/** Makes the context of a message; with a position, of a message of the log. */
function context(position?: number): MessageContext {
  const { inside } = localApp();
  return new MessageContext(inside, Pay, 1_000, { ...inside.runner.envelope({ id: "m1" }), position });
}

const reason = (code: ErrorCode) => new CatgaError(code, "given up");
const codeOf = (outcome: Outcome) => outcome instanceof Refusal ? `refused: ${outcome.code}` : outcome.error?.code;

describe("orRefusal", () => {
  const done: Outcome = { ok: true, value: "done" };

  it("is the outcome of the work, if the message is not aborted while it is prepared", async () => {
    const ctx = context();
    ctx.execution.stage = "preparing";
    const work = Promise.withResolvers<Outcome>();
    const outcome = orRefusal(ctx, work.promise);
    ctx.execution.stage = "handler"; // the handler has begun
    ctx.abort(reason("CANCELLED"));
    work.resolve(done);
    assertStrictEquals(await outcome, done);
  });

  it("is a refusal as soon as the message is aborted while it is prepared: work that never ends holds nobody", async () => {
    const ctx = context();
    ctx.execution.stage = "preparing";
    const outcome = orRefusal(ctx, new Promise(() => {}));
    ctx.abort(reason("CANCELLED"));
    assertEquals(codeOf(await outcome), "refused: LATE");
  });

  it("is a refusal if the message was aborted before; if its handler has begun, it is the outcome of the work", async () => {
    const ctx = context();
    ctx.abort(reason("CLOSED"));
    ctx.execution.stage = "preparing";
    assertEquals(codeOf(await orRefusal(ctx, new Promise(() => {}))), "refused: DRAINING");
    ctx.execution.stage = "handler";
    assertStrictEquals(await orRefusal(ctx, Promise.resolve(done)), done);
  });
});

describe("refusalOf", () => {
  it("is DRAINING if the node stops, and LATE for another reason", async () => {
    const { app, clock, inside } = localApp();
    const ctx = new MessageContext(inside, Pay, 1_000, undefined);
    assertEquals(ctx.dueAt(clock.monotonic()), 1_000);
    await clock.advance(1_000);
    const codes = (["CLOSED", "CANCELLED", "TIMEOUT"] as const).map((code) => codeOf(refusalOf(ctx, reason(code))));
    assertEquals(codes, ["refused: DRAINING", "refused: LATE", "refused: LATE"]);
    await app.drain();
  });

  it("a message whose sender has time left has failed, so that it is not sent again: UNAVAILABLE", () => {
    assertEquals(codeOf(refusalOf(context(), reason("TIMEOUT"))), "UNAVAILABLE");
  });

  it("a message of the log whose time is over has failed, so that its attempts come to an end", () => {
    const outcome = refusalOf(context(0), reason("TIMEOUT"));
    assertEquals(outcome instanceof Refusal ? undefined : [outcome.error?.code, outcome.error?.node], [
      "TIMEOUT",
      "here",
    ]);
    const codes = (["CLOSED", "CANCELLED"] as const).map((code) => codeOf(refusalOf(context(0), reason(code))));
    assertEquals(codes, ["refused: DRAINING", "refused: LATE"]);
  });
});

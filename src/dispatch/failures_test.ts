import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals } from "@std/assert";
import { command, event, query } from "../contract/declaration/definition.ts";
import { CatgaError } from "../error.ts";
import { noHandler, noHandlerHere, notSent, wrongKind } from "./outcome.ts";

const Pay = command("Pay");
const Price = query("Price");

describe("failures of messages that reached no handler", () => {
  it("NO_HANDLER: say what to start, or which node lacks it, or what to pass to an app that is alone", () => {
    const failures = [noHandler(Pay), noHandler(Price, "b"), noHandlerHere(Pay)];
    assertEquals(
      failures.map(({ error: { code, retryable } }) => `${code} ${retryable}`),
      Array(3).fill("NO_HANDLER false"),
    );
    assertEquals(failures.map(({ error }) => error.message), [
      "no live node handles command Pay; start one with a handler for it, in the same namespace",
      "node b is not live, or does not handle query Price",
      "no handler for command Pay: pass one to catga() in `handlers`, or give `nats` to reach a node that has one",
    ]);
  });

  it("wrongKind: INVALID_MESSAGE of the node that has the name for another kind", () => {
    const error = wrongKind("command", "Pay", "event", "b");
    assertEquals([error.code, error.node], ["INVALID_MESSAGE", "b"]);
    assertEquals(
      error.message,
      "command Pay did not run: node b handles an event of this name; send the contract that its handler was made from",
    );
    assertEquals(wrongKind("event", "Pay", "query", "b").message.includes("handles a query of this name"), true);
  });

  it("notSent: a deadline that passed before the send is UNAVAILABLE, which may be tried again; not TIMEOUT", () => {
    const reason = new CatgaError("TIMEOUT", "the deadline has passed");
    const { ok, error } = notSent(event("Tick"), reason);
    assertEquals([ok, error.code, error.retryable], [false, "UNAVAILABLE", true]);
    assertEquals(
      error.message,
      "event Tick was not sent: its schema, or a behavior around sends, had not ended at its deadline",
    );
    assertStrictEquals(error.cause, reason);
  });

  it("notSent: another reason is the error itself", () => {
    for (const code of ["CANCELLED", "CLOSED", "DRAINING"] as const) {
      const reason = new CatgaError(code, "stopped");
      assertStrictEquals(notSent(Pay, reason).error, reason);
    }
  });
});

import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { command, entity, event, workflow } from "../../mod.ts";
import { HIDDEN } from "../data/redact.ts";
import { REDACT_HEADER, redactionOf, shownPayload } from "./redaction.ts";

interface Payment {
  readonly id: string;
  readonly card: { readonly number: string };
}

describe("redact", () => {
  it("is an option of events, commands, events of entities and workflows; an empty one is none", () => {
    assertEquals(event<Payment>("Paid", { redact: ["card.number"] }).options.redact, ["card.number"]);
    assertEquals(command<Payment>("Pay", { redact: ["card", "**.cvv"] }).options.redact, ["card", "**.cvv"]);
    assertEquals(event<Payment[]>("Many", { redact: ["card"] }).options.redact, ["card"]);
    const Till = entity("Till", { initial: () => 0 });
    assertEquals(Till.event<Payment>("Paid", (n) => n, { redact: ["card"] }).options.redact, ["card"]);
    assertEquals(workflow<Payment>("Order", { redact: ["card"] })["~workflow"].redact, ["card"]);
    assertEquals(event("None", { redact: [] }).options, {});
  });

  it("misuse is a TypeError that says what is expected", () => {
    const wrong = ["card", [7], [""], ["a..b"], Array.from({ length: 33 }, () => "a"), {}];
    for (const redact of wrong as never[]) {
      for (const define of [event, command, workflow] as ((name: string, options: object) => unknown)[]) {
        assertThrows(() => define("Paid", { redact }), TypeError, "Paid: redact must be ");
      }
      const Till = entity("Till", { initial: () => 0 });
      assertThrows(() => Till.event("Paid", (n) => n, { redact }), TypeError, "Till.Paid: redact must be ");
    }
  });

  it("types take the names of members, at the beginning of a path", () => {
    event<Payment>("Paid", { redact: ["id", "card.number", "card.anything", "**.cvv"] });
    // @ts-expect-error: no member has this name
    event<Payment>("Paid", { redact: ["crad.number"] });
    // @ts-expect-error: no member has this name
    command<Payment[]>("Pay", { redact: ["crad"] });
    event<unknown>("Any", { redact: ["whatever"] });
  });
});

describe("redactionOf", () => {
  const of = (text: string | undefined, contract = "Paid") =>
    redactionOf(text === undefined ? {} : { [REDACT_HEADER]: text }, contract);

  it("reads the paths of a message, and those of an entity's event by its name", () => {
    assertEquals(of(undefined), undefined);
    assertEquals(redactionOf(undefined, "Paid"), undefined);
    assertEquals(of('["card","a.b"]'), ["card", "a.b"]);
    assertEquals(of('{"Paid":["card"]}', "Till.Paid"), ["card"]);
    assertEquals(of('{"Paid":["card"]}', "Till.Opened"), undefined);
    assertEquals(of("{}", "Till.toString"), undefined);
  });

  it("a header that is not one of ours hides all", () => {
    const long = JSON.stringify(["x".repeat(257)]);
    const many = JSON.stringify(Array.from({ length: 33 }, () => "a"));
    for (const text of ["", "no JSON", "7", "null", "[7]", '[""]', long, many, `[${"[".repeat(100_000)}`]) {
      assertEquals(of(text), "all", text.slice(0, 40));
    }
    assertEquals(of(`{"Paid":${many}}`, "Till.Paid"), "all");
    assertEquals(of('{"Paid":"card"}', "Till.Paid"), "all");
  });

  it("a text in place of a payload is hidden as a whole: that of one that is too large begins with it", () => {
    const about = { contract: "Paid", headers: { [REDACT_HEADER]: '["card"]' } };
    const text = '(it is too large) {"card":"4111"';
    assertEquals(shownPayload(text, about, false), HIDDEN);
    assertEquals(shownPayload(text, about, true), text);
    assertEquals(shownPayload(text, { contract: "Paid", headers: {} }, false), text);
  });

  it("values in messages of runs are hidden: what knows the workflow's own shows the run", () => {
    assertEquals(redactionOf(undefined, "Order-run.called"), ["input", "outcome", "value", "error", "start"]);
  });
});

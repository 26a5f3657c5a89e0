import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { command, entity, event, workflow } from "../../../mod.ts";
import {
  HIDDEN,
  MAX_PATH_LENGTH,
  MAX_PATHS,
  REDACT_HEADER,
  redacted,
  redactionOf,
  shownPayload,
  whyNoPaths,
} from "./redaction.ts";

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
        assertThrows(() => define("Paid", { redact }), TypeError, "Paid: redact");
      }
      const Till = entity("Till", { initial: () => 0 });
      assertThrows(() => Till.event("Paid", (n) => n, { redact }), TypeError, "Till.Paid: redact");
    }
  });

  it("misuse is a TypeError that has the invalid path, or the number of paths", () => {
    const refused = (redact: unknown) => assertThrows(() => event("Paid", { redact } as never), TypeError).message;
    assertEquals(
      refused(["card", "a..b"]),
      'contract Paid: redact[1] must be a path of 1 to 256 characters, like "card.number"; got "a..b"',
    );
    assertEquals(
      refused(Array.from({ length: 33 }, () => "a")),
      "contract Paid: redact must be at most 32 paths; got 33",
    );
    assertEquals(refused("card"), 'contract Paid: redact must be an array of paths, like ["card.number"]; got "card"');
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

describe("redacted", () => {
  it("puts a text in place of the members on its paths, whatever they hold, and changes nothing of the payload", () => {
    const payload = { id: "o-1", card: { number: "4111", cvv: 7, name: "A" }, cvv: null, "a.b": 1 };
    const before = structuredClone(payload);
    assertEquals(redacted(payload, ["card.number", "card.cvv", "cvv", "absent", "id.more"]), {
      ...{ id: "o-1", card: { number: HIDDEN, cvv: HIDDEN, name: "A" }, cvv: HIDDEN, "a.b": 1 },
    });
    assertEquals(redacted(payload, ["card"]), { ...payload, card: HIDDEN });
    assertEquals(payload, before);
  });

  it("a path passes through arrays, sets and maps; * is any name, and ** a member at any depth", () => {
    const card = { number: "4111", last4: "1111" };
    const shown = { number: HIDDEN, last4: "1111" };
    assertEquals(redacted([[card], [card]], ["number"]), [[shown], [shown]]);
    assertEquals(redacted({ cards: [card, [card]] }, ["cards.number"]), { cards: [shown, [shown]] });
    assertEquals(redacted(new Set([card]), ["number"]), new Set([shown]));
    assertEquals(redacted({ by: new Map([["a", card], ["b", card]]) }, ["by.a"]), {
      by: new Map<string, unknown>([["a", HIDDEN], ["b", card]]),
    });
    assertEquals(redacted({ a: card, b: { number: "x" } }, ["*.number"]), { a: shown, b: { number: HIDDEN } });
    assertEquals(redacted({ number: 1, deep: [{ own: { number: { of: 2 } } }] }, ["**.number"]), {
      ...{ number: HIDDEN, deep: [{ own: { number: HIDDEN } }] },
    });
    assertEquals(redacted(new Map([[{ number: 1 }, 2]]), ["**.number"]), new Map([[{ number: HIDDEN }, 2]]));
  });

  it("leaves values without members as they are, and hides all of a payload for all", () => {
    const date = new Date(0);
    for (const value of [undefined, null, 7, "text", 7n]) assertStrictEquals(redacted(value, ["a", "**.b"]), value);
    assertEquals(redacted({ date, bytes: new Uint8Array(2) }, ["**.b"]), { date, bytes: new Uint8Array(2) });
    assertStrictEquals(redacted("secret", "all"), HIDDEN);
    assertStrictEquals(redacted(undefined, "all"), undefined);
    const own = {};
    assertStrictEquals(redacted(own, undefined), own);
  });

  it("hides members of instances of classes, as JSON has them: schemas make such (they were shown)", () => {
    class Card {
      constructor(readonly number: string) {}
    }
    class Sealed {
      #number = "4111";
      toJSON(): object {
        return { number: this.#number };
      }
    }
    const payload = { card: new Card("4111"), sealed: new Sealed(), at: new Date(0) };
    const hidden = { card: { number: HIDDEN }, sealed: { number: HIDDEN }, at: payload.at };
    assertEquals(redacted(payload, ["**.number"]), hidden as unknown);
    assertStrictEquals((redacted(payload, ["other"]) as typeof payload).card, payload.card);
  });

  it("a payload that holds itself, or one object in very many places, ends at once", () => {
    interface Node {
      secret: number;
      all: Node[];
    }
    const nodes: Node[] = Array.from({ length: 30 }, () => ({ secret: 1, all: [] }));
    for (const node of nodes) node.all = nodes;
    const [first] = redacted(nodes, ["**.secret"]) as Node[];
    assertEquals([first.secret, first.all], [HIDDEN, HIDDEN] as unknown[]);
    let twice: unknown = { secret: 1 };
    for (let i = 0; i < 100; i++) twice = i % 2 === 0 ? [twice, twice] : { a: twice, b: twice };
    for (const paths of [["**.secret"], ["secret"], ["*.".repeat(99) + "secret"]]) {
      assert(Array.isArray((redacted(twice, paths) as { a: unknown }).a));
    }
  });

  it("a hostile payload neither overflows the stack nor sets a prototype", () => {
    let deep: unknown = { secret: 1 };
    for (let i = 0; i < 100_000; i++) deep = { a: deep };
    const text = JSON.stringify(redacted(deep, ["**.secret"]));
    assertMatch(text, /^(\{"a":){257}"\(hidden\)"\}+$/);
    const forged = redacted(JSON.parse('{"__proto__":{"secret":1},"b":1}'), ["**.secret"]);
    assertEquals(JSON.stringify(forged), '{"__proto__":{"secret":"(hidden)"},"b":1}');
    assertStrictEquals(Object.getPrototypeOf(forged), Object.prototype);
  });
});

describe("whyNoPaths", () => {
  it("takes up to 32 paths of up to 256 characters, and says what is expected of others", () => {
    const most = Array.from({ length: MAX_PATHS }, (_, n) => `${n}`.padEnd(MAX_PATH_LENGTH, "x"));
    for (const paths of [[], ["a"], ["a.b.*.c"], ["**.a"], most]) assertEquals(whyNoPaths(paths), undefined);
    assertEquals(whyNoPaths([...most, "a"]), " must be at most 32 paths; got 33");
    assertEquals(whyNoPaths("a"), ' must be an array of paths, like ["card.number"]; got "a"');
    for (const path of ["", "a..b", ".a", "a.", "**", "a.**", "**.a.b", "a.**.b", "x".repeat(257), 7]) {
      assert(whyNoPaths([path])?.startsWith("[0] must be a path of 1 to 256 characters"), `${path}`);
    }
  });
});

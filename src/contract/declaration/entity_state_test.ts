import { describe, it } from "node:test";
import { assertEquals, assertInstanceOf, assertStrictEquals, assertThrows } from "@std/assert";
import { counting, refusing } from "../../../test/support/schemas.ts";
import { event } from "./definition.ts";
import { entity } from "./entity.ts";
import { applied, Deciding, type Inapplicable } from "./entity_definition.ts";
import type { Schema } from "../schemas/schema.ts";

const Sum = entity<number>("Sum", { initial: () => 0 });
const definition = Sum["~entity"];
const full = new RangeError("the sum is full");
const Added = Sum.event<string, number>("Added", (sum, n) => {
  if (sum + n > 9) throw full;
  return sum + n;
}, { input: counting((text: string) => Number(text)) });
const Refused = Sum.event("Refused", (sum) => sum + 1, { input: refusing({ message: "too small" }) });
const rejecting: Schema<unknown> = {
  "~standard": { version: 1, vendor: "test", validate: () => Promise.reject(new Error("later")) },
};
const Throwing = Sum.event("Throwing", (sum) => sum, {
  input: counting(() => {
    throw full;
  }),
});
const Broken = Sum.event("Broken", (sum) => sum, {
  input: { "~standard": { version: 1, vendor: "test", validate: () => undefined as never } },
});
const Later = Sum.event("Later", (sum) => sum + 1, { input: rejecting });

/** Makes an entity whose command is being handled, with three events and the state 5. */
const deciding = () => new Deciding(definition, "s-1", 3, 5);

describe("Deciding", () => {
  it("the state has what was emitted at once; the version has not", () => {
    const sum = deciding();
    sum.emit(Added, "1");
    sum.emit(Added, "2");
    assertEquals({ id: sum.id, state: sum.state, version: sum.version }, { id: "s-1", state: 8, version: 3 });
  });

  it("keeps the payloads as they were given, not as the schema makes them", () => {
    const sum = deciding();
    sum.emit(Added, "1");
    assertEquals(sum.emitted, [{ event: "Sum.Added", payload: "1" }]);
  });

  it("an event that cannot be applied, or whose apply throws, changes nothing", () => {
    const sum = deciding();
    sum.emit(Added, "4");
    assertStrictEquals(assertThrows(() => sum.emit(Added, "1")), full);
    assertThrows(() => sum.emit(Refused, 1), TypeError, "the schema of Sum.Refused refuses its payload: too small");
    assertEquals([sum.state, sum.emitted.length], [9, 1]);
    sum.emit(Added, "0");
    assertEquals(sum.emitted.length, 2);
  });

  it("emit throws for what is no event of its entity", () => {
    const sum = deciding();
    const emit = (event: unknown) => sum.emit(event as typeof Added, "1");
    const others: [event: unknown, shown: string][] = [
      [event("Added"), "event Added"],
      [{ name: "toString" }, "an object"],
      [{}, "an object"],
      ["Sum.Added", '"Sum.Added"'],
      [undefined, "undefined"],
    ];
    for (const [event, shown] of others) {
      assertThrows(() => emit(event), TypeError, `emit takes an event of Sum; got ${shown}`);
    }
    assertEquals(sum.emitted, []);
  });

  it("nothing can be emitted after its end", () => {
    const sum = deciding();
    sum.end();
    assertThrows(() => sum.emit(Added, "1"), TypeError, "emit Sum.Added: the command of Sum s-1 has ended");
    assertEquals([sum.state, sum.emitted.length], [5, 0]);
  });
});

describe("applied", () => {
  /** Applies an event that cannot be applied, and returns the reason that `refuse` gets. */
  function inapplicable(event: string): Inapplicable | undefined {
    let given: Inapplicable | undefined;
    const refused = new Error("refused");
    const refuse = (why: Inapplicable) => (given = why, refused);
    assertStrictEquals(assertThrows(() => applied(definition, 5, event, 1, refuse)), refused);
    return given;
  }

  it("applies the payload that the schema makes", () => {
    assertEquals(applied(definition, 5, Added.name, "2"), 7);
  });

  it("throws the error that refuse makes of an unknown event, and of a schema that refuses or checks asynchronously", () => {
    assertEquals(inapplicable("Sum.Gone"), { cause: "unknown event", message: "Sum has no event Sum.Gone" });
    assertEquals(inapplicable("Added")?.cause, "unknown event");
    assertEquals(inapplicable(Refused.name), {
      cause: "schema",
      message: "the schema of Sum.Refused refuses its payload: too small",
    });
    // the schema's promise rejects; without a handler for that, the process would end
    assertEquals(inapplicable(Later.name), {
      cause: "schema",
      message: "the schema of Sum.Later checks asynchronously: events of an entity need one that does not",
    });
  });

  it("throws the error that refuse makes of a schema that throws, or returns no result (the raw error was thrown)", () => {
    const message = "refuses its payload: the schema threw";
    assertEquals(inapplicable(Throwing.name), {
      cause: "schema",
      message: `the schema of Sum.Throwing ${message}`,
      error: full,
    });
    const { error, ...rest } = inapplicable(Broken.name)!;
    assertEquals(rest, { cause: "schema", message: `the schema of Sum.Broken ${message}` });
    assertInstanceOf(error, TypeError);
    const thrown = assertThrows(() => deciding().emit(Throwing, 1), TypeError, `Sum.Throwing ${message}`);
    assertStrictEquals(thrown.cause, full);
  });

  it("throws what apply throws as it is: that is no reason to refuse the event", () => {
    const refuse = () => new Error("refused");
    assertStrictEquals(assertThrows(() => applied(definition, 9, Added.name, "1", refuse)), full);
  });
});

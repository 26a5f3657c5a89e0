import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import * as behaviors from "../../behaviors/mod.ts";
import { type Behavior, checkBehaviors } from "./behavior.ts";

const plain: Behavior = (_, next) => next();
const refusal = (behaviors: unknown) =>
  assertThrows(() => checkBehaviors("behaviors", behaviors as Behavior[]), TypeError).message;

/** Makes a behavior that does nothing, and has these members. */
const having = (members: object) => Object.assign(plain.bind(undefined), members);

describe("checkBehaviors", () => {
  it("accepts functions, with and without members; a member may be undefined", () => {
    checkBehaviors("behaviors", []);
    const hooks = { send: () => {}, attach: () => {} };
    checkBehaviors("behaviors", [plain, having(hooks), having({ send: undefined, attach: undefined })] as Behavior[]);
  });

  it("throws for what is no array", () => {
    for (const [value, shown] of [[plain, "a function"], [{ 0: plain }, "an object"], [null, "null"]] as const) {
      assertEquals(refusal(value), `behaviors must be an array of functions; got ${shown}`);
    }
  });

  it("throws for the first item that is no function, with its place", () => {
    assertEquals(refusal([plain, undefined, 7]), "behaviors[1] must be a function; got undefined");
    assertEquals(refusal([[plain]]), "behaviors[0] must be a function; got an array");
    assertEquals(refusal([plain, { send: () => {} }]), "behaviors[1] must be a function; got an object");
  });

  it("throws for a member that is no function, with its name", () => {
    assertEquals(refusal([plain, having({ send: {} })]), "behaviors[1].send must be a function; got an object");
    assertEquals(refusal([having({ attach: null })]), "behaviors[0].attach must be a function; got null");
  });

  it("throws for a function of Catga that makes a behavior, and was not called", () => {
    const makers = Object.values(behaviors);
    assertEquals(makers.length, 6);
    for (const make of makers) {
      const says = `behaviors[1] must be a behavior; got the function that makes one: call it, ${make.name}(…)`;
      assertEquals(refusal([plain, make]), says);
    }
  });
});

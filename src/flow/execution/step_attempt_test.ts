import { describe, it } from "node:test";
import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { stepId } from "./step_attempt.ts";

describe("the id of a step's requests", () => {
  it("is made of the workflow, the run and the name", () => {
    assertEquals(stepId({ workflow: "Order", run: "7" }, "charge", 1), "Order:7:charge");
  });

  it("one that is too long is cut to what an id may be, differs by its end, and is the same each time", () => {
    const ids = ["a", "b", "a"].map((end) => stepId({ workflow: "Order", run: "x".repeat(256) }, end, 1));
    assertEquals(ids.map((id) => id.length), [256, 256, 256]);
    assertNotEquals(ids[0], ids[1]);
    assertEquals(ids[0], ids[2]);
  });

  it("is well-formed wherever it is cut", () => {
    for (const start of ["", "x"]) {
      const id = stepId({ workflow: "Order", run: start + "🍵".repeat(127) }, "brew", 1);
      assert(id.isWellFormed(), id);
    }
  });
});

import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { Machine, type StateTable } from "./state_table.ts";

describe("a machine", () => {
  const DOOR = { open: ["shut"], shut: ["open", "locked"], locked: [] } as const satisfies StateTable<
    "open" | "shut" | "locked"
  >;

  it("changes its state as its table says", () => {
    const door = new Machine<keyof typeof DOOR>(DOOR, "open");
    door.to("shut");
    door.to("locked");
    assertEquals(door.state, "locked");
  });

  it("throws at a change that its table does not have, and keeps its state", () => {
    const door = new Machine<keyof typeof DOOR>(DOOR, "open");
    assertThrows(() => door.to("locked"), Error, "open is not followed by locked");
    assertThrows(() => door.to("open"), Error, "open is not followed by open");
    assertEquals(door.state, "open");
  });
});

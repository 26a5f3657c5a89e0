import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { LockLine } from "../processes/lock_node.ts";
import { workUnder } from "./lock_history.ts";

const at = (event: "enter" | "hold" | "leave" | "lost", at: number, key = "a"): LockLine => ({
  event,
  at,
  key,
  token: 1,
});

describe("workUnder: when a process worked under a lock", () => {
  it("from its entry over each look at the signal to its end", () => {
    const own: LockLine[] = [
      { event: "want", at: 0, key: "a" },
      ...[at("enter", 10), at("hold", 30), at("leave", 50)],
      { event: "free", at: 90, key: "a", took: 40 },
      at("enter", 100, "b"),
    ];
    assertEquals(workUnder("a", own), [{ from: 10, to: 30 }, { from: 30, to: 50 }]);
    assertEquals(workUnder("b", own), []);
  });

  it("not from its last look on, when it was killed then, or has lost the lock", () => {
    const start: LockLine = { event: "start", at: 5_000 };
    assertEquals(workUnder("a", [at("enter", 10), at("hold", 30), start, at("enter", 6_000)]), [{ from: 10, to: 30 }]);
    assertEquals(workUnder("a", [at("enter", 10), at("lost", 3_000), at("enter", 4_000)]), []);
    assertEquals(workUnder("a", [at("enter", 10), { event: "stall", at: 20, from: 15 }, at("hold", 30)]), [
      { from: 10, to: 30 },
    ]);
  });
});

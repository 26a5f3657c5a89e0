import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { Turns } from "./turns.ts";

const asking = (call: string, ancestry: readonly string[] = [], due = 10_000, left: string[] = []) => ({
  ...{ call, ancestry, due },
  drop: (why: string) => void left.push(`${call} ${why}`),
});
const setUp = () => {
  const clock = new VirtualClock();
  return { clock, turns: new Turns<ReturnType<typeof asking>>(clock) };
};

describe("turns", () => {
  it("one at a time for each entity, in the order in which they came", () => {
    const { turns } = setUp();
    const taken = ["1", "2", "3"].map((call) => turns.take("a", asking(call)));
    assertEquals([...taken, turns.take("b", asking("4"))], [true, false, false, true]);
    assertEquals([turns.pass("a")?.call, turns.pass("a")?.call, turns.pass("a")], ["2", "3", undefined]);
    assertEquals(turns.take("a", asking("5")), true);
  });

  it("whoever has the turn takes those that fit into it, up to the first that does not", () => {
    const { turns } = setUp();
    for (const call of ["1", "2", "3", "4"]) turns.take("a", asking(call));
    const next = () => turns.next("a", ({ call }) => call !== "3")?.call;
    assertEquals([next(), next()], ["2", undefined]);
    assertEquals([turns.pass("a")?.call, next(), next(), turns.pass("a")], ["3", "4", undefined, undefined]);
  });

  it("one that waits for its own ancestor leaves after 100 ms, one of another run does not", async () => {
    const { clock, turns } = setUp();
    const left: string[] = [];
    turns.take("a", asking("outer"));
    turns.take("a", asking("other", ["nobody"], 10_000, left));
    turns.take("a", asking("inner", ["root", "outer"], 10_000, left));
    turns.take("a", asking("last", [], 10_000, left));
    await clock.advance(99);
    assertEquals(left, []);
    await clock.advance(1);
    assertEquals(left, ["inner deadlock"]);
    assertEquals([turns.pass("a")?.call, turns.pass("a")?.call, turns.pass("a")], ["other", "last", undefined]);
    assertEquals(turns.take("a", asking("next")), true);
  });

  it("no deadlock if the ancestor passes the turn on within 100 ms", async () => {
    const { clock, turns } = setUp();
    const left: string[] = [];
    turns.take("a", asking("outer"));
    turns.take("a", asking("other", [], 10_000, left));
    turns.take("a", asking("inner", ["outer"], 10_000, left));
    await clock.advance(50);
    assertEquals(turns.pass("a")?.call, "other");
    await clock.advance(1_000);
    assertEquals([turns.pass("a")?.call, left], ["inner", []]);
  });

  it("one whose time is over leaves, and those behind it go on", async () => {
    const { clock, turns } = setUp();
    const left: string[] = [];
    turns.take("a", asking("first"));
    turns.take("a", asking("short", [], clock.monotonic() + 50, left));
    turns.take("a", asking("long", [], clock.monotonic() + 500, left));
    await clock.advance(50);
    assertEquals(left, ["short late"]);
    assertEquals(turns.pass("a")?.call, "long");
    await clock.advance(1_000);
    assertEquals([turns.pass("a"), left.length], [undefined, 1]);
    assertEquals(turns.take("a", asking("next")), true);
  });
});

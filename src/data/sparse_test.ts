import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { SparseMap, SparseSet } from "./sparse.ts";

describe("SparseMap", () => {
  it("is empty before the first entry, and after clear", () => {
    const map = new SparseMap<string, number>();
    const isEmpty = () => {
      assertEquals([map.size, map.has("a"), map.get("a"), map.delete("a")], [0, false, undefined, false]);
      assertEquals([[...map], [...map.keys()], [...map.values()]], [[], [], []]);
    };
    isEmpty();
    map.set("a", 1);
    map.clear();
    isEmpty();
  });

  it("has the entries that were set, in their order, and not those that were deleted", () => {
    const map = new SparseMap<string, number>();
    for (const [key, value] of [["a", 1], ["b", 2], ["c", 3], ["a", 4]] as const) map.set(key, value);
    assertEquals(map.delete("b"), true);
    assertEquals([[...map], [...map.keys()], [...map.values()]], [[["a", 4], ["c", 3]], ["a", "c"], [4, 3]]);
    assertEquals([map.size, map.get("a"), map.has("b"), map.has("c")], [2, 4, false, true]);
  });

  it("shares nothing with another one while both are empty", () => {
    const [one, other] = [new SparseMap<string, number>(), new SparseMap<string, number>()];
    one.set("a", 1);
    assertEquals([...other], []);
  });
});

describe("SparseSet", () => {
  it("is empty before the first value, and after clear", () => {
    const set = new SparseSet<string>();
    assertEquals([set.size, set.has("a"), set.delete("a"), [...set]], [0, false, false, []]);
    set.add("a");
    set.clear();
    assertEquals([set.size, set.has("a"), [...set]], [0, false, []]);
  });

  it("has the values that were added, in their order, and not those that were deleted", () => {
    const set = new SparseSet<string>();
    for (const value of ["a", "b", "c", "a"]) set.add(value);
    assertEquals(set.delete("b"), true);
    assertEquals([[...set], set.size, set.has("a"), set.has("b")], [["a", "c"], 2, true, false]);
  });
});

import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { ChurnMap, ChurnSet } from "./churn.ts";

describe("ChurnMap", () => {
  for (const live of [0, 1, 63, 64, 65, 300]) {
    it(`has what a Map has, in the same order, with ${live} entries that come and go`, () => {
      const [churn, map] = [new ChurnMap<string, number>(), new Map<string, number>()];
      for (let n = 0; n < 2_000; n++) {
        for (const each of [churn, map]) each.set(`${n}`, n);
        if (n % 5 === 0) { for (const each of [churn, map]) each.set(`${n - 3}`, -n); }
        if (n >= live) {
          const gone = `${n - live}`;
          assertEquals([churn.has(gone), churn.delete(gone), churn.get(gone)], [
            map.has(gone),
            map.delete(gone),
            undefined,
          ]);
        }
        assertEquals([churn.size, churn.get(`${n}`)], [map.size, map.get(`${n}`)]);
        if (n % 97 === 0) {
          assertEquals([[...churn], [...churn.keys()], [...churn.values()]], [[...map], [...map.keys()], [
            ...map.values(),
          ]]);
        }
      }
    });
  }

  it("is empty after clear", () => {
    const churn = new ChurnMap<string, number>();
    churn.set("a", 1);
    churn.clear();
    assertEquals([churn.size, churn.has("a"), [...churn]], [0, false, []]);
  });
});

describe("ChurnSet", () => {
  for (const live of [0, 1, 64, 300]) {
    it(`has what a Set has, in the same order, with ${live} values that come and go`, () => {
      const [churn, set] = [new ChurnSet<number>(), new Set<number>()];
      for (let n = 0; n < 2_000; n++) {
        for (const each of [churn, set]) each.add(n);
        if (n >= live) assertEquals(churn.delete(n - live), set.delete(n - live));
        assertEquals(churn.size, set.size);
        if (n % 97 === 0) assertEquals([...churn], [...set]);
      }
    });
  }
});

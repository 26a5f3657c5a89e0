import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { weight } from "./rendezvous_hash.ts";

/** Weights as the first version computed them; they must never change, because nodes of every version have to agree. */
const FIXED = { tea: 2926796389, empty: 616345028, unicode: 1285878932 };
const KEYS = Array.from({ length: 10_000 }, (_, i) => `order:${i}`);
const owner = (key: string, nodes: readonly string[]): string =>
  nodes.reduce((best, node) => (weight(key, node) > weight(key, best) ? node : best));

describe("weight", () => {
  it("is the same on every machine, 32 bits without a sign", () => {
    assertEquals(weight("order:1", "a"), weight("order:1", "a"));
    assertEquals([weight("tea", "n1"), weight("", ""), weight("你好", "é")], [FIXED.tea, FIXED.empty, FIXED.unicode]);
    for (const key of KEYS) {
      assert(Number.isInteger(weight(key, "a")) && weight(key, "a") >= 0 && weight(key, "a") < 2 ** 32);
    }
  });

  it("tells key and node apart where one ends and the other begins", () =>
    assert(weight("ab", "c") !== weight("a", "bc")));

  for (const names of [(i: number) => `n${i}`, (i: number) => `node-eu-west-1-00${i}`, (i: number) => String(i)]) {
    it(`spreads 10,000 keys evenly over nodes named like ${names(1)}`, () => {
      const nodes = Array.from({ length: 5 }, (_, i) => names(i));
      const counts = new Map(nodes.map((node) => [node, 0]));
      for (const key of KEYS) {
        const node = owner(key, nodes);
        counts.set(node, counts.get(node)! + 1);
      }
      for (const count of counts.values()) assert(Math.abs(count - 2_000) < 200, `${[...counts]}`);
    });

    it(`a join moves at most 1/n + 5 % of 10,000 keys, and only to ${names(9)}, which came`, () => {
      for (const n of [1, 2, 3, 5, 8]) {
        const before = Array.from({ length: n }, (_, i) => names(i));
        const after = [...before, names(9)];
        const moved = KEYS.filter((key) => owner(key, before) !== owner(key, after));
        assert(moved.length <= KEYS.length * (1 / (n + 1) + 0.05), `${n}: ${moved.length}`);
        assert(moved.length >= KEYS.length * (1 / (n + 1) - 0.05), `${n}: ${moved.length}`);
        assert(moved.every((key) => owner(key, after) === names(9)));
      }
    });
  }
});

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../error.ts";
import { changeEach } from "./change_each.ts";

describe("changeEach", () => {
  const numbers = async function* (count: number) {
    for (let n = 0; n < count; n++) yield await Promise.resolve(n);
  };

  it("does it with many at once, and yields them in their order, with their errors", async () => {
    let [underWay, most] = [0, 0];
    const change = async (n: number) => {
      most = Math.max(most, ++underWay);
      for (let turn = 0; turn < 300 - n % 7; turn++) await Promise.resolve();
      underWay--;
      if (n === 7) throw new CatgaError("UNAVAILABLE", "gone");
    };
    const found = await Array.fromAsync(changeEach(numbers(1_000), change));
    assertEquals(found.map(([n]) => n), Array.from({ length: 1_000 }, (_, n) => n));
    assertEquals(found.flatMap(([n, error]) => error ? [n, error.code] : []), [7, "UNAVAILABLE"]);
    assertEquals(most > 32 && most <= 64, true, `${most}`);
  });

  it("yields what was begun before the list broke, and then throws its error (what was done was not told)", async () => {
    const breaks = async function* () {
      yield* numbers(10);
      throw new CatgaError("UNAVAILABLE", "the list");
    };
    const done: number[] = [];
    const all = async () => {
      for await (const [n] of changeEach(breaks(), () => Promise.resolve())) done.push(n);
    };
    await assertRejects(all, CatgaError, "the list");
    assertEquals(done, Array.from({ length: 10 }, (_, n) => n));
  });

  it("throws what is no CatgaError", async () => {
    const change = () => Promise.reject(new TypeError("wrong"));
    await assertRejects(() => Array.fromAsync(changeEach(numbers(3), change)), TypeError, "wrong");
  });
});

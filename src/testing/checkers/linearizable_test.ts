import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { checkLinearizable, type Operation, register, type RegisterInput } from "./linearizable.ts";
import { seededRandom } from "../../memory/seeded_random.ts";

type Op = Operation<RegisterInput<number>, number | boolean | undefined>;

const write = (value: number, from: number, to?: number): Op => ({
  ...{ key: "k", input: { type: "write", value }, from },
  ...(to === undefined ? {} : { to }),
});
const read = (output: number, from: number, to: number): Op => ({
  ...{ key: "k", input: { type: "read" }, output, from, to },
});
const swap = (before: number, after: number, output: boolean, from: number, to: number): Op => ({
  ...{ key: "k", input: { type: "swap", from: before, to: after }, output, from, to },
});
const isRight = (...operations: Op[]) => checkLinearizable(operations, register(0)).length === 0;

describe("checkLinearizable", () => {
  it("accepts a read of either value while a write is under way, and of the new one behind it", () => {
    assertEquals(isRight(write(1, 0, 10), read(0, 1, 2), read(1, 3, 4)), true);
    assertEquals(isRight(write(1, 0, 10), read(1, 11, 12)), true);
  });

  it("finds a read of the old value behind the end of a write", () => {
    const [found] = checkLinearizable([write(1, 0, 10), read(0, 11, 12)], register(0));
    assertEquals([found.subject, found.at], ["k", 12]);
    assertMatch(found.text, /no order explains .*read.* → 0 \(11 to 12\): at best behind .*write/);
  });

  it("finds two reads that see a write and then do not", () => {
    assertEquals(isRight(write(1, 0, 10), read(1, 1, 2), read(0, 3, 4)), false);
  });

  it("finds two swaps that both succeed from one value", () => {
    assertEquals(isRight(swap(0, 1, true, 0, 5), swap(0, 2, true, 0, 5)), false);
    assertEquals(isRight(swap(0, 1, true, 0, 5), swap(0, 2, false, 0, 5)), true);
    assertEquals(isRight(swap(0, 1, true, 0, 5), swap(1, 2, true, 0, 5)), true);
  });

  it("a swap that fails leaves the value, and one of unknown outcome may have replaced it", () => {
    const failed = (value: number) => isRight(write(1, 0, 1), swap(0, 2, false, 2, 3), read(value, 4, 5));
    assertEquals([failed(1), failed(2)], [true, false]);
    const { output: _, to: __, ...unknown } = swap(0, 1, true, 0, 5);
    assertEquals([0, 1, 2].map((value) => isRight(unknown, read(value, 6, 7))), [true, true, false]);
  });

  it("takes an output as the function fits of the model says", () => {
    const model = { ...register(0), fits: (observed: unknown, output: unknown) => Number(observed) <= Number(output) };
    const observed = (value: number) => checkLinearizable([read(value, 2, 3)], model).length;
    assertEquals([observed(0), observed(1)], [0, 1]);
  });

  it("accepts an operation of unknown outcome that happened late, or never", () => {
    assertEquals(isRight(write(1, 0), read(0, 5, 6), read(1, 50, 51)), true);
    assertEquals(isRight(write(1, 0), read(0, 5, 6), read(0, 50, 51)), true);
    assertEquals(isRight(write(1, 0), read(1, 5, 6), read(0, 50, 51)), false);
  });

  it("takes operations that touch as concurrent", () => {
    assertEquals(isRight(write(1, 0, 10), read(0, 10, 11)), true);
    assertEquals(isRight(write(1, 0, 9), read(0, 10, 11)), false);
  });

  it("tells states apart that cannot be sent, such as instances of a class", () => {
    class Stock {
      readonly #left: number;
      constructor(left: number) {
        this.#left = left;
      }
      left = () => this.#left;
    }
    const stock = {
      initial: () => new Stock(0),
      apply: (state: Stock, left: number | undefined) =>
        left === undefined ? { state, output: state.left() } : { state: new Stock(left), output: 0 },
    };
    const set = { key: "k", from: 0, to: 5, output: 0 };
    const look = { key: "k", from: 6, to: 7, input: undefined };
    const of = (output: number) => [{ ...set, input: 1 }, { ...set, input: 2 }, { ...look, output }];
    const breaches = [1, 2, 3].map((left) => checkLinearizable(of(left), stock).length);
    assertEquals(breaches, [0, 0, 1]);
  });

  it("looks at each key alone", () => {
    const other = { ...read(0, 20, 21), key: "other" };
    assertEquals(checkLinearizable([write(1, 0, 10), other], register(0)), []);
    assertEquals(checkLinearizable([write(1, 0, 10), { ...other, key: "k" }], register(0)).length, 1);
  });

  it("agrees with a search through all orders, in 3,000 small histories", () => {
    const random = seededRandom(7);
    const pick = (most: number) => Math.floor(random() * most);
    let wrong = 0;
    for (let n = 0; n < 3_000; n++) {
      const operations = Array.from({ length: 2 + pick(4) }, (): Op => {
        const from = pick(12);
        const kind = pick(4);
        if (kind === 0) return write(1 + pick(2), from);
        if (kind === 1) return write(1 + pick(2), from, from + pick(6));
        return kind === 2
          ? read(pick(3), from, from + pick(6))
          : swap(pick(3), pick(3), random() < 0.5, from, from + pick(6));
      });
      const expected = hasOrder(operations, 0);
      if (!expected) wrong++;
      assertEquals(isRight(...operations), expected, JSON.stringify(operations));
    }
    assertEquals(wrong > 500 && wrong < 2_500, true, `${wrong} of 3,000 were wrong`);
  });

  it("ends a search that has too many states with an error that says what to do", () => {
    const operations = Array.from({ length: 30 }, (_, n) => write(n, 0));
    assertThrows(
      () => checkLinearizable([...operations, read(77, 100, 101)], register(0), { states: 1_000 }),
      RangeError,
      "k has more than 1000 states (31 operations, 30 of unknown outcome)",
    );
    assertThrows(() => checkLinearizable([], register(0), { states: 0 }), RangeError, "checkLinearizable: states");
  });

  it("checks 2,000 operations of five clients on ten keys", () => {
    const random = seededRandom(3);
    const values = new Map<string, number>();
    const operations = Array.from({ length: 2_000 }, (_, n): Op => {
      const key = `k${Math.floor(random() * 10)}`;
      const [from, to] = [n * 10 - random() * 40, n * 10 + random() * 40];
      if (random() < 0.5) return { ...read(values.get(key) ?? 0, from, to), key };
      values.set(key, n);
      return { ...write(n, from, to), key };
    });
    assertEquals(checkLinearizable(operations, register(0)), []);
  });
});

/** Returns true if one order of the operations explains all of them; tries every order. */
function hasOrder(left: readonly Op[], value: number): boolean {
  if (left.every(({ to }) => to === undefined)) return true;
  const first = Math.min(...left.map(({ to }) => to ?? Infinity));
  return left.some((operation, n) => {
    if (operation.from > first) return false;
    const next = register(0).apply(value, operation.input);
    if (operation.to !== undefined && next.output !== operation.output) return false;
    return hasOrder(left.toSpliced(n, 1), next.state);
  });
}

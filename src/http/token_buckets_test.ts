import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { TokenBuckets } from "./token_buckets.ts";

/** Buckets of two tokens with one more each second, for three callers, at a time that the test sets. */
function buckets() {
  let now = 0;
  const made = new TokenBuckets({ clock: { monotonic: () => now }, rate: () => 1, burst: () => 2, most: 3 });
  return {
    take: (caller: string) => made.take(caller),
    pass: (ms: number) => void (now += ms),
    fill: () => ["b", "c", "d"].forEach((caller) => made.take(caller)),
  };
}

describe("TokenBuckets", () => {
  it("a caller gets the burst, then the rate, and never more than the burst after a pause", () => {
    const { take, pass } = buckets();
    assertEquals([take("a"), take("a"), take("a")], [0, 0, 1_000]);
    pass(250);
    assertEquals([take("a"), take("b")], [750, 0]);
    pass(750);
    assertEquals([take("a"), take("a")], [0, 1_000]);
    pass(3_600_000);
    assertEquals([take("a"), take("a"), take("a")], [0, 0, 1_000]);
  });

  it("the callers that were away for longest are forgotten: the memory for callers is bounded", () => {
    const { take, fill } = buckets();
    assertEquals([take("a"), take("a"), take("a")], [0, 0, 1_000]);
    fill();
    assertEquals(take("a"), 0);
  });

  it("a caller who calls again and again stays limited, however many others call", () => {
    const { take, fill } = buckets();
    assertEquals([take("a"), take("a")], [0, 0]);
    for (const other of ["b", "c", "d", "e"]) {
      take(other);
      assertEquals(take("a"), 1_000, other);
    }
    fill();
  });
});

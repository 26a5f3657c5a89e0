import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { claimKey } from "./claim_record.ts";

describe("claimKey", () => {
  it("stays the same in every version: nodes of version 0.1 share the bucket", () => {
    assertEquals(claimKey("Pay", ""), "Pay-1c/");
    assertEquals(claimKey("Pay", "1"), "Pay-0c/1");
    assertEquals(claimKey("Pay", "order-7"), "Pay-3f/order-7");
    assertEquals(claimKey("Pay", "günstig"), "Pay-15/günstig");
    assertEquals(claimKey("Pay", "a/b"), "Pay-0e/a/b");
    assertEquals(claimKey("Pay", "👍"), "Pay-2e/👍");
    assertEquals(claimKey("Pay", "x".repeat(200)), `Pay-24/${"x".repeat(200)}`);
  });

  it("divides the ids of a contract evenly into 64 shards", () => {
    const sizes = new Map<string, number>();
    for (let i = 0; i < 64_000; i++) {
      const [shard] = claimKey("Pay", `order ${i}`).split("/");
      sizes.set(shard, (sizes.get(shard) ?? 0) + 1);
    }
    assertEquals(sizes.size, 64);
    assertEquals([...sizes].filter(([, size]) => size < 500 || size > 1_500), []);
  });
});

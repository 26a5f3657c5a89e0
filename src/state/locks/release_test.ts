/** Releases that the store acknowledges late, and very many of them, on virtual time. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { memoryLockHarness, records, someone } from "./lock_harness_suite.ts";

// Bun ends a test after 5 s
const slow = { timeout: 300_000 };

describe("release", () => {
  it("resolves while the store is away, and removes the record as soon as it is back", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    const lock = await h.run(node.locks.lock("key", { ttl: 60_000 }, someone()));
    h.network.cut("node");
    const began = h.clock.monotonic();
    await h.run(lock.release());
    assertLess(h.clock.monotonic() - began, 5_000);
    assertEquals((await records(h)).length, 1);
    h.network.restore("node");
    await h.pass(10_000);
    assertEquals(await records(h), []);
    assertEquals(node.observed, []);
  });

  it("10,000 released locks leave nothing behind", slow, async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    for (let i = 0; i < 100; i++) {
      const locking = Array.from({ length: 100 }, (_, j) => node.locks.lock(`key ${i * 100 + j}`, {}, someone()));
      const locks = await h.run(Promise.all(locking));
      await h.run(Promise.all(locks.map((lock) => lock.release())));
    }
    assertEquals(await records(h), []);
    assertEquals(node.writes.made, 20_000);
  });
});

/** Tests of waiters that freeze, on virtual time. */
import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import type { Lock } from "../../contract/calls/shared_state.ts";
import { memoryLockHarness, records, someone, waitInQueue } from "./lock_harness_suite.ts";

describe("waiters of a lock", () => {
  it("a frozen waiter is passed over, and has its turn when it goes on", async () => {
    await using h = memoryLockHarness();
    const [holder, frozen, awake] = [await h.node("holder"), await h.node("frozen"), await h.node("awake")];
    const first = await h.run(holder.locks.lock("key", { ttl: 2_000 }, someone()));
    const [sleeping, waking] = [await waitInQueue(h, frozen, 2_000), await waitInQueue(h, awake, 2_000)];
    h.network.pause("frozen");
    await h.pass(5_000);
    await h.run(first.release());
    const second = await h.run(waking.lock);
    h.network.resume("frozen");
    await h.pass(1_000);
    await h.run(second.release());
    const third = await h.run(sleeping.lock);
    assertGreater(third.token, second.token);
    assertEquals(third.signal.aborted, false);
    await h.run(third.release());
    await h.until("no record to be left", async () => (await records(h)).length === 0);
  });

  it("a waiter that was handed the lock while it was frozen asks the store before its caller gets the lock", async () => {
    await using h = memoryLockHarness();
    const [holder, frozen, awake] = [await h.node("holder"), await h.node("frozen"), await h.node("awake")];
    const first = await h.run(holder.locks.lock("key", { ttl: 2_000 }, someone()));
    const [sleeping, waking] = [await waitInQueue(h, frozen, 2_000), await waitInQueue(h, awake, 2_000)];
    h.network.pause("frozen");
    await h.run(first.release()); // the release hands the lock to the frozen waiter, whose place has not expired yet
    const second = await h.run(waking.lock);
    h.network.resume("frozen");
    let early: Lock | undefined;
    sleeping.lock.then((lock) => early = lock, () => {});
    await h.pass(1_000);
    assertEquals(early, undefined);
    assertEquals(second.signal.aborted, false);
    await h.run(second.release());
    await h.run((await h.run(sleeping.lock)).release());
  });
});

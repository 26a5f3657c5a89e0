/** Waiters that freeze, or wait for a dead holder, on virtual time. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertGreater } from "@std/assert";
import type { Lock } from "../../contract/shared_state.ts";
import { type LockNode, memoryLockHarness, records, someone, waitInQueue } from "./lock_harness_suite.ts";

describe("waiters of a lock", () => {
  it("a dead holder's lock goes to the oldest live waiter within ttl + 1.5 s", async () => {
    for (const dead of [["holder"], ["holder", "first"], ["holder", "first", "second"]]) {
      const h = memoryLockHarness();
      const nodes = new Map<string, LockNode>();
      for (const name of ["holder", "first", "second", "third"]) nodes.set(name, await h.node(name));
      await h.run(nodes.get("holder")!.locks.lock("key", { ttl: 5_000 }, someone()));
      const waiting = [];
      for (const name of ["first", "second", "third"]) waiting.push(await waitInQueue(h, nodes.get(name)!));
      const died = h.clock.now();
      for (const name of dead) h.network.kill(name);
      const lock = await h.run(Promise.race(waiting.map((each) => each.lock)));
      const took = h.clock.now() - died;
      assert(took <= 6_500, `${dead}: ${took} ms`);
      assertEquals(lock, await h.run(waiting[dead.length - 1].lock));
    }
  });

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
    await h.run(first.release()); // to who is frozen, whose place has not expired yet
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

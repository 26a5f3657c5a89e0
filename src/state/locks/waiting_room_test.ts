/** Tests of waiters on virtual time: their lock's holder dies, or the lock is handed to a waiter that has ended. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { delay } from "../../ports/clock.ts";
import { type LockNode, memoryLockHarness, records, someone, waitInQueue } from "./lock_harness_suite.ts";
import { readLockRecord, writeLockRecord } from "./lock_record.ts";

// Timeout of these tests; the default in Bun is 5 s.
const slow = { timeout: 300_000 };

describe("the waiting room of a node", () => {
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

  it("who has waited holds it since it was handed over or taken, also after renewals", async () => {
    const h = memoryLockHarness(); // not disposed of: the test ends with a dead node
    const [holder, next, last] = [await h.node("holder"), await h.node("next"), await h.node("last")];
    const renewed = async () => {
      await h.pass(10_000);
      const { value } = (await records(h)).find(({ key }) => key === "h/key")!;
      return h.clock.now() - readLockRecord(value)!.since;
    };
    const lock = await h.run(holder.locks.lock("key", { ttl: 6_000 }, someone()));
    const waiting = [await waitInQueue(h, next), await waitInQueue(h, last)];
    await h.pass(20_000);
    await h.run(lock.release());
    await h.run(waiting[0].lock);
    assert(await renewed() < 11_000);
    h.network.kill("next");
    await h.run(waiting[1].lock);
    assert(await renewed() < 11_000);
  });

  it("releases a lock that is handed over to a waiter which has ended", async () => {
    await using h = memoryLockHarness();
    const [holder, late, third] = [await h.node("holder"), await h.node("late"), await h.node("third")];
    const lock = await h.run(holder.locks.lock("key", { ttl: 30_000 }, someone()));
    const waiting = late.locks.lock("key", { timeout: 500 }, someone()).catch((error) => error.code);
    await h.pass(100);
    const place = (await records(h)).find(({ key }) => key.startsWith("w/"))!;
    assertEquals(await h.run(waiting), "LOCK_TIMEOUT");
    await h.pass(100);
    const bucket = await h.bucket();
    await h.run(bucket.put("h/key", writeLockRecord({ ...readLockRecord(place.value)!, ttl: 30_000 })));
    await h.pass(500);
    const next = await h.run(third.locks.lock("key", { timeout: 0 }, someone()));
    await h.run(next.release());
    await h.run(lock.release());
    assertEquals(await records(h), []);
  });

  it("gets a lock that is handed over long after another waiter of its node has given up", async () => {
    await using h = memoryLockHarness();
    const [holder, patient] = [await h.node("holder"), await h.node("patient")];
    const lock = await h.run(holder.locks.lock("key", { ttl: 5_000 }, someone()));
    const hasty = patient.locks.lock("key", { timeout: 500 }, someone()).catch((error) => error.code);
    const waiting = await waitInQueue(h, patient);
    assertEquals(await h.run(hasty), "LOCK_TIMEOUT");
    await h.pass(25_000); // the watch of a node without waiters would have ended
    await h.run(lock.release());
    let isHeld = false;
    waiting.lock.then(() => isHeld = true, () => {});
    await h.pass(1_000);
    assertEquals(isHeld, true);
    await h.run((await waiting.lock).release());
  });

  it("two nodes do not hand a lock to and fro between their waiters that have ended", slow, async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const h = memoryLockHarness({ seed });
      const nodes = [await h.node("a"), await h.node("b")];
      h.network.faults = { lostAck: 0.1 };
      const use = async ({ locks }: LockNode) => {
        const lock = await locks.lock("key", { timeout: 1_000 }, someone()).catch(() => undefined);
        await delay(h.clock, 2);
        await lock?.release();
      };
      const uses = [];
      for (let i = 0; i < 40; i++) {
        uses.push(use(nodes[i % 2]));
        await h.pass(60);
      }
      await h.run(Promise.all(uses));
      const made = nodes[0].writes.made + nodes[1].writes.made;
      assertLess(made, 200, `seed ${seed}`);
      await h[Symbol.asyncDispose]();
    }
  });
});

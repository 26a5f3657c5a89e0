/** Tests of releases on virtual time: the store acknowledges them late, or there are very many. */
import { describe, it } from "node:test";
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { type Stamp, stamp } from "../../ports/clock.ts";
import { AnswerTimeouts } from "../store/answer_timeouts.ts";
import { releaseOrHandOver } from "./held_key.ts";
import { asker, memoryLockHarness, records, someone } from "./lock_harness_suite.ts";
import type { GrantedKey, LockHost } from "./lock_host.ts";
import { LockKeys, type LockRecord, writeLockRecord } from "./lock_record.ts";

// Timeout of these tests; the default in Bun is 5 s.
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

  it("a run takes a key again that it has released or lost, while the store still has its record", async () => {
    for (const away of [100, 9_500]) {
      await using h = memoryLockHarness();
      const [node, run] = [await h.node("node"), asker("run")];
      const lock = await h.run(node.locks.lock("key", { ttl: 10_000 }, run));
      h.network.cut("node");
      await h.pass(away);
      assertEquals(lock.signal.aborted, away > 9_000); // the lock is lost after more than 9 s
      await h.run(lock.release());
      h.network.restore("node");
      const again = await h.run(node.locks.lock("key", {}, run));
      assertGreater(again.token, lock.token);
      const error = await h.run(node.locks.lock("key", {}, run).catch((thrown) => thrown));
      assertEquals(error.code, "DEADLOCK");
      await h.run(again.release());
    }
  });

  it("hands a key over as overdue if the record before may have expired, or if its age is not known", async () => {
    await using h = memoryLockHarness();
    const [bucket, keys, granted] = [await h.bucket(), new LockKeys(), [] as GrantedKey[]];
    const [holder, waiter] = ["1", "2"].map((nonce): LockRecord => {
      return { nonce, node: "n", endpoint: "n.0", call: nonce, ancestry: [], ttl: 10_000, since: 0 };
    });
    const host = {
      clock: h.clock,
      keys,
      answers: new AnswerTimeouts(h.clock),
      bucket: () => Promise.resolve(bucket),
      next: () => ({ key: "key", record: waiter, revision: 1, place: 1 }),
      handedOver: (_, key) => void granted.push(key),
    } as Partial<LockHost> as LockHost;
    const release = async (passes: number, sent?: Stamp) => {
      const revision = await h.run(bucket.put(keys.holder("key"), writeLockRecord(holder)));
      await h.pass(passes);
      await h.run(releaseOrHandOver(host, "key", holder, sent ? { revision, sent } : { revision }));
    };
    await release(8_900, stamp(h.clock));
    await release(9_000, stamp(h.clock));
    await release(0);
    assertEquals(granted.map(({ overdue }) => overdue), [false, true, true]);
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

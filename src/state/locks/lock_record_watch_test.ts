import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { memoryLockHarness } from "./lock_harness_suite.ts";
import { LockKeys, type LockRecord, writeLockRecord } from "./lock_record.ts";
import { JUNK, LockRecordWatch } from "./lock_record_watch.ts";

const keys = new LockKeys();

function record(nonce: string, place?: number): string {
  const common = { nonce, node: "n", endpoint: "n.0", call: nonce, ancestry: [], ttl: 10_000, since: 0 };
  const whole: LockRecord = place === undefined ? common : { ...common, place };
  return writeLockRecord(whole);
}

/** Watches a bucket's lock records, and collects the changes that the watch reports. */
async function setUp(prefix = "") {
  const h = memoryLockHarness();
  const bucket = await h.bucket();
  const changes: string[] = [];
  const open = () => {
    return new LockRecordWatch({
      clock: h.clock,
      keys,
      prefix,
      bucket: () => Promise.resolve(bucket),
      changed: (key, waiter, { type }) => changes.push(`${type} ${key} ${waiter ?? "holder"}`),
      failed: (error) => changes.push(String(error)),
    });
  };
  const put = (key: string, value: string) => h.run(bucket.put(key, value));
  return { h, bucket, changes, open, put };
}

describe("LockRecordWatch", () => {
  it("knows the records that exist when it opens, and reports only later changes", async () => {
    const { h, bucket, changes, open, put } = await setUp();
    await put(keys.holder("a"), record("1"));
    const view = open();
    assertEquals(view.listed, false);
    await h.run(view.ready);
    assertEquals(view.listed, true);
    assertEquals(view.holder("a")?.record.nonce, "1");
    assertEquals(view.holder("a")?.overdue, true, "it is not known which record it has replaced");
    await put(keys.holder("b"), record("4"));
    await h.pass(100);
    assertEquals(view.holder("b")?.overdue, false);
    assertEquals(changes.splice(0), ["put b holder"]);
    await put(keys.waiter("a", "2"), record("2"));
    await h.run(bucket.delete(keys.holder("a")));
    await h.pass(100);
    assertEquals(changes, ["put a 2", "delete a holder"]);
    assertEquals(view.holder("a"), undefined);
    view.close();
    await put(keys.holder("a"), record("3"));
    await h.pass(100);
    assertEquals(changes.length, 2);
  });

  it("lists the waiters of a key by the revision of their first record", async () => {
    const { h, bucket, open, put } = await setUp();
    for (const nonce of ["1", "2", "3"]) await put(keys.waiter("a", nonce), record(nonce));
    await put(keys.waiter("b", "4"), record("4"));
    const view = open();
    await h.run(view.ready);
    const queue = () => view.queue("a").map((waiter) => waiter.record.nonce);
    assertEquals(queue(), ["1", "2", "3"]);
    const [{ place }] = view.queue("a");
    await put(keys.waiter("a", "1"), record("1", place));
    await h.pass(100);
    assertEquals(queue(), ["1", "2", "3"]);
    await h.run(bucket.delete(keys.waiter("a", "1")));
    await put(keys.waiter("a", "1"), record("1"));
    await h.pass(100);
    assertEquals(queue(), ["2", "3", "1"]);
    assertEquals([...view.waiters()].length, 4);
    view.close();
  });

  it("distinguishes junk from a record of another version, and ignores waiters that it cannot read", async () => {
    const { h, open, put } = await setUp();
    await put(keys.holder("a"), "no JSON");
    await put(keys.holder("b"), '{"nonce":"1","node":"n","endpoint":"n.0","ttl":10000,"version":9}');
    await put(keys.waiter("c", "2"), record("3"));
    const view = open();
    await h.run(view.ready);
    assertEquals(view.holder("a")?.record === JUNK, true);
    assertEquals(view.holder("b")?.record === JUNK, false);
    assertEquals(view.holder("b")?.record.call, "");
    assertEquals(view.queue("c"), []);
    view.close();
  });

  it("knows the queues alone when it watches their prefix", async () => {
    const { h, open, put } = await setUp(keys.waiters);
    await put(keys.holder("a"), record("1"));
    await put(keys.waiter("a", "2"), record("2"));
    const view = open();
    await h.run(view.ready);
    assertEquals(view.holder("a"), undefined);
    assertEquals(view.queue("a").length, 1);
    view.close();
  });
});

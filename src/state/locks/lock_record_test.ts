import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { isJunk, LockKeys, type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";
import { MAX_LOCK_KEY } from "../../ports/key_value_store.ts";

const record: LockRecord = {
  nonce: "n1",
  node: "red",
  endpoint: "red.0",
  call: "run 2",
  ancestry: ["run 1"],
  ttl: 10_000,
  since: 1_700_000_000_000,
};

describe("a lock's record", () => {
  it("is read as it was written", () => {
    assertEquals(readLockRecord(writeLockRecord(record)), record);
    assertEquals(readLockRecord(writeLockRecord({ ...record, place: 7 })), { ...record, place: 7 });
  });

  it("is undefined for a text that is not one, of whatever type its members are", () => {
    for (const text of ["", "{", "7", "null", "[]", "{}"]) assertEquals(readLockRecord(text), undefined, text);
    const wrong = { nonce: 1, node: null, ancestry: "run 1", ttl: 0, since: "now", place: "first" };
    for (const [member, value] of Object.entries(wrong)) {
      assertEquals(readLockRecord(JSON.stringify({ ...record, [member]: value })), undefined, member);
    }
    assertEquals(readLockRecord(JSON.stringify({ ...record, ancestry: [1] })), undefined);
  });

  it("is junk unless it says who holds the lock and for how long; the rest may be of another version", () => {
    for (const text of ["", "{", "7", "null", "[]", '{"type":"io.nats.x"}', '{"nonce":"n1"}']) {
      assertEquals(isJunk(text), true, text);
    }
    const least = { nonce: "n1", node: "n", endpoint: "n.0", ttl: 10_000 };
    assertEquals(isJunk(JSON.stringify({ ...least, version: 9 })), false);
    for (const member of Object.keys(least)) {
      for (const wrong of [undefined, null, [], "", 0]) {
        assertEquals(isJunk(JSON.stringify({ ...least, [member]: wrong })), true, `${member}: ${wrong}`);
      }
    }
  });
});

describe("LockKeys", () => {
  it("finds a record's lock and waiter, whatever characters the lock's key has", () => {
    const keys = new LockKeys("lead");
    for (const key of ["a", "", "a/b", "/", "h/a", "w/a/n1", "ключ"]) {
      assertEquals(keys.parse(keys.holder(key)), { key });
      assertEquals(keys.parse(keys.waiter(key, "n1")), { key, waiter: "n1" });
    }
  });

  it("ignores records of other spaces", () => {
    assertEquals(new LockKeys("lead").parse(new LockKeys().holder("a")), undefined);
    assertEquals(new LockKeys().parse(new LockKeys("lead").waiter("a", "n1")), undefined);
    assertEquals(new LockKeys().parse("w/a"), undefined);
  });

  it("throws for an invalid key", () => {
    const keys = new LockKeys();
    keys.check("x".repeat(MAX_LOCK_KEY));
    assertThrows(() => keys.check("x".repeat(MAX_LOCK_KEY + 1)), RangeError, `${MAX_LOCK_KEY} characters`);
    assertThrows(() => keys.check("\ud83d"), TypeError, "well-formed");
    // @ts-expect-error: not a string
    assertThrows(() => keys.check(7), TypeError, "got number");
  });
});

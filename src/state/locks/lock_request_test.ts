import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LockOptions } from "../../contract/calls/shared_state.ts";
import { locksClosed } from "./lock_error.ts";
import { LockKeys, type LockRecord } from "./lock_record.ts";
import { LockRequest } from "./lock_request.ts";

const asker = { call: "run", ancestry: [] };

function setUp(holder?: LockRecord) {
  const clock = new VirtualClock();
  const host = { clock, keys: new LockKeys(), holder: () => holder };
  const request = (keys: string | string[], options: LockOptions = {}) => new LockRequest(host, keys, options, asker);
  return { clock, request };
}

describe("LockRequest", () => {
  it("has its keys sorted, each once, and a ttl of whole seconds", () => {
    const { request } = setUp();
    using several = request(["b", "a", "b"], { ttl: 1_500 });
    assertEquals(several.keys, ["a", "b"]);
    assertEquals(several.ttl, 2_000);
    using one = request("b");
    assertEquals(one.keys, ["b"]);
    assertEquals(one.ttl, 10_000);
  });

  it("throws for invalid keys and options", () => {
    const { request, clock } = setUp();
    assertThrows(() => request([]), TypeError, "empty list");
    assertThrows(() => request("a", { ttl: 999 }), RangeError);
    assertThrows(() => request("a", { timeout: -1 }), RangeError);
    // @ts-expect-error: not a key
    assertThrows(() => request(7), TypeError, "got 7");
    // @ts-expect-error: an unknown option
    assertThrows(() => request("a", { wait: true }), TypeError, "wait");
    assertEquals(clock.timers, 0);
  });

  it("is given up with LOCK_TIMEOUT after its timeout, and keeps the first reason", async () => {
    const { clock, request } = setUp();
    using timed = request("a", { timeout: 500 });
    await clock.advance(499);
    assertEquals(timed.signal.aborted, false);
    await clock.advance(1);
    assertEquals(timed.signal.aborted, true);
    timed.giveUp(locksClosed);
    assertEquals(timed.error("a").code, "LOCK_TIMEOUT");
    assertEquals(timed.error("a").details, { key: "a", waited: 500, holder: undefined });
  });

  it("is given up with CANCELLED when the caller's signal aborts, or has aborted before", () => {
    const { request } = setUp();
    const caller = new AbortController();
    using waiting = request("a", { signal: caller.signal });
    assertEquals(waiting.signal.aborted, false);
    caller.abort("enough");
    using late = request("a", { signal: caller.signal });
    for (const each of [waiting, late]) {
      assertEquals(each.signal.aborted, true);
      assertEquals(each.error("a").code, "CANCELLED");
      assertEquals(each.error("a").cause, "enough");
    }
  });

  it("ends with UNAVAILABLE, not LOCK_TIMEOUT, if the store failed and no holder is known", () => {
    const failure = new Error("no answer");
    using unknown = setUp().request("a", { timeout: 0 });
    assertEquals(unknown.mayWait, false);
    unknown.failure = failure;
    assertEquals(unknown.timedOut("a").code, "UNAVAILABLE");
    assertEquals(unknown.timedOut("a").cause, failure);
    assertEquals(unknown.timedOut("a").message, 'the lock "a" could not be taken within 0 ms: no answer');
    const holder = { nonce: "1", node: "red", endpoint: "red.0", call: "other", ancestry: [], ttl: 1_000, since: 0 };
    using known = setUp(holder).request("a", { timeout: 0 });
    known.failure = failure;
    assertEquals(known.timedOut("a").code, "LOCK_TIMEOUT");
  });

  it("names no holder that is this call, nor the holder or the failure of the key before", () => {
    const holder = { nonce: "1", node: "red", endpoint: "red.0", call: "other", ancestry: [], ttl: 1_000, since: 0 };
    using own = setUp(holder).request("a", { timeout: 0 });
    own.begin("1");
    assertEquals(own.timedOut("a").details, { key: "a", waited: 0, holder: undefined });
    own.failure = new Error("no answer");
    assertEquals(own.timedOut("a").code, "UNAVAILABLE");
    using several = setUp().request(["a", "b"], { timeout: 0 });
    several.begin("2");
    several.holder = holder;
    several.failure = own.failure;
    several.begin("3");
    assertEquals(several.timedOut("b").code, "LOCK_TIMEOUT");
    assertEquals(several.timedOut("b").details, { key: "b", waited: 0, holder: undefined });
  });

  it("leaves no timer behind", () => {
    const { clock, request } = setUp();
    const disposed = request("a", { timeout: 500 });
    assertEquals(clock.timers, 1);
    disposed[Symbol.dispose]();
    assertEquals(clock.timers, 0);
  });
});

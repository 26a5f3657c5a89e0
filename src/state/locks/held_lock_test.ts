import { describe, it } from "node:test";
import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { memoryLockHarness, records, someone } from "./lock_harness_suite.ts";

describe("a lock of several keys", () => {
  it("has the greatest of its keys' tokens", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    const lock = await h.run(node.locks.lock(["a", "b"], {}, someone()));
    const revisions = (await records(h)).map(({ revision }) => revision);
    assertEquals(revisions.length, 2);
    assertEquals(lock.token, Math.max(...revisions));
  });

  it("aborts its signal once, when the first of its keys is lost; the others are held until its release", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    const lock = await h.run(node.locks.lock(["a", "b"], { ttl: 3_000 }, someone()));
    let aborts = 0;
    lock.signal.addEventListener("abort", () => aborts++);
    const bucket = await h.bucket();
    await h.run(bucket.delete("h/b"));
    await h.pass(10_000);
    assertEquals(aborts, 1);
    assert(lock.signal.aborted);
    assertInstanceOf(lock.signal.reason, CatgaError);
    assertEquals(lock.signal.reason.code, "LOCK_LOST");
    assertEquals(lock.signal.reason.details, { key: "b" });
    assertEquals((await records(h)).map(({ key }) => key), ["h/a"]);
    await h.run(lock.release());
    assertEquals(await records(h), []);
  });

  it("has an aborted signal if a key was lost before the signal was first read", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    const lock = await h.run(node.locks.lock("a", { ttl: 3_000 }, someone()));
    await h.run((await h.bucket()).delete("h/a"));
    await h.pass(10_000);
    assertEquals(lock.signal.reason?.code, "LOCK_LOST");
  });

  it("does not abort its signal when it is released", async () => {
    await using h = memoryLockHarness();
    const node = await h.node("node");
    const lock = await h.run(node.locks.lock("a", { ttl: 3_000 }, someone()));
    assertEquals(lock.signal.aborted, false);
    await h.run(lock.release());
    await h.pass(10_000);
    assertEquals(lock.signal.aborted, false);
  });
});

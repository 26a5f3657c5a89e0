import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import type { Bucket } from "../../ports/key_value_store.ts";
import { memoryHarness } from "../harness_suite.ts";
import { KeyWatch } from "./claim_wait.ts";

async function setUp() {
  const harness = await memoryHarness();
  const node = await harness.node();
  const bucket = await harness.until(node.open("watched"));
  const signals: AbortSignal[] = [];
  const watch = bucket.watch.bind(bucket);
  Object.assign(bucket, {
    watch: (...[prefix, onChange, options]: Parameters<Bucket["watch"]>) => {
      signals.push(options.signal);
      return watch(prefix, onChange, options);
    },
  });
  const watches = () => signals.filter(({ aborted }) => !aborted).length;
  return { harness, bucket, watches };
}

describe("KeyWatch", () => {
  it("calls back with the current entry of a key and later changes, and with no other key's", async () => {
    const { harness, bucket } = await setUp();
    await harness.until(bucket.put("a/1", "old"));
    await harness.until(bucket.put("a/2", "other"));
    const seen: string[] = [];
    const watch = new KeyWatch(() => Promise.resolve(bucket));
    const watched = watch.watch("a/1", (change) => seen.push(change.type === "put" ? change.value : change.type));
    await harness.until(watched.ready);
    await harness.until(bucket.put("a/2", "again"));
    await harness.until(bucket.put("a/1", "new"));
    await harness.pass(100);
    assertEquals(seen, ["old", "new"]);
    watched.stop();
    await harness.until(bucket.put("a/1", "unseen"));
    await harness.pass(100);
    assertEquals(seen, ["old", "new"]);
  });

  it("shares one watch of the bucket among keys with one prefix, until the last of them is stopped", async () => {
    const { harness, bucket, watches } = await setUp();
    const watch = new KeyWatch(() => Promise.resolve(bucket));
    const watched = ["a/1", "a/2", "a/2", "b/1"].map((key) => watch.watch(key, () => {}));
    for (const { ready } of watched) await harness.until(ready);
    assertEquals(watches(), 2);
    for (const each of watched.slice(0, 2)) each.stop();
    assertEquals(watches(), 2);
    for (const each of watched) each.stop();
    assertEquals(watches(), 0);
  });

  it("rejects `ready` when the bucket cannot be watched; the next call opens another watch", async () => {
    const { harness, bucket, watches } = await setUp();
    const answers: (() => Promise<Bucket>)[] = [() => Promise.reject(new Error("no server"))];
    const watch = new KeyWatch(() => answers.shift()?.() ?? Promise.resolve(bucket));
    await assertRejects(() => watch.watch("a/1", () => {}).ready, Error, "no server");
    assertEquals(watches(), 0);
    const again = watch.watch("a/1", () => {});
    await harness.until(again.ready);
    assertEquals(watches(), 1);
    again.stop();
  });
});

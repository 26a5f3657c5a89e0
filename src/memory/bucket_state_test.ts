import { describe, it } from "node:test";
import { assertEquals, assertGreater } from "@std/assert";
import type { Change } from "../ports/key_value_store.ts";
import { BucketState } from "./bucket_state.ts";
import { FaultSource } from "./faults.ts";
import { seededRandom } from "./seeded_random.ts";
import { VirtualClock } from "./virtual_clock.ts";

const SETTINGS = { direct: false, replicas: 1 };

describe("BucketState", () => {
  it("entries are in the order of their revisions, and expire at their ttl", async () => {
    const clock = new VirtualClock();
    const state = new BucketState(clock, SETTINGS);
    const changes: Change[] = [];
    state.observe((change) => changes.push(change));
    state.put("b", "1", undefined);
    state.put("a", "2", 2);
    state.put("b", "3", undefined);
    assertEquals(state.entries("").map(({ key, value }) => key + value), ["a2", "b3"]);
    await clock.advance(1_999);
    assertEquals(state.get("a")?.value, "2");
    await clock.advance(1);
    assertEquals(state.get("a"), undefined);
    assertEquals(changes.map(({ type, key }) => `${type} ${key}`), ["put b", "put a", "put b", "expire a"]);
  });

  it("a bucket that is created later continues with greater revisions", async () => {
    const clock = new VirtualClock();
    const before = new BucketState(clock, SETTINGS).put("a", "1", undefined);
    await clock.advance(1);
    assertGreater(new BucketState(clock, SETTINGS).put("a", "1", undefined), before);
  });

  it("a revived entry is listed at its old revision", async () => {
    const clock = new VirtualClock();
    const faults = new FaultSource(seededRandom(1));
    faults.faults = { revival: 1 };
    const state = new BucketState(clock, SETTINGS, faults);
    const revision = state.put("a", "1", 60);
    state.put("b", "1", undefined);
    state.remove("a", "delete");
    assertEquals(state.get("a"), undefined);
    await clock.advance(1_000);
    assertEquals(state.get("a")?.revision, revision);
    assertEquals(state.entries("").map(({ key }) => key), ["a", "b"]);
  });
});

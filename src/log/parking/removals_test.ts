import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Bucket } from "../../ports/key_value_store.ts";
import { ParkedStore } from "./parked_store.ts";
import { harness } from "./parking_suite.ts";
import { Removals } from "./removals.ts";

describe("Removals", () => {
  it("removes entries at their revisions, 16 at a time, and says when a key is free", async () => {
    const h = await harness();
    const revisions = new Map<string, number>();
    for (let i = 0; i < 40; i++) revisions.set(`${i}`, await h.until(h.bucket.put(`${i}`, "old")));
    await h.until(h.bucket.put("7", "new"));
    let [running, most] = [0, 0];
    const bucket: Bucket = {
      ...h.bucket,
      name: "parked",
      get: (key) => h.bucket.get(key),
      delete: async (key, options) => {
        most = Math.max(most, ++running);
        return await h.bucket.delete(key, options).finally(() => running--);
      },
    };
    const faults: unknown[] = [];
    const fault = (error: unknown) => void faults.push(error);
    const signal = new AbortController().signal;
    const about = { bucket, clock: h.clock, service: "s", name: "n", generation: 0, token: 1, signal, fault };
    const removals = new Removals(new ParkedStore(about), fault);
    for (const [key, revision] of revisions) removals.add(key, revision);
    await h.until(removals.of("39"));
    await h.until(removals.of("none"));
    await h.clock.advance(100);
    assertEquals((await h.until(h.bucket.entries(""))).map(({ key }) => key), ["7"]);
    assertEquals([most, faults], [16, []]);
  });
});

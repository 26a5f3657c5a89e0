import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { seededRandom } from "../../memory/seeded_random.ts";
import { FrameRing } from "./frame_ring.ts";

describe("FrameRing", () => {
  it("get returns undefined for a number that was not added", () => {
    const ring = new FrameRing<{ seq: number }>();
    assertEquals([ring.size, ring.values(), ring.get(0), ring.get(1)], [0, [], undefined, undefined]);
    ring.delete(1);
    ring.add({ seq: 257 });
    assertEquals([ring.get(1), ring.get(0), ring.get(Number.MAX_SAFE_INTEGER)], [undefined, undefined, undefined]);
    ring.delete(1);
    assertEquals([ring.size, ring.get(257)], [1, { seq: 257 }]);
  });

  it("behaves as a Map, with stragglers of any age, in whatever order numbers come and go", () => {
    const random = seededRandom(7);
    const ring = new FrameRing<{ seq: number }>();
    const model = new Map<number, { seq: number }>();
    let seq = 0;
    for (let step = 0; step < 20_000; step++) {
      const dice = random();
      if (dice < 0.5) {
        seq += 1 + Math.floor(random() * random() * 300);
        // sometimes a number older than the newest
        const value = { seq: dice < 0.02 ? Math.max(1, seq - 256 * Math.ceil(random() * 3)) : seq };
        if (model.has(value.seq)) continue;
        ring.add(value);
        model.set(value.seq, value);
      } else {
        const keys = [...model.keys()];
        const gone = dice < 0.6 ? Math.floor(random() * seq) : keys[Math.floor(random() * keys.length)] ?? 1;
        ring.delete(gone);
        model.delete(gone);
      }
      assertEquals(ring.size, model.size);
      const some = Math.floor(random() * seq);
      assertEquals(ring.get(some), model.get(some));
    }
    assertEquals(ring.values().map((value) => value.seq).sort(), [...model.keys()].sort());
  });
});

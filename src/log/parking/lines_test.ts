import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { seededRandom } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Lines } from "./lines.ts";

describe("Lines", () => {
  it("of each key one message is tried at a time, the lowest that is there, whatever the order of what happens", async () => {
    const [clock, random] = [new VirtualClock(), seededRandom(7)];
    const lines = new Lines(clock, () => {});
    const inHand = new Map<string, number>();
    const inside = new Map<string, Set<number>>();
    let [tried, next] = [0, 0];
    for (let i = 0; i < 20_000; i++) {
      const key = `${Math.floor(random() * 20)}`;
      const set = inside.get(key) ?? new Set<number>();
      inside.set(key, set);
      if (random() < 0.4) {
        const position = next++;
        set.add(position);
        const item = lines.add({ position, category: "A", key, time: 0 });
        lines.settle(item, { dead: false, due: clock.monotonic() + (random() < 0.5 ? 0 : random() * 50) });
      } else if (random() < 0.5) {
        await clock.advance(1);
      } else {
        const item = lines.shift();
        if (item === undefined) continue;
        const of = item.line.id!.slice(2);
        assertEquals([inHand.has(of), item.position], [false, Math.min(...inside.get(of)!)]);
        item.stage = "hand";
        inHand.set(of, item.position);
        tried++;
      }
      for (const [of, position] of [...inHand]) {
        if (random() < 0.7) continue;
        inHand.delete(of);
        const item = lines.get(position)!;
        if (random() < 0.5) lines.settle(item, { dead: false, due: clock.monotonic() + 10 });
        else {
          inside.get(of)!.delete(position);
          lines.remove(item);
        }
      }
    }
    assertEquals(lines.size, [...inside.values()].reduce((sum, set) => sum + set.size, 0));
    assertEquals(tried > 1_000, true);
    lines.close();
    assertEquals(clock.timers, 0);
  });

  it("a key whose last message is removed is held no longer", () => {
    const lines = new Lines(new VirtualClock(), () => {});
    const item = lines.add({ position: 1, category: "A", key: "k", time: 0 });
    assertEquals([lines.holds("A", "k"), lines.holds("A", "x")], [true, false]);
    lines.settle(item, { dead: true, due: 0 });
    assertEquals([lines.dead, lines.shift()], [1, undefined]);
    lines.remove(item);
    lines.remove(item);
    assertEquals([lines.holds("A", "k"), lines.dead, lines.size], [false, 0, 0]);
  });
});

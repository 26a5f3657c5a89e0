import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { seededRandom } from "../memory/seeded_random.ts";
import { DueHeap } from "./due_heap.ts";

describe("DueHeap", () => {
  it("pops what was pushed by time, also when both alternate", () => {
    const [heap, random] = [new DueHeap<number>(), seededRandom(1)];
    const inside: number[] = [];
    for (let i = 0; i < 5_000; i++) {
      if (random() < 0.6 || inside.length === 0) {
        const time = Math.floor(random() * 1_000);
        heap.push(time, time);
        inside.push(time);
      } else {
        const least = Math.min(...inside);
        assertEquals([heap.first, heap.pop()], [least, least]);
        inside.splice(inside.indexOf(least), 1);
      }
      assertEquals(heap.size, inside.length);
    }
    const rest = Array.from(inside, () => heap.pop());
    assertEquals(rest, inside.sort((a, b) => a - b));
    assertEquals([heap.pop(), heap.first, heap.size], [undefined, undefined, 0]);
  });
});

import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { endOf, MAX_ITEMS_IN_GROUP, positionOf, sequenceOf } from "./group_text.ts";

/** The smallest sequence, and the greatest whose time in ms has 41 bits. */
const SEQUENCES = [1, 2 ** 41 - 1];

describe("a position", () => {
  it("has the sequence and the index that it was made of, up to the last event of the greatest sequence", () => {
    for (const sequence of SEQUENCES) {
      for (const index of [0, 1, MAX_ITEMS_IN_GROUP - 1]) {
        const position = positionOf(sequence, index);
        assertEquals([sequenceOf(position), position % 1_024], [sequence, index]);
        assert(Number.isSafeInteger(position), `${position}`);
      }
    }
  });

  it("orders events by message, then by index; the end of a message is at or behind its events, before the next", () => {
    for (const sequence of SEQUENCES) {
      const [first, second, last] = [0, 1, MAX_ITEMS_IN_GROUP - 1].map((index) => positionOf(sequence, index));
      const ordered = [endOf(sequence - 1), first, second, last, endOf(sequence), positionOf(sequence + 1, 0)];
      assertEquals(ordered.toSorted((a, b) => a - b), ordered);
      assertEquals(new Set(ordered).size, ordered.length);
      assertEquals(sequenceOf(endOf(sequence)), sequence);
    }
  });

  it("is the same for all nodes and releases: records hold it", () => {
    assertEquals([positionOf(5, 0), positionOf(5, 7), endOf(5)], [5_120, 5_127, 6_143]);
  });
});

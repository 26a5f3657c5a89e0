import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type OpenEntry, readOpen, RUNNING, SPARED, writeOpen } from "./open_positions.ts";
import { positionOf } from "./position.ts";

/** The time in ms, as the first sequence of a stream. */
const FIRST = 1_760_000_000_000;

describe("readOpen", () => {
  it("reads what writeOpen writes, whatever the distances, by position", () => {
    const positions = [0, 1, 31, 32, 33, 1_023, 1_024, 70_000, positionOf(FIRST, 0), positionOf(2 ** 43 - 1, 1_023)];
    const entries = positions.map((position, i): OpenEntry => [position, i % 3, i % 4]);
    assertEquals(readOpen(JSON.parse(JSON.stringify(writeOpen(entries)))), entries);
    assertEquals(readOpen(writeOpen([])), []);
  });

  it("takes nothing else", () => {
    const wrong = [
      "A",
      [1],
      [[1, 0]],
      [[1, 0, 7]],
      [[-1, 0, "B"]],
      [[1.5, 0, "B"]],
      [[0, 4, "B"]],
      [[0, "0", "B"]],
      [[0, 0, "!"]],
      [[0, 0, "Bh"]], // within a number
      [[0, 0, `${"_".repeat(11)}B`]], // too great
      [[0, 0, `${"_".repeat(1_000)}B`]],
      [[0, 0, "__________H".repeat(10)]],
    ];
    for (const value of wrong) assertEquals(readOpen(value), undefined, JSON.stringify(value));
  });
});

describe("writeOpen", () => {
  it("takes at most 32 kB for 9,000 messages, whatever runs and waits among them", () => {
    const states = [[0, 0], [1, RUNNING], [0, SPARED], [2, RUNNING | SPARED]] as const;
    const spreads: [name: string, (i: number) => number][] = [
      ["in groups of 512", (i) => positionOf(FIRST + Math.floor(i / 512), i % 512)],
      ["one by one", (i) => positionOf(FIRST + i, 0)],
      ["among those of others", (i) => positionOf(FIRST + 7 * i, 0)],
    ];
    for (const [name, positionAt] of spreads) {
      const entries = Array.from(
        { length: 9_000 },
        (_, i): OpenEntry => [positionAt(i), ...states[(i * 7 + Math.floor(i / 5)) % 4]],
      );
      const { length } = JSON.stringify(writeOpen(entries));
      assert(length <= 32_768, `${name}: ${length} bytes`);
      assertEquals(readOpen(writeOpen(entries)), entries);
    }
  });
});

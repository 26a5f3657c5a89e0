import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { hashOf, RecentCommands } from "./recent_commands.ts";

describe("recent commands", () => {
  it("what was added is found, with all of its sequences, the latest first", async () => {
    const clock = new VirtualClock();
    const recent = new RecentCommands(clock, 3_000);
    recent.add(hashOf("a"), 7);
    recent.add(hashOf("b"), 8);
    await clock.advance(1_000);
    recent.add(hashOf("a"), 9);
    assertEquals([recent.find(hashOf("a")), recent.find(hashOf("b")), recent.find(hashOf("c"))], [
      ...[[9, 7], [8], undefined],
    ]);
    assertEquals(recent.count, 3);
  });

  it("many are found, and what is not among them is not", () => {
    const recent = new RecentCommands(new VirtualClock(), 3_000);
    for (let n = 1; n <= 20_000; n++) recent.add(hashOf(`command ${n}`), n);
    for (let n = 1; n <= 20_000; n++) assertEquals(recent.find(hashOf(`command ${n}`)), [n]);
    for (let n = 1; n <= 20_000; n++) assertEquals(recent.find(hashOf(`other ${n}`)), undefined);
  });

  it("each is kept as long as is asked, and not for twice as long", async () => {
    const clock = new VirtualClock();
    const recent = new RecentCommands(clock, 3_000);
    const added = new Map<string, number>();
    for (let n = 1; n <= 1_000; n++) {
      await clock.advance(10);
      recent.add(hashOf(`${n}`), n);
      added.set(`${n}`, clock.monotonic());
    }
    const now = clock.monotonic();
    for (const [text, at] of added) {
      const found = recent.find(hashOf(text));
      if (now - at <= 3_000) assert(found !== undefined, `${text}, of ${now - at} ms ago`);
      if (now - at >= 6_000) assertEquals(found, undefined);
    }
    await clock.advance(60_000);
    recent.add(hashOf("later"), 1);
    assertEquals(recent.count, 1);
  });

  it("numbers of texts differ, and with them those behind another number", () => {
    const numbers = new Set(Array.from({ length: 100_000 }, (_, n) => hashOf(`endpoint.${n}`)));
    assertEquals(numbers.size, 100_000);
    for (const number of numbers) assert(Number.isSafeInteger(number) && number > 0);
    assert(hashOf("a", 1) !== hashOf("a", 2));
  });
});

import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { FaultSource } from "./faults.ts";
import { ServerLink } from "./server_link.ts";
import { MemoryProcess } from "./memory_process.ts";
import { seededRandom } from "./seeded_random.ts";
import { VirtualClock } from "./virtual_clock.ts";

function setUp() {
  const clock = new VirtualClock();
  const faults = new FaultSource(seededRandom(1));
  const process = new MemoryProcess(clock, faults.random);
  return { clock, faults, process, link: new ServerLink(clock, faults, process), seen: [] as string[] };
}

describe("ServerLink", () => {
  it("without delays carries at once, in both directions", () => {
    const { link, seen } = setUp();
    link.toServer(() => seen.push("request"));
    link.toProcess(() => seen.push("answer"));
    assertEquals(seen, ["request", "answer"]);
    assertEquals([link.serverClear, link.processClear], [true, true]);
  });

  it("keeps the order of what is delayed", async () => {
    const { clock, faults, link, seen } = setUp();
    faults.faults = { delay: 1_000 };
    const numbers = Array.from({ length: 50 }, (_, i) => String(i));
    for (const number of numbers) link.toServer(() => seen.push(number));
    assertEquals(link.serverClear, false);
    await clock.advance(1_000);
    assertEquals(seen, numbers);
  });

  it("detach: loses what is in transit to the process, and everything until it is attached again", async () => {
    const { clock, faults, link, seen } = setUp();
    faults.faults = { delay: 1_000 };
    for (let i = 0; i < 10; i++) link.toProcess(() => seen.push("answer"), () => seen.push("lost answer"));
    link.detach();
    assertEquals(seen, Array(10).fill("lost answer"));
    link.toServer(() => seen.push("request"), () => seen.push("lost request"));
    assertEquals(seen.at(-1), "lost request");
    await clock.advance(5_000);
    assertEquals(seen.length, 11);
    const { epoch } = link;
    link.attach();
    assertEquals([link.has(epoch), link.has(epoch + 1)], [false, true]);
  });

  it("a frozen process sends when it goes on", async () => {
    const { clock, process, link, seen } = setUp();
    process.pause();
    link.toServer(() => seen.push("request"));
    await clock.advance(1_000);
    assertEquals(seen, []);
    process.resume();
    await clock.advance(0);
    assertEquals(seen, ["request"]);
  });
});

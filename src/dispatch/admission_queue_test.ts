import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { AdmissionQueue, type Dropped, QueueEntry } from "./admission_queue.ts";
import { TurnBudget } from "./turn_budget.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";

class TestEntry extends QueueEntry {
  state: "waiting" | "running" | Dropped = "waiting";
  readonly name: number;
  readonly log: number[];

  constructor(name: number, due: number, log: number[] = []) {
    super(due);
    this.name = name;
    this.log = log;
  }

  override start(): void {
    this.state = "running";
    this.log.push(this.name);
  }

  override drop(why: Dropped): void {
    this.state = why;
  }
}

describe("AdmissionQueue", () => {
  it("knows since when those that come find all turns taken, whether they wait still or not", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1 });
    const [second, third] = [new TestEntry(2, Infinity), new TestEntry(3, Infinity)];
    queue.enter(new TestEntry(1, Infinity));
    await clock.advance(100);
    assertEquals(queue.backlog, undefined); // no entry waits
    const since = clock.monotonic();
    queue.enter(second);
    assertEquals(queue.backlog, { count: 1, since, endedAt: 0 });
    await clock.advance(100);
    second.quit("LATE");
    assertEquals(queue.backlog, { count: 0, since, endedAt: 0 });
    queue.enter(third);
    await clock.advance(100);
    queue.leave();
    assertEquals(queue.backlog, { count: 0, since, endedAt: clock.monotonic() }); // `third` runs
    queue.leave();
    assertEquals(queue.backlog, undefined);
  });

  it("runs as many as its limit, the others in the order in which they came", () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 2 });
    const log: number[] = [];
    const due = clock.monotonic() + 1_000;
    for (let i = 0; i < 5; i++) assert(queue.enter(new TestEntry(i, due, log)));
    assertEquals([log, queue.running, queue.waiting], [[0, 1], 2, 3]);
    queue.leave();
    queue.leave();
    assertEquals(log, [0, 1, 2, 3]);
    for (let i = 0; i < 3; i++) queue.leave();
    assertEquals([log, queue.running, queue.waiting], [[0, 1, 2, 3, 4], 0, 0]);
  });

  it("drops an entry that quits, and one whose deadline has passed", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1 });
    const now = clock.monotonic();
    const [first, gone, late, last] = [10_000, 10_000, 50, 10_000].map((time, i) => new TestEntry(i, now + time));
    for (const entry of [first, gone, late, last]) queue.enter(entry);
    gone.quit("DRAINING");
    assertEquals([gone.state, queue.waiting], ["DRAINING", 2]);
    await clock.advance(60);
    queue.leave();
    assertEquals([gone.state, late.state, last.state], ["DRAINING", "LATE", "running"]);
  });

  it("accepts ten thousand entries before there is a pace", () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1 });
    const due = clock.monotonic() + 1_000;
    for (let i = 0; i < 10_000; i++) assert(queue.enter(new TestEntry(i, due)));
  });

  it("refuses an entry that cannot start before its deadline, and accepts one that can", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1 });
    for (let i = 0; i < 101; i++) queue.enter(new TestEntry(i, clock.monotonic() + 60_000));
    for (let i = 0; i < 50; i++) { // an entry ends every 20 ms: 50 a second
      await clock.advance(20);
      queue.leave();
    }
    // 50 entries wait before the new one, which takes a second at this pace
    assertEquals(queue.enter(new TestEntry(200, clock.monotonic() + 500)), false);
    assertEquals(queue.enter(new TestEntry(201, clock.monotonic() + 2_000)), true);
  });

  it("drops entries that came before there was a pace and cannot start in time (they waited in vain)", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1 });
    const entries = Array.from({ length: 101 }, (_, i) => new TestEntry(i, clock.monotonic() + 1_000));
    for (const entry of entries) assert(queue.enter(entry));
    for (let i = 0; i < 10; i++) { // an entry ends every 20 ms: 40 more by their deadline
      await clock.advance(20);
      queue.leave();
    }
    assertEquals(entries.filter(({ state }) => state === "OVERLOADED"), []);
    assertEquals(queue.enter(new TestEntry(200, clock.monotonic() + 500)), false);
    assertEquals([queue.running, queue.waiting], [1, 40]);
    assertEquals(entries.slice(51).filter(({ state }) => state !== "OVERLOADED"), []);
  });

  for (const limit of [16, 64, 256]) {
    it(`${limit} runs that began together and end one after another are no slow pace (half was OVERLOADED)`, async () => {
      const clock = new VirtualClock();
      const queue = new AdmissionQueue(clock, { limit });
      let [entered, refused] = [0, 0];
      /** Runs for 400 ms. */
      class Run extends TestEntry {
        override start(): void {
          super.start();
          clock.after(400, () => {
            queue.leave();
            // a new entry comes with each end
            if (entered < 6 * limit) enter();
          });
        }
      }
      const entries: Run[] = [];
      const enter = () => {
        // 6 entries for each place: the last one starts within 2,000 ms
        const entry = new Run(entered++, clock.monotonic() + 2_500);
        if (queue.enter(entry)) entries.push(entry);
        else refused++;
      };
      for (let i = 0; i < 4 * limit; i++) enter();
      await clock.advance(3_000);
      assertEquals(refused, 0);
      assertEquals(entries.filter(({ state }) => state !== "running").length, 0);
    });
  }

  it("runs that take longer than a second and end together do not hide that too many wait", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 64 });
    const now = clock.monotonic();
    for (let i = 0; i < 640; i++) queue.enter(new TestEntry(i, now + 60_000));
    for (let n = 1; n <= 5; n++) { // 64 entries end every 2 s
      await clock.advance(2_000);
      for (let i = 0; i < 64; i++) queue.leave();
    }
    // 256 entries wait before the new one: it starts in 10 s
    assertEquals(queue.enter(new TestEntry(700, clock.monotonic() + 5_500)), false);
    assertEquals(queue.enter(new TestEntry(701, clock.monotonic() + 10_000)), true);
  });

  it("refuses nothing because slow runs have not ended yet, but does when they never end", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 100 });
    for (let i = 0; i < 150; i++) queue.enter(new TestEntry(i, clock.monotonic() + 60_000));
    await clock.advance(5_000);
    assertEquals(queue.enter(new TestEntry(200, clock.monotonic() + 30_000)), true);
    await clock.advance(55_000);
    for (let i = 0; i < 1_000; i++) queue.enter(new TestEntry(300 + i, clock.monotonic() + 30_000));
    assertEquals(queue.enter(new TestEntry(2_000, clock.monotonic() + 30_000)), false);
  });

  it("runs that hang after a fast second are no pace: those that would wait behind them too long are refused", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 64 });
    for (let i = 0; i < 100; i++) { // an entry ends every 10 ms, and none waits
      queue.occupy();
      await clock.advance(10);
      queue.leave();
    }
    for (let i = 0; i < 64; i++) queue.occupy();
    await clock.advance(50);
    for (let i = 0; i < 500; i++) queue.enter(new TestEntry(i, clock.monotonic() + 60_000));
    await clock.advance(640);
    // no run has ended while one waited, for 640 ms: each of 64 places takes 10 ms at best, and 500 entries wait
    assertEquals(queue.enter(new TestEntry(500, clock.monotonic() + 4_000)), false);
    assertEquals(queue.enter(new TestEntry(501, clock.monotonic() + 6_000)), true);
  });

  it("runs that never end weigh half as much as those that do: the pace was seven times, then twice too fast", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 64 });
    for (let i = 0; i < 63; i++) queue.occupy(); // these hang
    for (let i = 0; i < 300; i++) queue.enter(new TestEntry(i, clock.monotonic() + 1_000_000));
    for (let i = 0; i < 100; i++) { // one at a time runs, for 1 s
      await clock.advance(1_000);
      queue.leave();
    }
    // 199 entries wait, one of which starts each second
    assertEquals(queue.waiting, 199);
    assertEquals(queue.enter(new TestEntry(300, clock.monotonic() + 110_000)), false);
    assertEquals(queue.enter(new TestEntry(301, clock.monotonic() + 210_000)), true);
  });

  for (const first of ["a run ends", "an entry comes"]) {
    it(`a pause of the process does not count towards the pace: then ${first} (what waited was OVERLOADED)`, async () => {
      const clock = new VirtualClock();
      const network = new MemoryNetwork({ clock });
      const queue = new AdmissionQueue(network.connect({ name: "a" }).clock, { limit: 1 });
      const entries = Array.from({ length: 201 }, (_, i) => new TestEntry(i, clock.monotonic() + 20_000));
      for (const entry of entries) assert(queue.enter(entry));
      for (let i = 0; i < 50; i++) { // an entry ends every 10 ms
        await clock.advance(10);
        queue.leave();
      }
      const since = queue.backlog!.since;
      network.pause("a");
      await clock.advance(10_000);
      if (first === "a run ends") queue.leave();
      assertEquals(queue.enter(new TestEntry(201, clock.monotonic() + 3_000)), true);
      assert(queue.backlog!.since - since > 9_500); // places are not said to have been taken all the time
      network.resume("a");
      await clock.advance(10);
      queue.leave();
      assertEquals(queue.enter(new TestEntry(202, clock.monotonic() + 1_000)), false); // it counts when it has ended
      assertEquals(entries.filter(({ state }) => state === "OVERLOADED"), []);
    });
  }

  it("a handler that blocks without processor time is taken for a pause: none behind it starts after its deadline", async () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const queue = new AdmissionQueue(network.connect({ name: "a" }).clock, { limit: 1 });
    const entries = Array.from({ length: 5 }, (_, i) => new TestEntry(i, clock.monotonic() + 7_000));
    for (const entry of entries) assert(queue.enter(entry));
    for (let i = 0; i < 3; i++) { // each run blocks for 3 s
      network.pause("a");
      await clock.advance(3_000);
      queue.leave();
      network.resume("a");
      await clock.advance(0);
    }
    assertEquals(entries.map(({ state }) => state), ["running", "running", "running", "LATE", "LATE"]);
  });

  it("refuses an entry when as many wait as may", () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1, capacity: 2 });
    const due = clock.monotonic() + 1_000;
    assertEquals([0, 1, 2, 3].map((i) => queue.enter(new TestEntry(i, due))), [true, true, true, false]);
  });

  it("starts nothing while the budget is used up, and goes on in the next turn of the event loop", async () => {
    const clock = new VirtualClock();
    const slow = Object.assign(new VirtualClock(), { passed: 0 });
    slow.monotonic = () => slow.passed;
    const budget = new TurnBudget(slow);
    const queue = new AdmissionQueue(clock, { limit: 2, budget });
    budget.spent();
    slow.passed = 6;
    budget.spent();
    assertEquals([budget.over, queue.open], [true, false]);
    const entries = [0, 1, 2].map((i) => new TestEntry(i, clock.monotonic() + 1_000));
    for (const entry of entries) queue.enter(entry);
    assertEquals([queue.running, queue.waiting], [0, 3]);
    await slow.advance(0);
    assertEquals(entries.map(({ state }) => state), ["running", "running", "waiting"]);
  });

  it("a hundred thousand entries that end within start() do not nest (each started the next, deeper and deeper)", () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1, capacity: 200_000 });
    let ran = 0;
    class Quick extends TestEntry {
      override start(): void {
        ran++;
        queue.leave();
      }
    }
    queue.occupy();
    for (let i = 0; i < 100_000; i++) queue.enter(new Quick(i, Infinity));
    queue.leave();
    assertEquals([ran, queue.running, queue.waiting], [100_000, 0, 0]);
  });

  it("an entry that quits makes room in the queue, and those behind it start", () => {
    const queue = new AdmissionQueue(new VirtualClock(), { limit: 1, capacity: 3 });
    queue.occupy();
    const entries = [0, 1, 2].map((i) => new TestEntry(i, Infinity));
    for (const entry of entries) assert(queue.enter(entry));
    assertEquals(queue.enter(new TestEntry(3, Infinity)), false);
    entries[2].quit("LATE");
    entries[0].quit("LATE");
    entries[0].quit("LATE");
    const more = [4, 5].map((i) => new TestEntry(i, Infinity));
    for (const entry of more) assert(queue.enter(entry)); // the entries that left have made room
    assertEquals(queue.entries(), [entries[1], ...more]);
    entries[1].quit("LATE");
    queue.leave();
    assertEquals([more.map(({ state }) => state), queue.running], [["running", "waiting"], 1]);
    queue.leave();
    queue.leave();
    assertEquals([queue.running, queue.waiting], [0, 0]);
  });

  it("one that steps aside makes room, and does not count as ended", async () => {
    const clock = new VirtualClock();
    const queue = new AdmissionQueue(clock, { limit: 1 });
    for (let i = 0; i < 60; i++) queue.enter(new TestEntry(i, Infinity));
    await clock.advance(1_000);
    for (let i = 0; i < 50; i++) queue.stepAside();
    // no entry has ended for a second, so the 11 entries before the new one take 11 s at best
    assertEquals(queue.enter(new TestEntry(60, clock.monotonic() + 9_000)), false);
    assertEquals(queue.enter(new TestEntry(61, clock.monotonic() + 12_000)), true);
  });
});

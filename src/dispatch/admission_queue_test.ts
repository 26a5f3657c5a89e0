import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { AdmissionQueue, type Dropped, QueueEntry } from "./admission_queue.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { TurnBudget } from "./turn_budget.ts";

class Guest extends QueueEntry {
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

describe("Gate", () => {
  it("lets so many run, the others in the order in which they came", () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 2 });
    const log: number[] = [];
    const due = clock.monotonic() + 1_000;
    for (let i = 0; i < 5; i++) assert(gate.enter(new Guest(i, due, log)));
    assertEquals([log, gate.running, gate.waiting], [[0, 1], 2, 3]);
    gate.leave();
    gate.leave();
    assertEquals(log, [0, 1, 2, 3]);
    for (let i = 0; i < 3; i++) gate.leave();
    assertEquals([log, gate.running, gate.waiting], [[0, 1, 2, 3, 4], 0, 0]);
  });

  it("drops those that have gone, and those whose time is over", async () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1 });
    const now = clock.monotonic();
    const [first, gone, late, last] = [10_000, 10_000, 50, 10_000].map((time, i) => new Guest(i, now + time));
    for (const guest of [first, gone, late, last]) gate.enter(guest);
    gone.quit("DRAINING");
    assertEquals([gone.state, gate.waiting], ["DRAINING", 2]);
    await clock.advance(60);
    gate.leave();
    assertEquals([gone.state, late.state, last.state], ["DRAINING", "LATE", "running"]);
  });

  it("takes ten thousand at once while it knows no pace", () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1 });
    const due = clock.monotonic() + 1_000;
    for (let i = 0; i < 10_000; i++) assert(gate.enter(new Guest(i, due)));
  });

  it("turns away one that cannot start before its deadline, and takes one that can", async () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1 });
    for (let i = 0; i < 101; i++) gate.enter(new Guest(i, clock.monotonic() + 60_000));
    for (let i = 0; i < 50; i++) { // one each 20 ms: 50 a second
      await clock.advance(20);
      gate.leave();
    }
    // 50 wait before it: a second at this pace
    assertEquals(gate.enter(new Guest(200, clock.monotonic() + 500)), false);
    assertEquals(gate.enter(new Guest(201, clock.monotonic() + 2_000)), true);
  });

  it("turns those away as well that came before there was a pace, as soon as there is (they waited in vain)", async () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1 });
    const guests = Array.from({ length: 101 }, (_, i) => new Guest(i, clock.monotonic() + 1_000));
    for (const guest of guests) assert(gate.enter(guest));
    for (let i = 0; i < 10; i++) { // one each 20 ms: 40 more until their deadline
      await clock.advance(20);
      gate.leave();
    }
    assertEquals(guests.filter(({ state }) => state === "OVERLOADED"), []);
    assertEquals(gate.enter(new Guest(200, clock.monotonic() + 500)), false);
    assertEquals([gate.running, gate.waiting], [1, 40]);
    assertEquals(guests.slice(51).filter(({ state }) => state !== "OVERLOADED"), []);
  });

  it("turns nobody away because slow ones have not ended yet, but does when they never end", async () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 100 });
    for (let i = 0; i < 150; i++) gate.enter(new Guest(i, clock.monotonic() + 60_000));
    await clock.advance(5_000);
    assertEquals(gate.enter(new Guest(200, clock.monotonic() + 30_000)), true);
    await clock.advance(55_000);
    for (let i = 0; i < 1_000; i++) gate.enter(new Guest(300 + i, clock.monotonic() + 30_000));
    assertEquals(gate.enter(new Guest(2_000, clock.monotonic() + 30_000)), false);
  });

  it("has only so much room", () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1, queue: 2 });
    const due = clock.monotonic() + 1_000;
    assertEquals([0, 1, 2, 3].map((i) => gate.enter(new Guest(i, due))), [true, true, true, false]);
  });

  it("gives no turns while the slice is over, and goes on in the next turn of the event loop", async () => {
    const clock = new VirtualClock();
    const slow = Object.assign(new VirtualClock(), { passed: 0 });
    slow.monotonic = () => slow.passed;
    const slice = new TurnBudget(slow);
    const gate = new AdmissionQueue(clock, { limit: 2, slice });
    slice.spent();
    slow.passed = 6;
    slice.spent();
    assertEquals([slice.over, gate.open], [true, false]);
    const guests = [0, 1, 2].map((i) => new Guest(i, clock.monotonic() + 1_000));
    for (const guest of guests) gate.enter(guest);
    assertEquals([gate.running, gate.waiting], [0, 3]);
    await slow.advance(0);
    assertEquals(guests.map(({ state }) => state), ["running", "running", "waiting"]);
  });

  it("bears a hundred thousand that end within their turn (each began the next, deeper and deeper)", () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1, queue: 200_000 });
    let ran = 0;
    class Quick extends Guest {
      override start(): void {
        ran++;
        gate.leave();
      }
    }
    gate.pass();
    for (let i = 0; i < 100_000; i++) gate.enter(new Quick(i, Infinity));
    gate.leave();
    assertEquals([ran, gate.running, gate.waiting], [100_000, 0, 0]);
  });

  it("one that was given up leaves no trace: whoever waits behind it, or alone, has its turn", () => {
    const gate = new AdmissionQueue(new VirtualClock(), { limit: 1, queue: 3 });
    gate.pass();
    const guests = [0, 1, 2].map((i) => new Guest(i, Infinity));
    for (const guest of guests) assert(gate.enter(guest));
    assertEquals(gate.enter(new Guest(3, Infinity)), false);
    guests[2].quit("LATE");
    guests[0].quit("LATE");
    guests[0].quit("LATE");
    const more = [4, 5].map((i) => new Guest(i, Infinity));
    for (const guest of more) assert(gate.enter(guest)); // there is room again
    assertEquals(gate.queue(), [guests[1], ...more]);
    guests[1].quit("LATE");
    gate.leave();
    assertEquals([more.map(({ state }) => state), gate.running], [["running", "waiting"], 1]);
    gate.leave();
    gate.leave();
    assertEquals([gate.running, gate.waiting], [0, 0]);
  });

  it("one that steps aside makes room, and is not counted among those that have ended", async () => {
    const clock = new VirtualClock();
    const gate = new AdmissionQueue(clock, { limit: 1 });
    for (let i = 0; i < 60; i++) gate.enter(new Guest(i, Infinity));
    await clock.advance(1_000);
    for (let i = 0; i < 50; i++) gate.stepAside();
    // nobody has ended for a second, so 11 before it take 11 s at best
    assertEquals(gate.enter(new Guest(60, clock.monotonic() + 9_000)), false);
    assertEquals(gate.enter(new Guest(61, clock.monotonic() + 12_000)), true);
  });
});

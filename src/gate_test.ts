import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { Gate, type Ticket } from "./gate.ts";
import { VirtualClock } from "./memory/virtual_clock.ts";

class Guest implements Ticket {
  gone = false;
  state: "waiting" | "running" | "dropped" = "waiting";
  constructor(readonly name: number, readonly due: number, readonly log: number[] = []) {}
  start(): void {
    this.state = "running";
    this.log.push(this.name);
  }
  drop(): void {
    this.state = "dropped";
  }
}

describe("Gate", () => {
  it("lets so many run, the others in the order in which they came", () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 2 });
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
    const gate = new Gate(clock, { limit: 1 });
    const now = clock.monotonic();
    const [first, gone, late, last] = [10_000, 10_000, 50, 10_000].map((time, i) => new Guest(i, now + time));
    for (const guest of [first, gone, late, last]) gate.enter(guest);
    gone.gone = true;
    await clock.advance(60);
    gate.leave();
    assertEquals([gone.state, late.state, last.state], ["dropped", "dropped", "running"]);
  });

  it("takes ten thousand at once while it knows no pace", () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 1 });
    const due = clock.monotonic() + 1_000;
    for (let i = 0; i < 10_000; i++) assert(gate.enter(new Guest(i, due)));
  });

  it("turns away one that cannot start before its deadline, and takes one that can", async () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 1 });
    for (let i = 0; i < 101; i++) gate.enter(new Guest(i, clock.monotonic() + 60_000));
    for (let i = 0; i < 50; i++) { // one each 20 ms: 50 a second
      await clock.advance(20);
      gate.leave();
    }
    // 50 wait before it: a second at this pace
    assertEquals(gate.enter(new Guest(200, clock.monotonic() + 500)), false);
    assertEquals(gate.enter(new Guest(201, clock.monotonic() + 2_000)), true);
  });

  it("turns nobody away because slow ones have not ended yet, but does when they never end", async () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 100 });
    for (let i = 0; i < 150; i++) gate.enter(new Guest(i, clock.monotonic() + 60_000));
    await clock.advance(5_000);
    assertEquals(gate.enter(new Guest(200, clock.monotonic() + 30_000)), true);
    await clock.advance(55_000);
    for (let i = 0; i < 1_000; i++) gate.enter(new Guest(300 + i, clock.monotonic() + 30_000));
    assertEquals(gate.enter(new Guest(2_000, clock.monotonic() + 30_000)), false);
  });

  it("has only so much room", () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 1, queue: 2 });
    const due = clock.monotonic() + 1_000;
    assertEquals([0, 1, 2, 3].map((i) => gate.enter(new Guest(i, due))), [true, true, true, false]);
  });

  it("gives no turns while it is paused", () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 2 });
    gate.pause();
    const guests = [0, 1, 2].map((i) => new Guest(i, clock.monotonic() + 1_000));
    for (const guest of guests) gate.enter(guest);
    assertEquals([gate.running, gate.waiting], [0, 3]);
    gate.resume();
    assertEquals(guests.map(({ state }) => state), ["running", "running", "waiting"]);
  });

  it("bears a hundred thousand that end within their turn (each began the next, deeper and deeper)", () => {
    const clock = new VirtualClock();
    const gate = new Gate(clock, { limit: 1, queue: 200_000 });
    let ran = 0;
    gate.pause();
    for (let i = 0; i < 100_000; i++) {
      gate.enter({
        due: Infinity,
        gone: false,
        start() {
          ran++;
          gate.leave();
        },
        drop() {},
      });
    }
    gate.resume();
    assertEquals([ran, gate.running, gate.waiting], [100_000, 0, 0]);
  });
});

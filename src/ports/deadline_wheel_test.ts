import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { Deadlined, DeadlineWheel } from "./deadline_wheel.ts";
import { CatgaError } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";

const TURN = 40_960; // ms of a revolution: 4,096 buckets of 10 ms

class Entry extends Deadlined {
  expired: number[] = [];
  aborted: string[] = [];
  #onEnd: () => void;

  constructor(due: number, readonly clock: VirtualClock, onEnd = () => {}) {
    super(due);
    this.#onEnd = onEnd;
  }

  override expire(): void {
    this.expired.push(this.clock.monotonic());
    this.#onEnd();
  }

  override abort(reason: CatgaError): void {
    this.aborted.push(reason.code);
    this.#onEnd();
  }
}

function wheelOf(...dues: number[]): { clock: VirtualClock; wheel: DeadlineWheel; entries: Entry[] } {
  const clock = new VirtualClock();
  const wheel = new DeadlineWheel(clock);
  const entries = dues.map((due) => new Entry(due, clock));
  for (const entry of entries) wheel.add(entry);
  return { clock, wheel, entries };
}

describe("DeadlineWheel", () => {
  it("each entry expires once, never early, at most a tick of 10 ms late", async () => {
    const dues = [0, 1, 9.5, 10, 10.1, 25, 999, 1_000, TURN - 1, TURN, TURN + 5, 3 * TURN + 77];
    const { clock, wheel, entries } = wheelOf(...dues);
    assertEquals(wheel.size, dues.length);
    await clock.advance(4 * TURN);
    for (const { due, expired } of entries) {
      const [at, ...more] = expired;
      assertEquals([due, at >= due && at <= due + 10, more], [due, true, []]);
    }
    assertEquals(wheel.size, 0);
  });

  it("an entry whose deadline has passed expires in the next tick", async () => {
    const { clock, wheel } = wheelOf();
    await clock.advance(1_005);
    const late = new Entry(3, clock);
    wheel.add(late);
    await clock.advance(10);
    assertEquals(late.expired, [1_010]);
  });

  it("an entry that is settled at the moment of its deadline does not expire, whoever asked for that moment first", async () => {
    const { clock, wheel, entries: [entry] } = wheelOf(1_000);
    await clock.advance(950);
    clock.after(50, () => wheel.delete(entry));
    await clock.advance(100);
    assertEquals([clock.monotonic(), entry.expired], [1_050, []]);
  });

  it("deleted entries do not expire, wherever they are among others of the same moment", async () => {
    for (const gone of [0, 1, 2]) {
      const { clock, wheel, entries } = wheelOf(50, 50, 50);
      wheel.delete(entries[gone]);
      wheel.delete(entries[gone]);
      assertEquals(wheel.size, 2);
      await clock.advance(100);
      assertEquals(entries.map(({ expired }) => expired.length), [0, 1, 2].map((n) => n === gone ? 0 : 1));
    }
  });

  it("addFor: reads the clock for each of a few entries; a timeout begins 5 ms late at most while many are added", async () => {
    const { clock, wheel } = wheelOf();
    let reads = 0;
    const now = clock.now.bind(clock);
    clock.now = () => (reads++, now());
    const added: Entry[] = [];
    const add = (timeout: number) => {
      const entry = new Entry(0, clock);
      wheel.addFor(entry, timeout);
      added.push(entry);
    };
    const addMany = (many: number): number => {
      reads = 0;
      for (let n = 0; n < many; n++) add(1_000);
      return reads;
    };
    await clock.advance(3);
    assertEquals(addMany(3), 3);
    await clock.advance(1);
    assertEquals(added.map((entry) => wheel.dueOf(entry, 4)), [1_003, 1_003, 1_003]);
    assertEquals(addMany(1_000) < 100, true);
    await clock.advance(3);
    assertEquals(addMany(1), 0);
    assertEquals(wheel.dueOf(added.at(-1)!, 7), 1_007);
    await clock.advance(2);
    assertEquals(wheel.dueOf(added.at(-1)!, 9), 1_009);
    add(1_000);
    assertEquals(wheel.dueOf(added.at(-1)!, 0), 1_009);
    await clock.advance(2_000);
    for (const { expired: [at, ...more] } of added) assertEquals([at >= 1_003 && at <= 1_020, more], [true, []]);
    assertEquals(wheel.size, 0);
  });

  it("addFor: entries whose timeouts have not begun are deleted and aborted like others", async () => {
    const { clock, wheel } = wheelOf();
    const added = Array.from({ length: 100 }, () => new Entry(0, clock));
    for (const entry of added) wheel.addFor(entry, 50);
    wheel.delete(added[99]);
    wheel.delete(added[70]);
    assertEquals(wheel.size, 98);
    wheel.abort(new CatgaError("CLOSED", "the end"));
    wheel.stopIfIdle();
    assertEquals([wheel.size, added.filter(({ aborted }) => aborted.length === 1).length], [0, 98]);
    await clock.advance(1_000);
    assertEquals(added.flatMap(({ expired }) => expired), []);
  });

  it("rest: leaves no timer", async () => {
    const { clock, wheel } = wheelOf();
    const timers = new Set<unknown>();
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) => {
      const timer = after(ms, () => (timers.delete(timer), callback()));
      timers.add(timer);
      return { cancel: () => (timers.delete(timer), timer.cancel()) };
    };
    const added = Array.from({ length: 100 }, () => new Entry(0, clock));
    for (const entry of added) wheel.addFor(entry, 50);
    for (const entry of added) wheel.delete(entry);
    assertEquals(timers.size, 2);
    wheel.stopIfIdle();
    assertEquals(timers.size, 0);
    wheel.addFor(added[0], 50);
    await clock.advance(100);
    assertEquals(added[0].expired, [50]);
  });

  it("an entry can be added again, with another deadline", async () => {
    const { clock, wheel, entries: [entry] } = wheelOf(50);
    wheel.delete(entry);
    entry.due = 200;
    wheel.add(entry);
    await clock.advance(100);
    assertEquals(entry.expired, []);
    await clock.advance(100);
    assertEquals(entry.expired, [200]);
  });

  it("an entry with a deadline in a later revolution does not expire in an earlier one", async () => {
    const { clock, entries } = wheelOf(50, 50 + TURN, 50 + 2 * TURN);
    await clock.advance(60);
    assertEquals(entries.map(({ expired }) => expired.length), [1, 0, 0]);
    await clock.advance(TURN);
    assertEquals(entries.map(({ expired }) => expired.length), [1, 1, 0]);
  });

  it("an entry that is added while others expire expires, too", async () => {
    const { clock, wheel } = wheelOf();
    const second = new Entry(0, clock);
    wheel.add(new Entry(20, clock, () => wheel.add(second)));
    await clock.advance(100);
    assertEquals([second.expired.length, wheel.size], [1, 0]);
  });

  it("entries of one tick may delete each other: all that were due expire", async () => {
    const { clock, wheel } = wheelOf();
    const other: Entry = new Entry(20, clock);
    const first = new Entry(20, clock, () => wheel.delete(other));
    wheel.add(other);
    wheel.add(first);
    await clock.advance(50);
    assertEquals([first.expired.length, other.expired.length, wheel.size], [1, 1, 0]);
  });

  it("does not tick while it is empty, and starts again", async () => {
    const { clock, wheel, entries: [first] } = wheelOf(10);
    let timers = 0;
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) => (timers++, after(ms, callback));
    await clock.advance(10 * TURN);
    assertEquals([first.expired, timers], [[10], 1]);
    const next = new Entry(clock.monotonic() + 30, clock);
    wheel.add(next);
    await clock.advance(100);
    assertEquals([next.expired.length, timers], [1, 3]);
  });

  it("sleeps until the next entry is due, 250 ms at most, and wakes for one that is due before", async () => {
    const clock = new VirtualClock();
    const wheel = new DeadlineWheel(clock);
    let fired = 0;
    const after = clock.after.bind(clock);
    clock.after = (ms, callback) => after(ms, () => (fired++, callback()));
    const [far, near] = [new Entry(1_000, clock), new Entry(100, clock)];
    wheel.add(far);
    await clock.advance(40);
    wheel.add(near);
    await clock.advance(60);
    assertEquals([near.expired, fired], [[100], 2]);
    await clock.advance(TURN);
    assertEquals([far.expired, fired], [[1_000], 7]);
  });

  it("after a pause longer than a revolution, all that is due expires in the first tick", () => {
    // the timers of this clock fire late, as after a pause of the process
    let now = 0;
    const due: (() => void)[] = [];
    const paused = Object.assign(new VirtualClock(), {
      monotonic: () => now,
      after: (_: number, callback: () => void) => (due.push(callback), { cancel: () => {} }),
    });
    const wheel = new DeadlineWheel(paused);
    const entries = [10, 500, TURN - 10, TURN + 500, 9 * TURN].map((at) => new Entry(at, paused));
    for (const entry of entries) wheel.add(entry);
    now = 5 * TURN + 3;
    due.shift()!();
    due.shift()!(); // the wheel acts after everything else of this moment
    assertEquals(entries.map(({ expired }) => expired.length), [1, 1, 1, 1, 0]);
    now = 9 * TURN + 10;
    due.shift()!();
    due.shift()!();
    assertEquals([entries[4].expired.length, wheel.size, due.length], [1, 0, 0]);
  });

  it("abort: aborts all entries, and accepts new ones", async () => {
    const { clock, wheel, entries } = wheelOf(10, 500, TURN + 500);
    wheel.abort(new CatgaError("CLOSED", "the end"));
    assertEquals([entries.map(({ aborted }) => aborted), wheel.size], [[["CLOSED"], ["CLOSED"], ["CLOSED"]], 0]);
    const next = new Entry(600, clock);
    wheel.add(next);
    await clock.advance(2 * TURN);
    assertEquals([entries.map(({ expired }) => expired.length), next.expired.length], [[0, 0, 0], 1]);
  });
});

import { assert, assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { delay } from "../ports/clock.ts";
import { RealPace, VirtualPace } from "./pace.ts";

/**
 * Makes a pace on virtual time in which only the node `a` is awake. `after`: a promise that resolves after so many
 * virtual ms.
 */
function setUp(auto: boolean) {
  const pace = new VirtualPace({ auto, awake: (node) => node === "a", busy: () => false, asleep: () => false });
  const { clock } = pace;
  const after = (ms: number) => delay(clock, ms).then(() => clock.monotonic());
  return { pace, clock, after };
}

/** Waits for 50 turns of the event loop. */
async function turns(): Promise<void> {
  for (let n = 0; n < 50; n++) await turn();
}

describe("VirtualPace", () => {
  it("drive: time passes until the promise has settled, no further, and not while nothing is awaited", async () => {
    const { pace, clock, after } = setUp(true);
    void after(90_000);
    const late = after(60_000);
    await turns();
    assertEquals(clock.monotonic(), 0);
    assertEquals(await pace.drive("a", late), 60_000);
    await turns();
    assertEquals([clock.monotonic(), clock.timers], [60_000, 1]);
  });

  it("drive: rejects as the promise does, and time stands still then", async () => {
    const { pace, clock, after } = setUp(true);
    void after(5_000);
    await assertRejects(
      () => pace.drive("a", after(1_000).then(() => Promise.reject(new TypeError("x")))),
      TypeError,
      "x",
    );
    await turns();
    assertEquals(clock.monotonic(), 1_000);
  });

  it("drive: several promises share the time, each settles at its own", async () => {
    const { pace, after } = setUp(true);
    const all = [3_000, 1_000, 2_000].map((ms) => pace.drive("a", after(ms)));
    assertEquals(await Promise.all(all), [3_000, 1_000, 2_000]);
  });

  it("drive: no time passes for a node that is not awake, until another promise lets it pass", async () => {
    const { pace, clock, after } = setUp(true);
    let settled = false;
    const frozen = pace.drive("frozen", after(1_000)).then(() => settled = true);
    await turns();
    assertEquals(clock.monotonic(), 0);
    assertEquals(await pace.drive("a", after(400)), 400);
    assertEquals([clock.monotonic(), settled], [400, false]);
    assertEquals(await pace.until(after(600)), 1_000);
    await frozen;
  });

  it("by hand: drive lets no time pass, advance and until do", async () => {
    const { pace, clock, after } = setUp(false);
    const driven = pace.drive("a", after(1_000));
    await turns();
    assertEquals(clock.monotonic(), 0);
    await pace.advance(999);
    assertEquals(clock.timers, 1);
    assertEquals(await pace.until(after(1)), 1_000);
    assertEquals(await driven, 1_000);
  });

  it("advance: calls at once pass one after the other, also while a promise is driven", async () => {
    const { pace, clock, after } = setUp(true);
    const driven = pace.drive("a", after(100));
    await Promise.all([pace.advance(300), pace.advance(500), driven]);
    assert(clock.monotonic() >= 800, `${clock.monotonic()}`);
  });

  it("reach: resolves at the first timer after which the condition is true", async () => {
    const { pace, clock, after } = setUp(false);
    let fired = 0;
    for (const ms of [100, 250, 900]) void after(ms).then(() => fired++);
    assertEquals([await pace.reach(() => fired === 0, 50), clock.monotonic()], [true, 0]);
    assertEquals([await pace.reach(() => fired === 2, 1_000), clock.monotonic()], [true, 250]);
  });

  it("reach: resolves to false at its limit, also without timers, and checks once more there", async () => {
    const { pace, clock, after } = setUp(false);
    assertEquals([await pace.reach(() => false, 500), clock.monotonic()], [false, 500]);
    void after(2_000);
    assertEquals([await pace.reach(() => false, 300), clock.monotonic()], [false, 800]);
    let fired = false;
    void after(200).then(() => fired = true);
    assertEquals([await pace.reach(() => fired, 200), clock.monotonic()], [true, 1_000]);
  });

  it("drive and until reject when the code under test throws in a timer, instead of waiting for ever", async () => {
    const { pace, clock } = setUp(true);
    clock.after(10, () => {
      throw new RangeError("in a timer");
    });
    await assertRejects(() => pace.drive("a", new Promise(() => {})), RangeError, "in a timer");
    await assertRejects(() => pace.until(new Promise(() => {})), RangeError, "in a timer");
  });
});

describe("RealPace", () => {
  it("has the clock of the machine, and settles as the promise does", async () => {
    const pace = new RealPace();
    const before = Date.now();
    const now = pace.clock.now();
    assertEquals([before <= now, now <= Date.now()], [true, true]);
    let moved = 0;
    await pace.leap(86_400_000, () => moved++);
    assertEquals([moved, pace.clock.now() - before >= 86_400_000], [1, true]);
    assertEquals([await pace.drive("a", Promise.resolve(1)), await pace.until(Promise.resolve(2))], [1, 2]);
  });

  it("reach: asks before it waits, and resolves to false at its limit", async () => {
    const pace = new RealPace();
    assertEquals([await pace.reach(() => true, 0), await pace.reach(() => false, 0)], [true, false]);
    let asked = 0;
    assertEquals([await pace.reach(() => ++asked === 3, 60_000), asked], [true, 3]);
  });
});

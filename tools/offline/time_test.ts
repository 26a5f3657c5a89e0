/** Runs on the stand-in in the tree and on the real `@std/testing/time` as published. */
import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { FakeTime, TimeError } from "@std/testing/time";
import { it } from "node:test";

it("FakeTime: runs each timer at its own time, in the order of their times", () => {
  using time = new FakeTime(1_000);
  const log: unknown[] = [];
  setTimeout(() => {
    log.push("a", Date.now());
    setTimeout(() => log.push("nested", Date.now()), 5);
  }, 50);
  const interval = setInterval(() => log.push("i", Date.now()), 20);
  setTimeout((x: number) => log.push("b", x, new Date().getTime()), 50, 7);
  AbortSignal.timeout(30).addEventListener("abort", () => log.push("abort", Date.now()));
  time.tick(60);
  clearInterval(interval);
  assertEquals(log, ["i", 1_020, "abort", 1_030, "i", 1_040, "a", 1_050, "b", 7, 1_050, "nested", 1_055, "i", 1_060]);
  assertEquals([time.now, time.start, Date.now()], [1_060, 1_000, 1_060]);
});

it("FakeTime: next goes to the next timer, as long as there is one", () => {
  using time = new FakeTime(0);
  setTimeout(() => {}, 10);
  setTimeout(() => {}, 30);
  assertEquals([time.next(), time.now, time.next(), time.now, time.next(), time.now], [true, 10, true, 30, false, 30]);
});

it("FakeTime: tickAsync lets promises settle first", async () => {
  using time = new FakeTime();
  let fired = false;
  Promise.resolve().then(() => setTimeout(() => fired = true, 10));
  await time.tickAsync(10);
  assert(fired);
});

it("FakeTime: cleared timers do not run, and time does not go back", () => {
  using time = new FakeTime(100);
  let fired = false;
  clearTimeout(setTimeout(() => fired = true, 10));
  time.tick(20);
  assertFalse(fired);
  assertThrows(() => time.now = 50, RangeError);
});

it("FakeTime: exists once, and gives back what it replaced", () => {
  const before = [Date, setTimeout, clearTimeout, setInterval, clearInterval, AbortSignal.timeout];
  {
    using _time = new FakeTime();
    assertThrows(() => new FakeTime(), TimeError);
  }
  assertEquals([Date, setTimeout, clearTimeout, setInterval, clearInterval, AbortSignal.timeout], before);
  assertThrows(() => FakeTime.restore(), TimeError);
});

/** Runs on the stand-in in the tree and on the real `@std/testing/time` as published. */
import { assertEquals, assertFalse } from "@std/assert";
import { FakeTime } from "@std/testing/time";
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
  time.tick(60);
  clearInterval(interval);
  assertEquals(log, ["i", 1_020, "i", 1_040, "a", 1_050, "b", 7, 1_050, "nested", 1_055, "i", 1_060]);
  assertEquals(Date.now(), 1_060);
});

it("FakeTime: cleared timers do not run", () => {
  using time = new FakeTime(100);
  let fired = false;
  clearTimeout(setTimeout(() => fired = true, 10));
  time.tick(20);
  assertFalse(fired);
});

it("FakeTime: gives back what it replaced", () => {
  const before = [Date, setTimeout, clearTimeout, setInterval, clearInterval];
  {
    using _time = new FakeTime();
  }
  assertEquals([Date, setTimeout, clearTimeout, setInterval, clearInterval], before);
});

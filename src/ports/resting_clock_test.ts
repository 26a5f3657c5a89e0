import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { RestingClock } from "./resting_clock.ts";

function clockOf(): {
  below: VirtualClock;
  clock: RestingClock;
  fired: string[];
  set(name: string, ms: number): () => void;
} {
  const below = new VirtualClock();
  const clock = new RestingClock(below);
  const fired: string[] = [];
  const set = (name: string, ms: number) => {
    const timer = clock.after(ms, () => fired.push(`${name} at ${below.monotonic()}`), { background: true });
    return () => timer.cancel();
  };
  return { below, clock, fired, set };
}

describe("RestingClock", () => {
  it("timers fire in their time, and not when they are cancelled", async () => {
    const { below, fired, set } = clockOf();
    const began = below.monotonic();
    set("a", 10);
    set("b", 20)();
    await below.advance(100);
    assertEquals(fired, [`a at ${began + 10}`]);
  });

  it("at rest no timer fires; awake, what is overdue fires at once and the others in their time", async () => {
    const { below, clock, fired, set } = clockOf();
    const began = below.monotonic();
    set("a", 10);
    set("b", 100);
    const cancel = set("c", 100);
    clock.rest();
    await below.advance(50);
    assertEquals(fired, []);
    cancel();
    clock.wake();
    clock.wake(); // must not set a timer twice
    await below.advance(200);
    assertEquals(fired, [`a at ${began + 50}`, `b at ${began + 100}`]);
  });

  it("a timer that is set at rest rests, too", async () => {
    const { below, clock, fired, set } = clockOf();
    const began = below.monotonic();
    clock.rest();
    set("a", 10);
    await below.advance(20);
    assertEquals(fired, []);
    clock.wake();
    await below.advance(1);
    assertEquals(fired, [`a at ${began + 20}`]);
  });
});

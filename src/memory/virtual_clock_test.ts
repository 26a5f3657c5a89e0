import { describe, it } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { delay } from "../ports/clock.ts";
import { MemoryNetwork } from "./network.ts";
import { VirtualClock } from "./virtual_clock.ts";

describe("VirtualClock", () => {
  it("now and monotonic: stand still until time is advanced, then move together", async () => {
    const clock = new VirtualClock(1_000_000);
    assertEquals([clock.now(), clock.monotonic()], [1_000_000, 0]);
    await clock.advance(1_500);
    assertEquals([clock.now(), clock.monotonic()], [1_001_500, 1_500]);
  });

  it("advance: runs timers in the order of their times, those of the same time in the order in which they were set", async () => {
    const clock = new VirtualClock(0);
    const ran: [string, number][] = [];
    for (const [name, ms] of [["c", 30], ["a", 10], ["b1", 20], ["b2", 20], ["z", 31]] as const) {
      clock.after(ms, () => ran.push([name, clock.now()]));
    }
    await clock.advance(30);
    assertEquals(ran, [["a", 10], ["b1", 20], ["b2", 20], ["c", 30]]);
    await clock.advance(1);
    assertEquals(ran.at(-1), ["z", 31]);
  });

  it("next: in how many ms the first timer is due, if there is one", async () => {
    const clock = new VirtualClock();
    assertEquals(clock.next, undefined);
    clock.after(30, () => {});
    const first = clock.after(20, () => {});
    await clock.advance(5);
    assertEquals(clock.next, 15);
    first.cancel();
    assertEquals(clock.next, 25);
  });

  it("advance: runs timers that are set meanwhile, at their time", async () => {
    const clock = new VirtualClock(0);
    const ticks: number[] = [];
    const tick = () => {
      ticks.push(clock.now());
      clock.after(100, tick);
    };
    clock.after(100, tick);
    await clock.advance(350);
    assertEquals(ticks, [100, 200, 300]);
    assertEquals(clock.now(), 350);
  });

  it("advance: lets promises, ticks, immediates and soon run to their end before the next timer", async () => {
    const clock = new VirtualClock(0);
    const ran: string[] = [];
    clock.after(10, async () => {
      for (let i = 0; i < 50; i++) await Promise.resolve();
      await new Promise((resolve) => process.nextTick(resolve));
      await new Promise<void>((resolve) => clock.soon(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      for (let i = 0; i < 20; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        await new Promise<void>((resolve) => clock.soon(resolve));
      }
      ran.push(`first at ${clock.now()}`);
      clock.after(1, () => ran.push(`its own at ${clock.now()}`));
    });
    clock.after(11, () => ran.push(`second at ${clock.now()}`));
    await clock.advance(20);
    assertEquals(ran, ["first at 10", "second at 11", "its own at 11"]);
  });

  it("advance: of 0 ms runs what is due now, and never within the call that set it", async () => {
    const clock = new VirtualClock();
    let ran = 0;
    clock.after(0, () => ran++);
    assertEquals(ran, 0);
    await clock.advance(0);
    assertEquals(ran, 1);
  });

  it("cancel: removes a timer, also from within one of the same time; twice is like once", async () => {
    const clock = new VirtualClock();
    const ran: string[] = [];
    clock.after(10, () => {
      ran.push("first");
      second.cancel();
      second.cancel();
    });
    const second = clock.after(10, () => ran.push("second"));
    const third = clock.after(10, () => ran.push("third"));
    await clock.advance(10);
    third.cancel();
    assertEquals(ran, ["first", "third"]);
  });

  it("soon: runs in a later turn, in order, without time passing", async () => {
    const clock = new VirtualClock();
    const ran: number[] = [];
    const all = new Promise<void>((resolve) => {
      for (let i = 0; i < 100; i++) clock.soon(() => ran.push(i));
      clock.soon(resolve);
    });
    await Promise.resolve();
    assertEquals(ran, []);
    await all;
    assertEquals(ran, Array.from({ length: 100 }, (_, i) => i));
    assertEquals(clock.monotonic(), 0);
  });

  it("advance: a second call before the first has resolved is an error, as is a negative time", async () => {
    const clock = new VirtualClock();
    const first = clock.advance(10);
    await assertRejects(() => clock.advance(10), Error, "await it");
    await first;
    await assertRejects(() => clock.advance(-1), RangeError);
    await assertRejects(() => clock.advance(NaN), RangeError);
    assertThrows(() => clock.after(-1, () => {}), RangeError);
    await clock.advance(5);
    assertEquals(clock.monotonic(), 15);
  });

  it("advance: code that never comes to rest is an error, not a hanging test", async () => {
    const clock = new VirtualClock();
    let stopped = false;
    const again = () => stopped || clock.soon(again);
    again();
    await assertRejects(() => clock.advance(1), Error, "come to rest");
    stopped = true;
    await clock.advance(1);
  });

  it("until: lets time pass until the promise has settled, and not longer", async () => {
    const clock = new VirtualClock();
    assertEquals(await clock.until(delay(clock, 250).then(() => "done")), "done");
    assertEquals(clock.monotonic(), 250);
    const failed = delay(clock, 50).then(() => Promise.reject(new RangeError("failed")));
    await assertRejects(() => clock.until(failed), RangeError, "failed");
    assertEquals(await clock.until(Promise.resolve(1)), 1);
    assertEquals(clock.monotonic(), 300);
  });

  it("until: a promise that does not settle is an error, at the limit or when no timer is left", async () => {
    const clock = new VirtualClock();
    await assertRejects(() => clock.until(delay(clock, 1_001), 1_000), Error, "within 1000 ms");
    await assertRejects(() => clock.until(new Promise(() => {})), Error, "within 60000 ms");
  });

  it("advance, leap and until: go no further than a Date can, where time no longer moves", async () => {
    const last = 8_640_000_000_000_000;
    for (const ms of [1e308, last, NaN, -1]) {
      const clock = new VirtualClock(0);
      clock.leap(1_000);
      const range = `ms must be from 0 to ${last - 1_000} ms; got ${ms}`;
      assertEquals((await assertRejects(() => clock.advance(ms), RangeError)).message, `advance: ${range}`);
      assertEquals(assertThrows(() => clock.leap(ms), RangeError).message, `leap: ${range}`);
      assertEquals(clock.now(), 1_000);
    }
    const clock = new VirtualClock(0);
    let fired = false;
    clock.after(Infinity, () => fired = true);
    await assertRejects(() => clock.until(new Promise(() => {}), Infinity), Error, "has not settled");
    assertEquals([fired, clock.now()], [false, 0]);
    clock.leap(last);
    assertEquals(clock.now(), last);
  });

  it("timers: counts those that are set and have not run", async () => {
    const clock = new VirtualClock();
    const first = clock.after(10, () => {});
    clock.after(20, () => {});
    assertEquals(clock.timers, 2);
    first.cancel();
    assertEquals(clock.timers, 1);
    await clock.advance(20);
    assertEquals(clock.timers, 0);
  });

  it("MemoryNetwork: a conversation with pauses takes the same course and time on every run", async () => {
    assertEquals(await conversation(), await conversation());
    assert((await conversation()).includes("9000: pong 9"));
  });
});

/**
 * Sends ten pings, one a second; two nodes answer each, after 0 and 250 ms. Resolves with the answers and the times
 * at which they came.
 */
async function conversation(): Promise<string[]> {
  const clock = new VirtualClock(0);
  const network = new MemoryNetwork({ clock, random: () => 0.5 });
  const said: string[] = [];
  const say = (what: string) => said.push(`${clock.now()}: ${what}`);
  const asker = network.connect();
  asker.subscribe("pong", {}, (message) => say(new TextDecoder().decode(message.data)));
  for (const thought of [0, 250]) {
    const node = network.connect();
    node.subscribe("ping", {}, async (message) => {
      if (thought > 0) await delay(clock, thought);
      node.publish("pong", `pong ${new TextDecoder().decode(message.data)}`);
    });
  }
  for (let i = 0; i < 10; i++) {
    asker.publish("ping", String(i));
    await clock.advance(1_000);
  }
  return said;
}

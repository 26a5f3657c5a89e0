import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { SharedTimer } from "./shared_timer.ts";

/** A shared timer on virtual time; `set` and `open`: numbers of the clock's timers that were set, and are open. */
function sharedTimer(background = false) {
  const clock = new VirtualClock();
  const timers = { set: 0, open: 0 };
  const counting = {
    monotonic: () => clock.monotonic(),
    after: (ms: number, callback: () => void, options?: { background?: boolean | undefined }) => {
      assertEquals(options?.background, background);
      timers.set++;
      timers.open++;
      const timer = clock.after(ms, () => {
        timers.open--;
        callback();
      }, options);
      let isCancelled = false;
      return {
        cancel: () => {
          if (!isCancelled) timers.open--;
          isCancelled = true;
          timer.cancel();
        },
      };
    },
  };
  return { clock, timers, shared: new SharedTimer(counting, { background }) };
}

describe("SharedTimer", () => {
  it("each callback is called once, at its time, whatever the order in which they were set", async () => {
    const { clock, shared } = sharedTimer();
    const calls: [ms: number, at: number][] = [];
    for (const ms of [500, 20, 3_600_000, 20, 1]) shared.after(ms, () => calls.push([ms, clock.monotonic()]));
    await clock.advance(4_000_000);
    assertEquals(calls, [[1, 1], [20, 20], [20, 20], [500, 500], [3_600_000, 3_600_000]]);
  });

  it("a cancelled one is not called, even if another of the same time cancels it", async () => {
    const { clock, shared } = sharedTimer();
    const calls: string[] = [];
    shared.after(10, () => {
      calls.push("first");
      second.cancel();
    });
    const second = shared.after(10, () => calls.push("second"));
    shared.after(10, () => calls.push("third")).cancel();
    await clock.advance(100);
    assertEquals(calls, ["first"]);
  });

  it("a thousand calls, one after the other beside one that waits, take one timer of the clock", async () => {
    const { clock, timers, shared } = sharedTimer();
    const waits = shared.after(10_000, () => {});
    for (let n = 0; n < 1_000; n++) {
      const timeout = shared.after(10_000, () => {});
      await clock.advance(1);
      timeout.cancel();
    }
    assertEquals(timers, { set: 1, open: 1 });
    waits.cancel();
  });

  it("none of the clock's timers is open when all are cancelled, and one can be set again", async () => {
    const { clock, timers, shared } = sharedTimer();
    const both = [shared.after(10, () => {}), shared.after(20, () => {})];
    for (const timeout of both) timeout.cancel();
    assertEquals(timers.open, 0);
    let called = 0;
    shared.after(30, () => called++);
    await clock.advance(30);
    assertEquals([called, timers.open], [1, 0]);
  });

  it("in the background, the timer stays when all are cancelled: the next call need not set one", () => {
    const { timers, shared } = sharedTimer(true);
    for (let n = 0; n < 3; n++) shared.after(10, () => {}).cancel();
    assertEquals(timers, { set: 1, open: 1 });
  });
});

import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { CallerDeadline } from "./caller_deadline.ts";

function setUp(timeout = 1_000) {
  const clock = new VirtualClock();
  const wheel = new DeadlineWheel(clock);
  const deadline = new CallerDeadline(wheel, clock.monotonic() + timeout);
  return { clock, wheel, deadline };
}

const never = () => new Promise<never>(() => {});

describe("CallerDeadline", () => {
  it("settles as the work does while the caller waits", async () => {
    const { deadline, wheel } = setUp();
    assertEquals(await deadline.wait(Promise.resolve(7)), 7);
    await assertRejects(() => deadline.wait(Promise.reject(new RangeError("no"))), RangeError, "no");
    deadline[Symbol.dispose]();
    assertEquals(wheel.size, 0);
  });

  it("rejects its wait with TIMEOUT when its time is over, and later ones at once", async () => {
    const { clock, deadline, wheel } = setUp(1_000);
    const waiting = assertRejects(() => deadline.wait(never()), CatgaError);
    await clock.advance(900);
    assertEquals(deadline.over, undefined);
    await clock.advance(200);
    assertEquals((await waiting).code, "TIMEOUT");
    assertEquals(await assertRejects(() => deadline.wait(never())), deadline.over);
    assertEquals(wheel.size, 0);
  });

  it("rejects its wait, and later ones, with the reason for which it is aborted first", async () => {
    const { deadline, wheel } = setUp();
    const waiting = assertRejects(() => deadline.wait(never()), CatgaError);
    const closed = new CatgaError("CLOSED", "the app stops");
    deadline.abort(closed);
    deadline.abort(new CatgaError("TIMEOUT", "later"));
    assertEquals([await waiting, await assertRejects(() => deadline.wait(never()))], [closed, closed]);
    assertEquals(wheel.size, 0);
  });
});

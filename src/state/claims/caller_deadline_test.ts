import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { DeadlineWheel } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { CallerDeadline } from "./claim_wait.ts";

function setUp(timeout = 1_000) {
  const clock = new VirtualClock();
  const wheel = new DeadlineWheel(clock);
  const sender = new AbortController();
  const deadline = new CallerDeadline(wheel, { due: clock.monotonic() + timeout, signal: sender.signal });
  return { clock, wheel, sender, deadline };
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

  it("rejects every wait with TIMEOUT when its time is over, and later ones at once", async () => {
    const { clock, deadline, wheel } = setUp(1_000);
    const waits = [deadline.wait(never()), deadline.wait(never())].map((wait) => assertRejects(() => wait, CatgaError));
    await clock.advance(900);
    assertEquals(deadline.over, undefined);
    await clock.advance(200);
    for (const error of await Promise.all(waits)) assertEquals(error.code, "TIMEOUT");
    assertEquals(await assertRejects(() => deadline.wait(never())), deadline.over);
    assertEquals(wheel.size, 0);
  });

  it("rejects with the signal's CatgaError, and with CANCELLED for any other reason", async () => {
    const closed = new CatgaError("CLOSED", "the app stops");
    for (const [reason, code] of [[closed, "CLOSED"], ["enough", "CANCELLED"]] as const) {
      const { sender, deadline } = setUp();
      const waiting = assertRejects(() => deadline.wait(never()), CatgaError);
      sender.abort(reason);
      assertEquals((await waiting).code, code);
    }
  });

  it("is over from the beginning if the signal has aborted before", () => {
    const clock = new VirtualClock();
    const wheel = new DeadlineWheel(clock);
    const deadline = new CallerDeadline(wheel, { due: 1_000, signal: AbortSignal.abort("gone") });
    assertEquals(deadline.over?.code, "CANCELLED");
    assertEquals(wheel.size, 0);
  });
});

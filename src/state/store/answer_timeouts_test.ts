import { assertEquals, assertGreaterOrEqual, assertLessOrEqual, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { CallerDeadline } from "../claims/caller_deadline.ts";
import { AnswerTimeouts } from "./answer_timeouts.ts";

describe("AnswerTimeouts", () => {
  it("settles as the call does when the answer comes in time", async () => {
    const clock = new VirtualClock();
    const answers = new AnswerTimeouts(clock);
    const answer = answers.within(1_000, delay(clock, 900).then(() => 7));
    const refused = answers.within(1_000, Promise.reject(new RangeError("no")));
    await assertRejects(() => refused, RangeError, "no");
    await clock.advance(2_000);
    assertEquals(await answer, 7);
  });

  it("rejects with UNAVAILABLE after the limit, and within 50 ms of it", async () => {
    const clock = new VirtualClock();
    const answers = new AnswerTimeouts(clock);
    const started = clock.monotonic();
    const failed = [1_000, 1_500].map(async (limit) => {
      const call = answers.within(limit, new Promise<never>(() => {}));
      const error = await assertRejects(() => call, CatgaError);
      return { limit, code: error.code, retryable: error.retryable, took: clock.monotonic() - started };
    });
    await clock.advance(2_000);
    for (const { limit, code, retryable, took } of await Promise.all(failed)) {
      assertEquals(code, "UNAVAILABLE");
      assertEquals(retryable, true);
      assertGreaterOrEqual(took, limit);
      assertLessOrEqual(took, limit + 50);
    }
  });

  it("rejects before the limit when the sender stops waiting; at once if it has stopped", async () => {
    const clock = new VirtualClock();
    const answers = new AnswerTimeouts(clock);
    const wheel = new DeadlineWheel(clock);
    using sender = new CallerDeadline(wheel, clock.monotonic() + 500);
    const never = () => answers.within(1_000, new Promise<never>(() => {}), clock.monotonic(), sender);
    const waiting = assertRejects(never, CatgaError);
    await clock.advance(550);
    assertEquals([(await waiting).code, (await assertRejects(never, CatgaError)).code], ["TIMEOUT", "TIMEOUT"]);
  });
});

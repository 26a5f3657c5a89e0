/**
 * Fault: processes that drive runs which are completed from outside, asked, watched and begin anew are killed, frozen
 * and cut off, the server is killed, and all links take their time.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { setTimeout as wait } from "node:timers/promises";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { AnswersStorm } from "../support/answers_storm.ts";
import { itBeforeRelease } from "../support/before_release.ts";

/** One fault after the other, so long as runs go on, `times` rounds of them at least. */
async function storm(latency: number, times: number, { runs = 3, rounds = 3 } = {}): Promise<AnswersStorm["sums"]> {
  await using storm = await AnswersStorm.open({ runs, rounds, latency });
  let isOver = false;
  const played = storm.play().finally(() => isOver = true);
  const faults = [
    () => storm.kill("a"),
    () => storm.cut("client", 700),
    () => storm.kill("b"),
    () => storm.killServer(),
    () => storm.freeze("a", 1_200),
    () => storm.cut("b", 1_500),
  ];
  for (let n = 0; n < times * faults.length && !isOver; n++) {
    await Promise.race([wait(500), played]);
    await faults[n % faults.length]();
  }
  await played;
  console.log(JSON.stringify({ latency, ...storm.sums }));
  assertEquals(storm.violations.slice(0, 10), []);
  return storm.sums;
}

describe("runs that are completed, asked and watched, in processes", await requireNatsServer(), () => {
  it("a completion that is ok counts once, each question has one answer, no last change is missed", {
    timeout: 1_800_000,
  }, async () => {
    const { completed } = await storm(3, 1);
    assertGreater(completed, 0);
  });

  for (const latency of [1, 2, 5, 10, 20]) {
    itBeforeRelease(`with ${latency} ms each way, and many faults`, { timeout: 1_800_000 }, async () => {
      const { completed, late, wentOn } = await storm(latency, 20, { runs: 6, rounds: 9 });
      assertGreater(completed, 20);
      assertGreater(late, 0);
      assertGreater(wentOn, 0);
    });
  }
});

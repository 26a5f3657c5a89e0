import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { freeClaimsAtFirstBounce } from "../../../test/processes/plants.ts";
import type { Clock } from "../../ports/clock.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { CUT } from "../../ports/evidence_of_life.ts";
import { Absence } from "./absence.ts";

/** Time for which pings must bounce until a process counts as gone, in ms. */
const ABSENT = 6_000;

/** Makes an `Absence`, which finds out if another process is gone, over a link on which a ping takes 1 ms. */
function asking() {
  const clock = new VirtualClock();
  const state = {
    /** Outcome of the pings: the process answers them, they bounce, or neither an answer nor a bounce comes. */
    there: "bounces" as "answers" | "bounces" | "nothing",
    conclusive: true,
    /** Time by which the wall clock is ahead of the monotonic clock, in ms. */
    slept: 0,
    /** Delay of timers and messages, in ms, as in a paused process. */
    paused: 0,
    frames: 0,
  };
  const own: Clock = {
    now: () => clock.now() + state.slept,
    monotonic: () => clock.monotonic(),
    after: (ms, callback) => clock.after(ms + state.paused, callback),
    soon: (callback) => clock.soon(callback),
  };
  const absence: Absence = new Absence({
    clock: own,
    conclusive: () => state.conclusive,
    ping(endpoint) {
      const before = state.frames++;
      const { there } = state;
      if (there === "answers") own.after(1, () => absence.conclude(endpoint, { gone: false }));
      if (there === "bounces") own.after(1, () => absence.bounced(endpoint, before + 1));
      return before;
    },
  });
  /** Asks if the process is gone. Resolves with the answer and the time that it took, in ms. */
  async function gone(): Promise<{ gone: boolean; ms: number }> {
    const began = clock.monotonic();
    return { gone: await clock.until(absence.gone("a.1")), ms: clock.monotonic() - began };
  }
  return { clock, state, absence, gone };
}

describe("Absence", () => {
  it("a process is gone when its pings have bounced for 6 s, and not before", async () => {
    const { gone } = asking();
    const result = await gone();
    assertEquals(result.gone, true);
    assertGreater(result.ms, ABSENT);
    assertLess(result.ms, ABSENT + 500);
  });

  it("a process that answers is there, at once", async () => {
    const { state, gone } = asking();
    state.there = "answers";
    assertEquals(await gone(), { gone: false, ms: 1 });
  });

  it("a process that neither answers nor bounces is not known to be gone", async () => {
    const { state, gone } = asking();
    state.there = "nothing";
    assertEquals(await gone(), { gone: false, ms: 1_000 });
  });

  it("a cut of 4 s and its reconnect, at whatever moment, is no absence", async () => {
    for (let offset = 0; offset < 1_000; offset += 50) {
      const { clock, state, absence } = asking();
      state.there = "answers";
      let gone = false;
      clock.after(offset, () => state.there = "bounces");
      clock.after(offset + CUT + 1_250, () => state.there = "answers");
      const end = clock.monotonic() + 15_000;
      while (clock.monotonic() < end) {
        gone ||= await clock.until(absence.gone("a.1"));
        await clock.advance(100);
      }
      assertEquals(gone, false, `cut at ${offset} ms`);
    }
  });

  it("two cuts with an answer between them are not added", async () => {
    const { clock, state, gone } = asking();
    clock.after(5_000, () => state.there = "answers");
    assertEquals((await gone()).gone, false);
    state.there = "bounces";
    assertGreater((await gone()).ms, ABSENT);
  });

  it("a frame of its own counts as an answer", async () => {
    const { clock, absence, gone } = asking();
    clock.after(5_000, () => absence.conclude("a.1", { gone: false }));
    assertEquals(await gone(), { gone: false, ms: 5_000 });
  });

  it("a reconnect of the process that asks ends the question", async () => {
    const { clock, absence, gone } = asking();
    clock.after(5_900, () => absence.reset());
    assertEquals((await gone()).gone, false);
    assertGreater((await gone()).ms, ABSENT);
  });

  it("bounces prove nothing while other nodes may be reconnecting", async () => {
    const { clock, state, gone } = asking();
    state.conclusive = false;
    assertEquals(await gone(), { gone: false, ms: 0 });
    state.conclusive = true;
    clock.after(3_000, () => state.conclusive = false);
    assertEquals((await gone()).gone, false);
  });

  for (const at of [100, 3_000, 5_900]) {
    it(`a pause of the process that asks, after ${at} ms, does not count`, async () => {
      const { clock, state, gone } = asking();
      const paused = 7_000;
      clock.after(at, () => state.paused = paused);
      clock.after(at + paused, () => state.paused = 0);
      const result = await gone();
      assertEquals(result.gone, true);
      assertGreater(result.ms, paused + ABSENT);
    });
  }

  it("a suspended machine, whose monotonic clock stood still, begins anew", async () => {
    const { clock, state, gone } = asking();
    clock.after(4_000, () => state.slept = 60_000);
    const result = await gone();
    assertEquals(result.gone, true);
    assertGreater(result.ms, 4_000 + ABSENT);
  });

  it("a frame that left before the ping proves nothing when it bounces", async () => {
    const { clock, state, absence, gone } = asking();
    state.there = "nothing";
    for (let at = 10; at < 990; at += 10) clock.after(at, () => absence.bounced("a.1", state.frames - 1));
    assertEquals((await gone()).gone, false);
  });

  it("questions at the same time share the pings", async () => {
    const { clock, state, absence } = asking();
    state.there = "answers";
    const asked = [absence.gone("a.1"), absence.gone("a.1")];
    assertEquals(await clock.until(Promise.all(asked)), [false, false]);
    assertEquals(state.frames, 1);
  });

  it("is asked in the middle of another question: its 6 s begin then, as the process may have been back between two pings", async () => {
    const { clock, state, absence, gone } = asking();
    const first = absence.gone("a.1").then((gone) => ({ gone, ms: clock.monotonic() }));
    await clock.advance(3_050);
    // the process is back for 100 ms in which no ping is sent to it
    state.there = "answers";
    await clock.advance(100);
    state.there = "bounces";
    const { frames } = state;
    const later = await gone();
    assertEquals(later.gone, true);
    assertGreater(later.ms, ABSENT);
    assertLess(later.ms, ABSENT + 500);
    assertEquals((await first).gone, true);
    assertLess((await first).ms, ABSENT + 500);
    assertLess(state.frames - frames, 2 + later.ms / 250); // one ping at a time for both
  });

  it("says for how long it is proved by now: from the first bounce on, and not at all while a bounce proves nothing", async () => {
    const { clock, state, absence } = asking();
    assertEquals(absence.absent("a.1"), 0);
    await clock.advance(650);
    assertEquals(absence.absent("a.1"), 2 * 251 - 1);
    state.there = "answers";
    await clock.advance(300);
    assertEquals(absence.absent("a.1"), 0);
    state.there = "bounces";
    state.conclusive = false;
    await clock.advance(5_000);
    assertEquals(absence.absent("a.1"), 0);
  });

  it("with the bug that a soak can plant, a process is gone at the first bounce", async () => {
    const mend = freeClaimsAtFirstBounce();
    try {
      assertEquals(await asking().gone(), { gone: true, ms: 1 });
    } finally {
      mend();
    }
    assertGreater((await asking().gone()).ms, ABSENT);
  });
});

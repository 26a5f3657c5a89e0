import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Journal } from "../stored/journal.ts";
import { Activity } from "./activity.ts";
import type { DriveHost } from "./drive_host.ts";
import { DriveTimes, stateOf, TIME_STATES, type TimeState } from "./drive_times.ts";

describe("the states of a time of a run", () => {
  const scheduled = true;
  const fired = undefined;
  const rows: readonly [why: string, time: Parameters<typeof stateOf>[0], state: TimeState][] = [
    ["a stuck step has no time", { until: undefined, scheduled: false, fired, now: 9 }, "stuck"],
    ["also if a schedule of it fired", { until: undefined, scheduled, fired: 8, now: 9 }, "stuck"],
    ["the clock has passed it", { until: 8, scheduled: false, fired, now: 9 }, "over"],
    ["the clock shows it", { until: 9, scheduled: false, fired, now: 9 }, "over"],
    ["the clock has passed it before its schedule fired", { until: 8, scheduled, fired, now: 9 }, "over"],
    ["its schedule fired by a clock that is ahead", { until: 9, scheduled, fired: 9, now: 5 }, "over"],
    ["a schedule for a later time fired", { until: 9, scheduled: false, fired: 10, now: 5 }, "over"],
    ["its schedule has not fired", { until: 9, scheduled, fired, now: 5 }, "scheduled"],
    ["a schedule fired too early, and does not fire again", { until: 9, scheduled, fired: 8, now: 5 }, "ticking"],
    ["it has no schedule", { until: 9, scheduled: false, fired, now: 5 }, "ticking"],
  ];
  for (const [why, time, state] of rows) it(`${why}: ${state}`, () => assertEquals(stateOf(time), state));

  it("each has a time above", () => {
    assertEquals(new Set(rows.map(([, , state]) => state)), new Set(Object.keys(TIME_STATES)));
  });
});

describe("a time of a run", () => {
  /** Each state, with a time that is in it. */
  const TIMES: Record<TimeState, { readonly until: number | undefined; readonly scheduled: boolean }> = {
    stuck: { until: undefined, scheduled: false },
    over: { until: 0, scheduled: false },
    scheduled: { until: 1_000, scheduled: true },
    ticking: { until: 1_000, scheduled: false },
  };

  function timesOfRun() {
    const clock = new VirtualClock(0);
    const woken: number[] = [];
    const host = {
      clock,
      soon: (callback: () => void) => clock.soon(callback),
      wake: (_ref: unknown, _step: string, at: number) => Promise.resolve(void woken.push(at)),
    } as unknown as DriveHost; // all that times use of it
    const activity = new Activity(host, { turn: () => {}, broken: (error) => assertEquals(error, undefined) });
    const parts = { host, ref: { workflow: "W", run: "1" }, journal: new Journal(), activity, refuse: () => {} };
    const times = new DriveTimes(parts, { due: [], unrecorded: new Map() });
    return { clock, activity, times, woken };
  }

  for (const [state, { endedBy, holds }] of Object.entries(TIME_STATES)) {
    const time = TIMES[state as TimeState];

    it(`in the state "${state}" ${holds ? "keeps" : "does not keep"} the run in memory`, () => {
      const { times, activity } = timesOfRun();
      assertEquals([times.wait("a", time, () => {}), activity.isGoingOn], [state, holds]);
    });

    it(`in the state "${state}" is ended by ${endedBy}`, async () => {
      const { times, clock } = timesOfRun();
      const ended: string[] = [];
      times.wait("a", time, () => ended.push("a timer of this node"));
      await clock.advance(999);
      assertEquals(ended, []);
      if (endedBy === "its schedule") {
        times.timerFired({ step: "a", at: 1_000 });
        if (times.wait("a", time, () => {}) === "over") ended.push("its schedule");
      }
      await clock.advance(1_000);
      const after = times.wait("a", time, () => {});
      if (endedBy === "an operator") assertEquals(after, "stuck");
      else assertEquals([after, ended], ["over", endedBy === "nobody" ? [] : [endedBy]]);
    });
  }

  it("has one timer, however often it is asked for", async () => {
    const { times, clock } = timesOfRun();
    let calls = 0;
    for (let i = 0; i < 3; i++) times.wait("a", TIMES.ticking, () => calls++);
    await clock.advance(2_000);
    assertEquals(calls, 1);
  });

  it("has no timer once it is cancelled, or over by its schedule", async () => {
    const { times, clock, activity } = timesOfRun();
    let calls = 0;
    for (const step of ["a", "b"]) times.wait(step, TIMES.ticking, () => calls++);
    times.cancel("a");
    times.timerFired({ step: "b", at: 1_000 });
    assertEquals(times.wait("b", TIMES.ticking, () => {}), "over");
    assertEquals(activity.isGoingOn, false);
    await clock.advance(2_000);
    assertEquals(calls, 0);
  });

  it("has a schedule if it is more than five seconds away", async () => {
    const { times, woken } = timesOfRun();
    assertEquals([await times.keep("a", 5_000), woken], [{}, []]);
    assertEquals([await times.keep("a", 5_001), woken], [{ scheduled: true }, [5_001]]);
  });
});

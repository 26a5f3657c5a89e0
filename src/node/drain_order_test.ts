/** Tests of the order of a drain's steps, and of how long each may take. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { delay } from "../ports/clock.ts";
import { UnderWay } from "../ports/under_way.ts";
import { drain, type DrainableNode, type DrainSteps } from "./drain.ts";

/** Makes a node whose steps note their names, each with the time in ms. `slow`: how long a step takes, in ms. */
function setUp(slow: Readonly<Record<string, number>> = {}) {
  const clock = new VirtualClock();
  const seen: [step: string, at: number][] = [];
  const note = (step: string) => void seen.push([step, clock.monotonic()]);
  const step = (name: string) => async () => {
    note(name);
    const ms = slow[name] ?? 0;
    if (ms === Infinity) await new Promise(() => {});
    if (ms > 0) await delay(clock, ms);
  };
  const remote = { leave: step("leave"), refuse: () => note("refuse"), close: step("close the cluster") };
  const node = {
    ...{ node: "a", clock, wheel: { abort: () => note("abort") }, underWay: new UnderWay() },
    state: { abdicate: step("abdicate"), close: step("close the state") },
  } as unknown as DrainableNode; // a drain reads nothing else of a node
  const steps: DrainSteps = {
    endFastPaths: () => note("end fast paths"),
    leaveLog: step("leave the log"),
    moveStreams: () => note("move streams"),
    closeLog: step("close the log"),
    remote: () => remote as unknown as ReturnType<DrainSteps["remote"]>,
    stopSends: () => note("stop sends"),
    heldUp: () => note("held up"),
    release: step("release"),
  };
  return { clock, seen, at: (name: string) => seen.find(([step]) => step === name)?.[1], node, steps };
}

describe("the steps of a drain", () => {
  it("come in this order; handlers that begin while it closes are aborted, too", async () => {
    const { clock, seen, node, steps } = setUp();
    await clock.until(drain(node, 10_000, steps));
    assertEquals(seen.map(([step]) => step), [
      ...["end fast paths", "leave", "leave the log", "abdicate", "move streams"],
      ...["stop sends", "refuse", "abort", "close the log", "close the state", "close the cluster", "abort", "release"],
    ]);
  });

  it("move streams after a second if the store does not answer, and the rest goes on at the timeout", async () => {
    const { clock, at, node, steps } = setUp({ leave: Infinity, abdicate: Infinity });
    await clock.until(drain(node, 10_000, steps));
    assertEquals([at("move streams"), at("stop sends"), at("release")], [1_000, 10_000, 10_000]);
  });

  it("move streams at the timeout if that is shorter than a second", async () => {
    const { clock, at, node, steps } = setUp({ leave: Infinity });
    await clock.until(drain(node, 300, steps));
    assertEquals([at("move streams"), at("stop sends")], [300, 300]);
  });

  for (const [timeout, log, state, cluster] of [[10_000, 10_000, 10_500, 11_500], [0, 500, 1_000, 2_000]]) {
    it(`have ${timeout} ms together, and half a second or a second each when those are over`, async () => {
      const never = { "close the log": Infinity, "close the state": Infinity, "close the cluster": Infinity };
      const { clock, at, node, steps } = setUp(never);
      await clock.until(drain(node, timeout, steps));
      assertEquals([at("close the state"), at("close the cluster"), at("release")], [log, state, cluster]);
    });
  }

  it("wait for the end of the cluster's subscriptions for the whole timeout", async () => {
    const { clock, at, node, steps } = setUp({ "close the cluster": 5_000 });
    await clock.until(drain(node, 10_000, steps));
    assertEquals(at("release"), 5_000);
  });
});

import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { fail, type Result } from "../../contract/calls/result.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { SilentNodes } from "./silent_nodes.ts";

/** Makes the questions of a leader to the node `a`, which gives the answer `state.answer`. */
function setUp() {
  const clock = new VirtualClock();
  const state = { answer: fail("UNAVAILABLE", "no answer") as Result<unknown>, isGone: false, asked: 0 };
  const live = new Set(["a"]);
  const listeners = new Set<() => void>();
  const app = {
    sendInternal: () => {
      state.asked++;
      return Promise.resolve(state.answer);
    },
    gone: () => Promise.resolve(state.isGone),
    onNodes: (listener: () => void) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const silent = new SilentNodes({
    host: { clock, app } as never, // what else a host has is not used
    spec: { service: "shop", name: "billing" },
    token: 7,
    nodes: () => [...live].map((id) => ({ id, endpoint: `${id}.1`, categories: new Map() })),
    fault: (error) => {
      throw error;
    },
  });
  const leave = () => {
    live.delete("a");
    for (const listener of [...listeners]) listener();
  };
  return { clock, state, listeners, silent, leave };
}

describe("SilentNodes", () => {
  it("a node is asked until it answers, and resolves with what it runs", async () => {
    const { clock, state, silent, listeners } = setUp();
    const heard = silent.hear("a.1");
    await clock.advance(5_000);
    const before = state.asked;
    assertGreater(before, 5);
    state.answer = { ok: true, value: { running: ["3-0"], ended: [], finished: [] } };
    const report = await clock.until(heard);
    assertEquals([...report!.running], ["3-0"]);
    await clock.advance(5_000);
    assertEquals([state.asked, listeners.size], [before + 1, 0]);
  });

  for (const [how, end] of [["has left", "leave"], ["has certainly ended", "gone"]] as const) {
    it(`a node that ${how} is asked no more`, async () => {
      const { clock, state, silent, listeners, leave } = setUp();
      const heard = silent.hear("a.1");
      await clock.advance(1_000);
      if (end === "leave") leave();
      else state.isGone = true;
      assertEquals(await clock.until(heard), undefined);
      const { asked } = state;
      await clock.advance(60_000);
      assertEquals([state.asked, listeners.size], [asked, 0]);
    });
  }

  it("nobody is asked after close, and what was asked for resolves", async () => {
    const { clock, state, silent } = setUp();
    const heard = silent.hear("a.1");
    await clock.advance(1_000);
    silent.close();
    assertEquals(await clock.until(heard), undefined);
    const { asked } = state;
    await clock.advance(60_000);
    assertEquals(state.asked, asked);
  });
});

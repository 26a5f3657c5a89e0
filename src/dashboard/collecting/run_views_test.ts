import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { RunInfo } from "../../contract/calls/flow.ts";
import { foundRuns, runViews } from "./run_views.ts";

function run(id: string, at: number): RunInfo {
  const error = { code: "NO_CARD", message: "no \x1b card" };
  return {
    ...{
      workflow: "Order",
      id,
      status: "stuck",
      view: "pa\x1bid",
      stage: "pa\x1bid",
      version: 1,
      startedAt: new Date(at),
      endedAt: undefined,
      tags: [],
      code: undefined,
    },
    pending: [{ name: "charge", attempts: 3, since: new Date(at + 5), next: undefined, error }],
    timeline: [
      { at: new Date(at), by: "a", type: "started", name: "", value: { order: id } },
      { at: new Date(at + 5), by: "a", type: "failed", name: "charge", value: error },
    ],
    retry: () => Promise.resolve(),
    skip: () => Promise.resolve(),
  };
}

describe("runViews", () => {
  it("has what a run waits for and since when, and a line of each entry, hidden characters visible", async () => {
    const [view] = await runViews(
      (async function* () {
        yield run("o-1", 1_000);
      })(),
      9,
    );
    assertEquals([view.workflow, view.id, view.status, view.since], ["Order", "o-1", "stuck", 1_005]);
    assertEquals(view.stage, "pa\\u{1b}id");
    assertEquals(view.pending, "charge, 3 failed, NO_CARD: no \\u{1b} card");
    const [first, second] = view.timeline.split("\n");
    assertEquals(first, '1970-01-01T00:00:01.000Z  started {"order":"o-1"}');
    assertEquals(second, '1970-01-01T00:00:01.005Z  failed charge {"code":"NO_CARD","message":"no \\u001b card"}');
  });

  it("has a run that waits for very much, as anybody may store one", async () => {
    const pending = Array.from({ length: 300_000 }, () => run("o-1", 1_000).pending[0]);
    const [view] = await runViews(
      (async function* () {
        yield { ...run("o-1", 1_000), pending };
      })(),
      9,
    );
    assertEquals([view.since, view.pending.length < 500, view.steps.length], [1_005, true, 100]);
  });

  it("has no more than asked for, in their order, and the steps that may be skipped", async () => {
    const views = await runViews(
      (async function* () {
        for (let n = 0; n < 5; n++) yield run(`o-${n}`, n);
      })(),
      3,
    );
    assertEquals(views.map(({ id }) => id), ["o-0", "o-1", "o-2"]);
    assertEquals(views[0].steps, ["charge"]);
  });
});

describe("foundRuns", () => {
  it("says if there are more runs than it has (the page showed 500 of 7,000, as if they were all)", async () => {
    async function* runs(count: number) {
      for (let n = 0; n < count; n++) yield run(`o-${n}`, n);
    }
    const found = async (count: number) => {
      const { runs: views, more } = await foundRuns(runs(count), 3);
      return [views.length, more];
    };
    assertEquals([await found(2), await found(3), await found(4)], [[2, false], [3, false], [3, true]]);
  });
});

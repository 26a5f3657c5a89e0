import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { workflow } from "@catga/catga";
import type { StartedRuns } from "../contract/declaration/workflow_body.ts";
import { positionOf } from "../log/format/group_text.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { RunDeliveries } from "./run_deliveries.ts";

/**
 * Delivers a batch of the starts of runs that another node executes. Returns what that node is asked about, and the
 * runs that the batch fails with. `ends`: when each run ends, in ms from the delivery; `undefined`: that node is gone.
 */
async function delivered(ends: readonly number[] | undefined) {
  const clock = new VirtualClock();
  const began = clock.monotonic();
  const asked: string[][] = [];
  const failed: (string | undefined)[] = [];
  const { definition, fn } = workflow("One").handle(() => Promise.resolve())["~handler"].workflow!;
  const starts = (ends ?? [0, 0]).map((_, n) => ({
    payload: { t: "started", version: 1, keep: 60_000, by: "b.1" },
    ...{ key: `${n}`, position: positionOf(n + 1, 0), stored: undefined },
  }));
  const batch = Object.assign(starts, { fail: ({ key }: { key: string | undefined }) => failed.push(key) });
  const deliveries = new RunDeliveries({ endpoint: "a.1", clock }, {
    drives: undefined as never, // only for runs that this node executes
    starts: undefined as never, // only for starts by a schedule
    peers: {
      areOver: (_endpoint: string, _workflow: string, runs: readonly (readonly [string, number])[]) => {
        asked.push(runs.map(([run]) => run));
        const now = clock.monotonic() - began;
        return Promise.resolve(ends && runs.map(([run]) => ends[Number(run)] <= now ? 1 : 0));
      },
    } as never,
  });
  await clock.until(deliveries.started({ definition, fn }, batch as unknown as StartedRuns));
  return { asked, failed, took: clock.monotonic() - began };
}

describe("a batch of starts", () => {
  it("is handled when all its runs have ended: each that went on was delivered and passed on by itself", async () => {
    const { asked, failed } = await delivered([0, 60, 250, 0]);
    assertEquals(asked, [["0", "1", "2", "3"], ["1", "2"], ["2"]]);
    assertEquals(failed, []);
  });

  it("has the runs that take longer delivered one by one", async () => {
    const { failed, took } = await delivered([0, 60_000, 0]);
    assertEquals([failed, took], [["1"], 700]);
  });

  it("has all its runs delivered at once when the node that executes them is gone", async () => {
    assertEquals(await delivered(undefined), { asked: [["0", "1"]], failed: ["0", "1"], took: 0 });
  });
});

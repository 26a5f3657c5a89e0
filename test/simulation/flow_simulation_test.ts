import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateFlow } from "./flow_simulation.ts";

/** Seeds in which waits are given up: none of a third of all seeds is one. */
const GIVING_UP = [17, 38];
/** Seeds in which steps block their processes. */
const BLOCKING = Array.from({ length: 24 }, (_, i) => 12 + 16 * i);
/**
 * Seeds that were red: a wait behind a signal, both behind a cancel, left its schedule; a process that went on began
 * attempts that others had made meanwhile; a node whose version had refused a run answered news of it, and the next one
 * was kept from storing; each node was blocked by an attempt that nobody heard of any more; a run was suspended while
 * the store could not say what was there beside a schedule that had fired; an attempt went back, begun behind a read
 * that failed while its process stood still.
 */
const WERE_RED = [8_255, ...[652, 2_012, 2_268, 6_700], 24_065, 3_014_172, 3_116_172, 5_013_212];
/** `deno run -A test/simulation/flow_simulation.ts 0..999` plays more of them. */
const PLAYED = [...new Set([...seedsOfThisRuntime(200), ...GIVING_UP, ...BLOCKING, ...WERE_RED])];

const slow = { timeout: 600_000 };

describe("simulation of workflows", () => {
  it("each run ends, no step begins early, and what a failed run did is undone, whoever dies", slow, async () => {
    const seen = {
      runs: 0,
      failed: 0,
      cancelled: 0,
      kills: 0,
      freezes: 0,
      cuts: 0,
      losses: 0,
      takeovers: 0,
      undone: 0,
      told: 0,
      retries: 0,
      settled: 0,
      leases: 0,
      elections: 0,
      interjections: 0,
      refusals: 0,
      limits: 0,
      floods: 0,
      losers: 0,
      takenBack: 0,
      slowReads: 0,
      givenUp: 0,
      oneOf: 0,
      shown: 0,
      blocks: 0,
      performed: 0,
    };
    for (const seed of PLAYED) {
      const { violations, sums } = await simulateFlow(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/flow_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs; slow reads are of few seeds only, whose handlers rarely wait for one
    for (const [what, count] of Object.entries(seen)) {
      assert(count > PLAYED.length / (what === "slowReads" ? 16 : 4), `${what}: ${count}`);
    }
  });

  it("the same seed gives the same run", async () => {
    assertEquals(await simulateFlow(3), await simulateFlow(3));
  });
});

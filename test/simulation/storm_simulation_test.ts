import { describe, it } from "node:test";
import process from "node:process";
import { assert, assertEquals } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { lineOf, simulateStorm, type Stormed } from "./storm_simulation.ts";

/** With `CATGA_STORM_SCALE=25`, which is what a release is tried with: 1,000 nodes and 50 seeds, in some hours. */
const SCALE = Number(process.env.CATGA_STORM_SCALE ?? 1);
const NODES = 40 * SCALE;
const PLAYED = seedsOfThisRuntime(Math.max(9, 2 * SCALE));

describe("simulation of storms", () => {
  const seen: Stormed[] = [];

  for (const seed of PLAYED) {
    const name = `seed ${seed}: ${NODES} nodes agree after a storm, believe nobody, and every request has a result`;
    it(name, { timeout: 60_000 * (1 + SCALE) }, async () => {
      const stormed = await simulateStorm(seed, NODES);
      assertEquals(stormed.violations, [], lineOf(seed, stormed));
      seen.push(stormed);
    });
  }

  it("storms of all kinds came, with traffic of which most succeeded", () => {
    const storms = new Set(seen.flatMap(({ storms }) => storms));
    assertEquals([...storms].toSorted(), ["forged", "restart", "server", "vanish"]);
    for (const { sent, failed } of seen) {
      const failures = [...failed.values()].reduce((sum, count) => sum + count, 0);
      assert(sent > 2 * NODES && failures < sent / 2, `${failures} of ${sent} failed`);
    }
  });
});

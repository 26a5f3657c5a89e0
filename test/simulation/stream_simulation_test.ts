import { describe, it } from "node:test";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { seedsOfThisRuntime } from "../support/of_this_runtime.ts";
import { simulateStream, type StreamPlant } from "./stream_simulation.ts";

/** `deno run -A test/simulation/stream_simulation.ts 0..9999` plays more of them. */
const SEEDS = 400;
const PLAYED = seedsOfThisRuntime(SEEDS);

const slow = { timeout: 300_000 };

describe("simulation of a stream", () => {
  it("items come in order, each once, neither side keeps more than the window, and it ends", slow, () => {
    const seen = { ended: 0, broken: 0, lost: 0, late: 0, repeated: 0, left: 0, full: 0 };
    for (const seed of PLAYED) {
      const { violations, sums } = simulateStream(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/stream_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > PLAYED.length / 20, `${what}: ${count}`);
  });

  it("the same seed gives the same run", () => {
    assertEquals(simulateStream(3), simulateStream(3));
  });

  for (
    const [plant, found] of [
      ["repeats", /item \d+ is/],
      ["gaps", /item \d+ is/],
      ["doubt", /has not ended/],
      ["missing", /has not ended/],
      ["again", /has not ended/],
      ["window", /the reader keeps/],
      ["ask", /has not ended/],
      ["end", /items came, and it ended/],
      ["report", /items came, and it ended/],
    ] as [StreamPlant, RegExp][]
  ) {
    it(`finds that a rule is left out: ${plant}`, slow, () => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const { violations } = simulateStream(seed, plant);
        if (violations.length > 0) return assertMatch(violations.join("\n"), found);
      }
      throw new Error(`no violation in ${SEEDS} runs`);
    });
  }
});

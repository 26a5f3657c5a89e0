import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { simulateSubscription } from "./subscription_simulation.ts";

const SEEDS = 120;
/** The even seeds run in Deno, the odd ones in Bun: what they show is code that both share. */
const FIRST = "Bun" in globalThis ? 1 : 0;

const slow = { timeout: 600_000 };

describe("simulation of a subscription", () => {
  it("passes nothing over, and runs nothing that has ended, whoever dies and whatever is lost", slow, () => {
    const seen = { runs: 0, commits: 0, deaths: 0, takeovers: 0, cuts: 0, requests: 0, dead: 0 };
    for (let seed = FIRST; seed < SEEDS; seed += 2) {
      const { violations, sums } = simulateSubscription(seed);
      assertEquals(violations, [], `to see it again: deno run -A test/simulation/subscription_simulation.ts ${seed}`);
      for (const what of Object.keys(seen) as (keyof typeof seen)[]) seen[what] += sums[what];
    }
    // each of them occurs
    for (const [what, count] of Object.entries(seen)) assert(count > SEEDS / 4, `${what}: ${count}`);
  });

  it("the same seed gives the same run", () => {
    assertEquals(simulateSubscription(3), simulateSubscription(3));
  });
});

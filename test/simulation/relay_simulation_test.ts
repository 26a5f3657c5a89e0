/** The relay of an outbox while its processes die and stand still; the checks see each rule that is left out. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { type LeftOut, playRelays } from "../support/relay_world.ts";

const SEEDS = 40;
const RULES: readonly LeftOut[] = [
  "the look into the log",
  "the note of what is under way",
  "the check of the term",
  "the check of a pause",
  "the order of a key",
  "the runs behind those that fail",
  "the first row of a run",
  "one id for all attempts",
];

describe("the relay of an outbox", { timeout: 600_000 }, () => {
  it("stores each row once, in the order of its key, whatever becomes of its processes and of other runs", async () => {
    let [kills, pauses] = [0, 0];
    for (let seed = 0; seed < SEEDS; seed++) {
      const outcome = await playRelays(seed);
      assertEquals([seed, outcome.wrong], [seed, []]);
      kills += outcome.kills;
      pauses += outcome.pauses;
    }
    assert(kills > SEEDS && pauses > SEEDS, `${kills} ${pauses}`);
  });

  for (const rule of RULES) {
    it(`would break its promises without ${rule}`, async () => {
      let seed = 0;
      while (seed < 5 * SEEDS && (await playRelays(seed, rule)).wrong.length === 0) seed++;
      assert(seed < 5 * SEEDS, "no seed shows it");
    });
  }
});

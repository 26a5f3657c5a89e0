import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { CatgaError } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { Outcome } from "./journal.ts";
import { Results } from "./results.ts";

describe("the end of a run that is not announced", () => {
  for (const first of ["has not ended", "cannot be read"]) {
    it(`is found a second later if the run ${first} when the waiting begins, while others wait for long`, async () => {
      const clock = new VirtualClock();
      const reads: string[] = [];
      const end: Outcome = { ok: true, value: "end" };
      const results = new Results({
        ...{ namespace: "test", clock, transport: undefined, soon: (callback) => callback() },
        read: async ({ run }) => {
          const isFirst = !reads.includes(run);
          reads.push(run);
          if (isFirst && first === "cannot be read") throw new CatgaError("UNAVAILABLE", "no leader");
          return await Promise.resolve(run === "long" || isFirst ? undefined : end);
        },
      });
      const told: unknown[] = [];
      const wait = (run: string) => results.wait({ workflow: "Order", run }, false, (outcome) => told.push(outcome));
      wait("long");
      await clock.advance(10_000);
      wait("short");
      await clock.advance(1_500);
      assertEquals(told, [end]);
      // and once a minute
      await clock.advance(120_000);
      assertEquals(reads.filter((run) => run === "long").length <= 5, true);
      results.close();
    });
  }
});

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
        drives: () => false,
        read: async ({ run }) => {
          const isFirst = !reads.includes(run);
          reads.push(run);
          if (isFirst && first === "cannot be read") throw new CatgaError("UNAVAILABLE", "no leader");
          return await Promise.resolve(run === "long" || isFirst ? undefined : end);
        },
      });
      const told: unknown[] = [];
      const wait = (run: string) => results.wait({ workflow: "Order", run }, (outcome) => told.push(outcome));
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

describe("the end of many runs that are waited for", () => {
  it("is not read while this node drives them, then of 32 at once (10,000 reads were in the way of the runs)", async () => {
    const clock = new VirtualClock();
    const reads: (() => void)[] = [];
    let drives = true;
    const results = new Results({
      ...{ namespace: "test", clock, transport: undefined, soon: (callback) => callback() },
      drives: () => drives,
      read: () => new Promise((resolve) => reads.push(() => resolve("no run"))),
    });
    let told = 0;
    for (let n = 0; n < 100; n++) results.wait({ workflow: "Order", run: `${n}` }, () => told++);
    await clock.advance(30_000);
    assertEquals(reads.length, 0);
    drives = false;
    await clock.advance(1_500);
    assertEquals(reads.length, 32);
    while (reads.length > 0) {
      reads.shift()!();
      await clock.advance(0);
    }
    assertEquals(told, 100);
    // a node does not know that it has lost a run to another one
    drives = true;
    results.wait({ workflow: "Order", run: "lost" }, () => told++);
    await clock.advance(61_000);
    assertEquals(reads.length, 1);
    results.close();
  });
});

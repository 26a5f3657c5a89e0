/** Rows of the section `workflows` are measured when their code is compiled. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { AtOnce, Ran } from "./programs/flowing.ts";
import { warmUp } from "./sections/workflows.ts";

describe("the section workflows of the bench", () => {
  it("warmUp: a program does at least so many runs, whatever its rate, in tasks of at most 1,000", async () => {
    for (const beyond of [0, 255]) {
      const asked: number[] = [];
      const ask = <Value>(task: string, { ms, runs }: AtOnce): Promise<Value> => {
        assertEquals([task, ms], ["run", 0]);
        asked.push(runs);
        const ran: Ran = { runs: runs + beyond, rate: 0.1, p50: 1, p99: 1 };
        return Promise.resolve(ran as Value); // a program that is asked for runs says so
      };
      const done = await warmUp({ client: { ask: ask as never } }, 2_500);
      assertEquals([asked, done], beyond === 0 ? [[1_000, 1_000, 500], 2_500] : [[1_000, 1_000], 2_510]);
    }
  });
});

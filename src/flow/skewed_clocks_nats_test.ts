/** Tests of runs that begin on a node with a wrong clock, and continue on another node. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga } from "../../mod.ts";
import { OWN_RUNTIMES, startProgram } from "../../test/processes/node_process.ts";
import {
  Ask,
  Nap,
  type SkewedWorkflowsLine,
  type SkewedWorkflowsOptions,
  Stay,
} from "../../test/processes/skewed_workflows.ts";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

/** Timeout of these tests, in ms, because Bun otherwise ends a test after 5 s. */
const slow = { timeout: 300_000 };
const HOUR = 3_600_000;

describe("sleeps, waits and timeouts of runs", await requireNatsServer(), () => {
  for (const [ahead, dies] of [[3 * HOUR, true], [-3 * HOUR, false]] as const) {
    const where = dies ? "which another node takes over" : "which stay there";
    it(`of a node whose clock is ${ahead / HOUR} h ahead, ${where}, end in their time`, slow, async () => {
      await using server = await startNatsServer();
      const start = (options: SkewedWorkflowsOptions) =>
        startProgram<SkewedWorkflowsLine>(OWN_RUNTIMES[0], "test/processes/skewed_workflows.ts", [
          server.url,
          JSON.stringify(options),
        ]);
      await using skewed = await start({ skew: { ahead }, start: 3 });
      const { runs } = await skewed.line(() => true, 60_000);
      await using app = await catga({ nats: server.url });
      // a busy machine may take so long for all of them that the first have ended
      await eventually("each to have waited", async () => {
        let waited = 0;
        for await (const { timeline } of app.runs()) {
          if (timeline.some(({ type }) => type === "slept" || type === "waits")) waited++;
        }
        return waited === runs.length;
      });
      await using other = dies ? await start({}) : undefined;
      await other?.line(() => true, 60_000);
      if (dies) skewed.kill("SIGKILL");
      const ends = await Promise.all(
        runs.map((run, n) => app.result([Stay, Nap, Ask][n % 3], run, { timeout: 120_000 })),
      );
      assertEquals(
        ends.map(({ value, error }) => value ?? error?.message.replace(/run \w+ of/, "a")),
        [0, 1, 2].flatMap(() => ["a Stay took longer than 6000 ms", "rested", "no answer"]),
      );
    });
  }
});

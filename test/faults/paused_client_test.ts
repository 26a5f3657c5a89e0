/**
 * Fault: a client is stopped (SIGSTOP) while it waits for answers, and goes on (SIGCONT) when their time is long over.
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { gapWithin } from "../processes/loop_gaps.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { startProgram } from "../processes/node_process.ts";
import { type PausedLine, TIMEOUT } from "../processes/paused_client.ts";
import { FaultCluster } from "../support/fault_cluster.ts";

const COUNT = 100;
const PAUSE = 3_500; // ms
const MARGIN = 1_000; // ms: the first turns of a process on a busy machine

describe("a client that is paused past its deadlines", await requireNatsServer(), () => {
  for (const runtime of ["deno", "bun"] as const) {
    it(`gets the answer that had arrived, or the error of the deadline, when it resumes: ${runtime}`, {
      timeout: 1_200_000,
    }, async () => {
      // Promise: a paused process can settle nothing; when it wakes, everything that was due is settled at once, by the
      // answer if that is there. What its own clock and its own log show is one gap, and no send is late beyond it.
      await using cluster = await FaultCluster.open({ nodes: ["d1"] });
      const args = [cluster.url, "d1", `${COUNT}`];
      await using client = await startProgram<PausedLine>(runtime, "test/processes/paused_client.ts", args);
      await client.line(({ event }) => event === "sent", 60_000);
      client.kill("SIGSTOP");
      await wait(PAUSE);
      client.kill("SIGCONT");
      const isDone = (line: PausedLine): line is PausedLine & { event: "done" } => line.event === "done";
      const { settled, gaps } = await client.line(isDone, 60_000);
      const told = (name: string) => new Set(settled.filter((it) => it.name === name).map((it) => it.told));
      console.log(`${runtime}: answered in the pause: ${[...told("Read")]}; never answered: ${[...told("Hang")]}`);
      assertEquals(settled.length, 2 * COUNT);
      assert([...told("Read")].every((code) => code === "ok" || code === "TIMEOUT"), [...told("Read")].join());
      assertEquals(told("Hang"), new Set(["OUTCOME_UNKNOWN"]));
      assertGreater(Math.max(...gaps.map(({ from, to }) => to - from)), PAUSE - 500);
      const late = settled.map(({ at, took }) => took - gapWithin(gaps, at - took, at) - TIMEOUT);
      assertLess(Math.max(...late), MARGIN);
      // without the gap it would look late: the check above sees something
      assertGreater(Math.max(...settled.map(({ took }) => took)), TIMEOUT + MARGIN);
    });
  }
});

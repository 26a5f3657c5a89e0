/**
 * A program on a file under a load of everything that a file keeps, killed at random moments, in both runtimes by
 * turns: the checkers of `guarantees` judge all its lives together. They find a file that answers before it commits.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { assertEquals, assertGreater } from "@std/assert";
import type { FileLoadLine } from "../processes/file_load.ts";
import { plantedTree } from "../processes/planted_tree.ts";
import { startProgram } from "../processes/node_process.ts";

/** A longer sweep: `FILE_KILLS=300 deno test -A --no-check test/faults/file_load_test.ts`. */
const KILLS = Number(process.env.FILE_KILLS ?? 20);
/** Kills of one file: the checkers take longer than in proportion to what they judge. */
const PER_FILE = 10;
const PROGRAM = "test/processes/file_load.ts";
const RUNTIMES = ["deno", "bun"] as const;

describe("a program on a file under a load of everything", () => {
  // docs/file.md, crash semantics, "what was acknowledged is there": killed
  // docs/file.md, crash semantics, "what was not acknowledged": killed
  // docs/file.md, crash semantics, "it goes on": killed
  it(`${KILLS} kills at random moments: each promise holds`, { timeout: 3_600_000 }, async () => {
    const sums: Record<string, number> = {};
    for (let left = KILLS; left > 0; left -= PER_FILE) {
      const { wrong, counts = {} } = await lives(Math.min(left, PER_FILE));
      for (const [what, count] of Object.entries(counts)) sums[what] = (sums[what] ?? 0) + count;
      console.log(JSON.stringify(sums));
      assertEquals(wrong, []);
    }
    for (const what of WANTED) assertGreater(sums[what] ?? 0, 0, what);
  });

  it("the checkers find that a file answers before it has committed", { timeout: 600_000 }, async () => {
    await using tree = await plantedTree("file-early");
    const { wrong } = await lives(3, tree.root);
    assertGreater(wrong!.length, 0);
  });
});

/** What the load must have done, so that its promises were looked at. */
const WANTED = [
  ...["publish Told", "publish Counted", "publish Refused", "publish Later", "enqueue Job", "enqueue Tick", "ticks"],
  ...["send Charge", "send AddItem", "load Cart", "start Trip", "tell Trip.Go", "cancel Trip", "lock"],
  ...["start Meter", "tell Meter.Add", "ask Meter.Ask"],
];

/** Kills a program on a new file so often, and has its last life judge all of them. */
async function lives(kills: number, root?: string): Promise<FileLoadLine> {
  const folder = await mkdtemp(join(tmpdir(), "catga-load-"));
  try {
    for (let life = 0; life < kills; life++) {
      const runtime = RUNTIMES[life % 2];
      await using program = await startProgram<FileLoadLine>(runtime, PROGRAM, ["load", folder, `${life}`], root);
      const enough = 50 + Math.floor(Math.random() * 400);
      await program.line(({ answers = 0 }) => answers >= enough);
      await wait(Math.random() * 50);
      await program.stop();
    }
    const args = ["check", folder, `${kills}`];
    await using program = await startProgram<FileLoadLine>(RUNTIMES[kills % 2], PROGRAM, args, root);
    const report = await program.line(({ wrong }) => wrong !== undefined);
    assertEquals((await program.end()).by, 0, program.output);
    return report;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

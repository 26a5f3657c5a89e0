/**
 * A program on a file is killed by SIGKILL under load, again and again, and starts on its file: everything that was
 * acknowledged is there, nothing twice that is promised once, nothing out of order, and everything goes on.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import type { FileNodeLine } from "../processes/file_node.ts";
import { startProgram } from "../processes/node_process.ts";
import { THIS_RUNTIME } from "../support/of_this_runtime.ts";

const PROGRAM = "test/processes/file_node.ts";
/** A longer sweep: `FILE_KILLS=300 deno test -A --no-check test/faults/file_kills_test.ts`. */
const KILLS = Number(process.env.FILE_KILLS ?? 3);
/** Numbers of one life of the program: more than it can use before it is killed. */
const PER_LIFE = 1_000_000;

describe("a program on a file", () => {
  // docs/file.md, crash semantics, "what was acknowledged is there": killed
  // docs/file.md, crash semantics, "it goes on": killed
  it(
    "killed under load at random moments: what was acknowledged is there, and goes on",
    { timeout: 3_600_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-kills-"));
      try {
        for (let life = 0; life < KILLS; life++) {
          const answers = 200 + Math.floor(Math.random() * 300);
          const program = await startProgram<FileNodeLine>(THIS_RUNTIME, PROGRAM, [
            ...["load", folder, `${life * PER_LIFE}`, `${answers}`],
          ]);
          assertEquals((await program.ended).by, "SIGKILL", program.output);
        }
        const program = await startProgram<FileNodeLine>(THIS_RUNTIME, PROGRAM, ["check", folder]);
        const { by } = await program.ended;
        const report = program.lines.find(({ wrong }) => wrong !== undefined);
        assertEquals([by, report?.wrong], [0, []], program.output);
        assertGreaterOrEqual(report!.acknowledged!, 200 * KILLS);
        const { tokens = [] } = report!;
        assertEquals(tokens, tokens.toSorted((a, b) => a - b), "fencing tokens grow");
        assertEquals(new Set(tokens).size, tokens.length);
        console.log(`${KILLS} kills: ${report!.acknowledged} acknowledged, ${report!.again} effects again`);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});

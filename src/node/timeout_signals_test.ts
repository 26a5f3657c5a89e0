/**
 * Tests with `AbortSignal.timeout`, which in Deno 2.9 keeps a process alive for as long as something listens to it:
 * Catga must remove its listeners.
 */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { OWN_RUNTIMES, startProgram } from "../../test/processes/node_process.ts";

describe("a process that gave AbortSignal.timeout(60_000) to all that takes a signal", () => {
  for (const runtime of OWN_RUNTIMES) {
    it(`ends by itself when all is done: nothing listens any more: ${runtime}`, { timeout: 300_000 }, async () => {
      await using program = await startProgram<{ event: string }>(runtime, "test/processes/timeout_signals.ts", []);
      await program.line(({ event }) => event === "done");
      const ended = await program.end(20_000);
      assertEquals(ended.by, 0, program.output);
    });
  }
});

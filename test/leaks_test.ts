/** An app that has drained leaves no timer and no resource, as Deno's sanitizers see it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "node:test";
import { execFile } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { requireNatsServer, startNatsServer } from "../tools/nats_server.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs the tests of a program of `test/processes` in Deno: those of `node:test` are not sanitized. */
function sanitized(program: string, ...args: string[]): Promise<{ readonly code: number; readonly output: string }> {
  const flags = ["-A", "--no-check", "--trace-leaks", "--sanitize-ops", "--sanitize-resources"];
  const env = { ...process.env, NO_COLOR: "1" };
  return new Promise((resolve) => {
    const words = ["test", ...flags, `test/processes/${program}`, "--", ...args];
    execFile("deno", words, { cwd: root, env }, (error, stdout, stderr) => {
      resolve({
        code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1,
        output: stdout + stderr,
      });
    });
  });
}

const USERS =
  "durable handlers, queued commands, locks, leadership, idempotent commands, workflows, entities, an edge, " +
  "a test cluster and the cache";

const nats = await requireNatsServer();

describe("await using app", () => {
  it(`leaves nothing, in memory: ${USERS}`, async () => {
    const { code, output } = await sanitized("no_leaks.ts");
    assertEquals(code, 0, output);
    // without a network no run is without a node that drives it
    assertStringIncludes(output, "12 passed");
  });

  it(`leaves nothing, over NATS: ${USERS}`, nats, async () => {
    await using server = await startNatsServer();
    const { code, output } = await sanitized("no_leaks.ts", server.url);
    assertEquals(code, 0, output);
    assertStringIncludes(output, "13 passed");
  });

  it("is checked by sanitizers that see a timer that is left", async () => {
    const { code, output } = await sanitized("one_leak.ts");
    assertEquals(code, 1, output);
    assertStringIncludes(output, "A timer was started in this test, but never completed");
  });
});

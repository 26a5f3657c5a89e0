import { assertEquals } from "@std/assert";
import { mkdtemp, rm } from "node:fs/promises";
import { describe, it } from "node:test";
import { tmpdir } from "node:os";
import { Processes } from "./processes.ts";
import { runTests } from "./test_run.ts";

/** Runs a shell script as if it were a test runner; it finds the path of its report in `$1`. */
async function row(script: string, limit = 20_000) {
  using processes = new Processes();
  const command = ["sh", "-c", script, "sh", "{report}"];
  const { passed, failed, skipped, notes } = await runTests(processes, {
    title: "a runner",
    command,
    files: [],
    limit,
    show: "never",
  });
  return { passed, failed, skipped, notes };
}

const passes = (name: string) => `<testcase name="${name}" classname="./a_test.ts" time="0"></testcase>`;
const fails = (name: string) => `<testcase name="${name}" classname="./a_test.ts"><failure message="no"/></testcase>`;
const report = (...cases: string[]) => `printf '<testsuites>${cases.join("")}</testsuites>' > "$1";`;

describe("runTests", () => {
  it("counts the tests of the report, and names those that failed", async () => {
    assertEquals(await row(`${report(passes("a"), passes("b"), fails("c"))} exit 1`), {
      passed: 2,
      failed: 1,
      skipped: 0,
      notes: ["c\n    no"],
    });
  });

  it("a runner that ends without a report has failed", async () => {
    assertEquals(await row("exit 0"), {
      passed: 0,
      failed: 1,
      skipped: 0,
      notes: ["ended with code 0 and without a report"],
    });
  });

  it("a runner that ran no test has failed", async () => {
    assertEquals(await row(report()), { passed: 0, failed: 1, skipped: 0, notes: ["no test ran"] });
  });

  it("a runner that exits with an error although no test failed has failed", async () => {
    assertEquals(await row(`${report(passes("a"))} exit 1`), {
      passed: 1,
      failed: 1,
      skipped: 0,
      notes: ["ended with code 1 although no test failed"],
    });
  });

  it("a runner that does not end is killed and has failed", async () => {
    assertEquals(await row(`${report(passes("a"))} sleep 60`, 5_000), {
      passed: 1,
      failed: 1,
      skipped: 0,
      notes: ["killed after 5 s"],
    });
  });

  it("a file that Deno could not load counts as one failure", async () => {
    const printed = "Uncaught error from ./src/b_test.ts FAILED";
    assertEquals(await row(`${report(passes("a"))} echo '${printed}'; exit 1`), {
      passed: 1,
      failed: 1,
      skipped: 0,
      notes: ["uncaught error: ./src/b_test.ts"],
    });
  });

  it("an error between tests in Bun counts as one failure", async () => {
    const line = "-------------------------------";
    const printed = `# Unhandled error between tests\n${line}\n1 | throw\nerror: boom\n      at a.ts:1\n${line}\n`;
    assertEquals(await row(`${report(passes("a"))} printf '%s' '${printed}'; exit 1`), {
      passed: 1,
      failed: 1,
      skipped: 0,
      notes: ["unhandled error between tests: error: boom"],
    });
  });

  it("a runner beside another one prints its output after the other's", async () => {
    using processes = new Processes();
    const folder = await mkdtemp(`${tmpdir()}/catga-order-`);
    const shown: unknown[] = [];
    const { log } = console;
    console.log = (text) => void shown.push(text);
    try {
      // ends when the second one has come to its end
      const waits = ["sh", "-c", 'while ! [ -e "$0" ]; do sleep 0.01; done', `${folder}/ended`];
      const first = processes.run(waits, { limit: 60_000, show: "never" }).then(() => shown.push("first"));
      const command = ["sh", "-c", `echo second; touch "${folder}/ended"`];
      await runTests(processes, { title: "a runner", command, files: [], limit: 60_000, show: { after: first } });
    } finally {
      console.log = log;
      await rm(folder, { recursive: true });
    }
    assertEquals(shown.map((text) => String(text).includes("second")), [false, true]);
  });
});

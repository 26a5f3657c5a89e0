/** The stand-in for `node:test` fails a test that leaves something, and counts as `node:test` does. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { runtimeBinary } from "../../test/processes/node_process.ts";
import { Processes } from "../processes.ts";
import { type Row, runTests } from "../test_run.ts";

const map = fileURLToPath(new URL("import_map.json", import.meta.url));

/** Runs a file of tests with the sanitizers, as `task test` does. */
async function run(code: string): Promise<Row> {
  using processes = new Processes();
  const folder = await mkdtemp(`${tmpdir()}/catga-sanitized-`);
  try {
    const file = `${folder}/planted_test.ts`;
    await writeFile(file, `import { after, afterEach, before, describe, it } from "node:test";\n${code}`);
    const deno = await runtimeBinary("deno");
    const command = [deno, "test", "-A", "--no-check", `--import-map=${map}`, "--junit-path={report}"];
    return await runTests(processes, { title: "planted", command, files: [file], limit: 60_000, show: "never" });
  } finally {
    await rm(folder, { recursive: true });
  }
}

const counts = ({ passed, failed, skipped }: Row) => ({ passed, failed, skipped });

describe("the sanitized node:test", () => {
  it("fails a test that leaves a timer, also one that fires before the suite ends, and not its neighbours", async () => {
    const row = await run(`
      describe("suite", () => {
        let fired;
        it("leaves one", () => void (fired = new Promise((resolve) => setTimeout(resolve, 3_000))));
        describe("inner", () => it("waits", () => fired));
        it("is clean", () => {});
      });
    `);
    assertEquals(row.notes.length, 2);
    assertMatch(row.notes[0], /^suite > leaves one\n[^]*A timer was started in this test, but never completed/);
    assertMatch(row.notes[1], /^suite > inner > waits\n[^]*A timer was started before the test, but completed/);
    assertEquals(counts(row), { passed: 1, failed: 2, skipped: 0 });
  });

  it("fails a test that leaves a file open", async () => {
    const row = await run(`it("opens", () => void Deno.openSync(${JSON.stringify(map)}));`);
    assertStringIncludes(row.notes.join(), "A file was opened during the test, but not closed during the test");
    assertEquals(counts(row), { passed: 0, failed: 1, skipped: 0 });
  });

  it("what hooks of a suite make may live as long as the suite, and is counted by nobody", async () => {
    const suite = (end: string) => `
      describe("suite", () => {
        let timer;
        before(() => timer = setInterval(() => {}, 10));
        ${end}
        it("first", () => new Promise((resolve) => setTimeout(resolve, 50)));
        it("second", () => {});
      });
    `;
    const clean = await run(suite("after(() => clearInterval(timer));"));
    assertEquals([counts(clean), clean.notes], [{ passed: 2, failed: 0, skipped: 0 }, []]);
    const leaking = await run(suite("after(() => {});"));
    assertMatch(leaking.notes[0], /^suite\n[^]*An interval was started in this test, but never completed/);
    assertEquals(counts(leaking), { passed: 2, failed: 1, skipped: 0 });
  });

  it("skips tests and suites, ends a test at its own limit or its suite's, and runs hooks behind a failure", async () => {
    const row = await run(`
      describe("skipped", { skip: "no server" }, () => {
        it("one", () => {});
        it("two", () => {});
      });
      it("skipped, too", { skip: true }, () => {});
      describe("limited", { timeout: 50 }, () => {
        let timer;
        afterEach(() => clearTimeout(timer));
        it("fails", () => {
          timer = setTimeout(() => {}, 10_000);
          throw new Error("boom");
        });
        it("hangs", () => new Promise(() => timer = setInterval(() => {}, 10)));
      });
    `);
    assertMatch(row.notes[0], /^limited > fails\n[^]*boom/);
    assertMatch(row.notes[1], /^limited > hangs\n[^]*test timed out after 50 ms/);
    assertEquals(counts(row), { passed: 0, failed: 2, skipped: 3 });
  });
});

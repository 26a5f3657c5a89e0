/**
 * Finds the tests, runs them in one runtime, and counts what really ran.
 *
 * @module
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { type Case, readReport, secondsOfFiles } from "./junit.ts";
import type { Processes } from "./processes.ts";
import { sourceFiles } from "./sources.ts";

/** The folder of the fault suite: long tests that kill, freeze and cut off processes. */
export const FAULTS = "test/faults/";

/**
 * How many files a runtime runs at once, beside as many of the other one: most tests wait more than half of the time.
 * With three for each core, tests took a fifth more of the processor, and no less time.
 */
export const JOBS = Math.min(availableParallelism() * 2, 12);

/** The outcome of one run of a runner. */
export interface Row {
  /** Which runner, on what. */
  readonly title: string;
  /** Tests that ran and passed. */
  readonly passed: number;
  /** Tests that failed, files that could not be run, and 1 when the runner itself failed. */
  readonly failed: number;
  /** Tests that were skipped. */
  readonly skipped: number;
  /** How long it took. */
  readonly ms: number;
  /** The tests that failed, with their errors; what else went wrong, and what was not tested. */
  readonly notes: readonly string[];
  /** Seconds that each of its files took, where the runner reports them. */
  readonly seconds?: ReadonlyMap<string, number> | undefined;
}

/** A run of a runner, for {@link runTests}. */
export interface TestRun {
  /** Which runner, on what. */
  readonly title: string;
  /** The runner up to its files; `{report}` stands for the path of the JUnit report. */
  readonly command: readonly string[];
  /** The files. */
  readonly files: readonly string[];
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** ms after which the runner is killed. */
  readonly limit: number;
  /** When its output is shown: as it comes, never, or when it and the run before it have ended. */
  readonly show?: "as it comes" | "never" | { readonly after: Promise<unknown> } | undefined;
}

/**
 * Runs tests and counts them. A test that fails, hangs or ends its process makes a row that says so, and no rejection.
 */
export async function runTests(processes: Processes, run: TestRun): Promise<Row> {
  const { title, command, files, env, limit, show = "as it comes" } = run;
  const heading = `\n── ${title}\n`;
  const live = show === "as it comes";
  if (live) console.log(heading);
  const folder = await mkdtemp(`${tmpdir()}/catga-test-`);
  const report = `${folder}/report.xml`;
  try {
    const words = [...command.map((word) => word.replace("{report}", report)), ...files];
    const { code, late, output, ms } = await processes.run(words, { env, limit, show: live ? "always" : "never" });
    if (typeof show === "object") {
      await show.after;
      console.log(`${heading}\n${output}`);
    }
    const xml = await readFile(report, "utf8").catch(() => undefined);
    const cases = xml === undefined ? [] : readReport(xml);
    const count = (outcome: string) => cases.filter((one) => one.outcome === outcome).length;
    const passed = count("passed");
    const skipped = count("skipped");
    const broken = errorsBetweenTests(output);
    const notes = [...cases.filter((one) => one.outcome === "failed").map(failedTest), ...broken];
    const ran = passed + notes.length + skipped;
    if (late) notes.push(`killed after ${limit / 1000} s`);
    else if (xml === undefined) notes.push(`ended with code ${code} and without a report`);
    else if (ran === 0) notes.push("no test ran");
    else if (code !== 0 && notes.length === 0) notes.push(`ended with code ${code} although no test failed`);
    return {
      title,
      passed,
      failed: notes.length,
      skipped,
      ms,
      notes,
      seconds: xml === undefined ? undefined : secondsOfFiles(xml),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A failed test's name, and the first lines of its error: the whole stands in the runner's output. */
function failedTest({ name, error = "failed" }: Case): string {
  return [name, ...error.trim().split("\n").slice(0, 40)].join("\n    ");
}

/** Files that could not be loaded, and errors outside of tests: the reports of both runners leave them out. */
function errorsBetweenTests(output: string): string[] {
  const inDeno = [...output.matchAll(/^Uncaught error from (\S+) FAILED/gm)].map(([, file]) =>
    `uncaught error: ${file}`
  );
  const inBun = [...output.matchAll(/^# Unhandled error between tests\n-+\n([\s\S]*?)\n-{10,}$/gm)]
    .map(([, text]) => `unhandled error between tests: ${text.match(/^\w*[Ee]rror: .*/m)?.[0] ?? "see above"}`);
  return [...inDeno, ...inBun];
}

/** The test files below these paths. */
export async function testFiles(root: string, paths: readonly string[]): Promise<string[]> {
  return (await sourceFiles(root, paths)).filter((file) => file.endsWith("_test.ts"));
}

/** Prints the rows as a table, then their notes, then the sums as the last line; returns the sums. */
export function printSummary(rows: readonly Row[]): { passed: number; failed: number; skipped: number } {
  const sum = (what: "passed" | "failed" | "skipped") => rows.reduce((total, row) => total + row[what], 0);
  const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
  const width = Math.max(...rows.map((row) => row.title.length));
  console.log(`\n${"".padEnd(width)}   passed   failed  skipped     time`);
  for (const { title, passed, failed, skipped, ms } of rows) {
    const figures = [passed, failed, skipped].map((figure) => String(figure).padStart(9)).join("");
    console.log(`${title.padEnd(width)}${figures}${`${(ms / 1000).toFixed(1)} s`.padStart(9)}`);
  }
  for (const { title, notes } of rows) for (const note of notes) console.log(`${title}: ${note}`);
  const skips = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  console.log(`\n${total.passed} passed, ${total.failed} failed${skips}`);
  return total;
}

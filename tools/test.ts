/**
 * `deno task test`: every test in Deno and in Bun, and the examples in the docs; not the fault suite.
 *
 *   deno task test                      everything
 *   deno task test src/nats --deno      the tests below a folder, in Deno only (--bun, --doc likewise)
 *   deno task test:faults               the fault suite, in Deno
 *
 * The fault suite ({@link FAULTS}) runs in Deno alone, unless a flag says otherwise: its processes run in both runtimes
 * whichever one drives it.
 *
 * Needs nothing but Deno and npm: Bun comes from npm when the one on PATH has another version. Ends with
 * `N passed, N failed` (and `, N skipped`), N being single tests; the exit code is 1 when one failed or none ran.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BUN_VERSION, bunCommand } from "./bun.ts";
import { bundleTests, longestFirst } from "./bundles.ts";
import { findExamples, writeExamples } from "./examples.ts";
import { findNatsServer } from "./nats_binary.ts";
import { Processes } from "./processes.ts";
import { FAULTS, JOBS, printSummary, type Row, runTests, testFiles, type TestRun } from "./test_run.ts";

const MINUTES = 60_000;
/** What hangs is ended after this; a machine that is busy with other work takes many times as long as an idle one. */
const LIMIT = 60 * MINUTES;
/** The fault suite's files of the log, and how many of them run at once; of the others, which take more of the machine, fewer do. */
const LOG = /\/faults\/log_\w+_test\.ts$/;
const LOG_JOBS = 3;
const FAULT_JOBS = 2;
const BUN = `Bun ${BUN_VERSION}`;

const flags = Deno.args.filter((word) => word.startsWith("--"));
const paths = Deno.args.filter((word) => !word.startsWith("--"));
const unknown = flags.filter((flag) => !["--deno", "--bun", "--doc"].includes(flag));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(" ")}; known are --deno, --bun and --doc, and paths`);
  Deno.exit(2);
}
const wants = (flag: string) => flags.length === 0 || flags.includes(flag);

const root = fileURLToPath(new URL("..", import.meta.url));
Deno.chdir(root);
const runsFaults = paths.some((path) => `${path}/`.startsWith(FAULTS));
const found = (await testFiles(root, paths.length > 0 ? paths : ["src", "examples", "bench", "test", "tools"]))
  .filter((file) => runsFaults || !file.startsWith(FAULTS));
const files = longestFirst(found);
const log = runsFaults ? found.filter((file) => LOG.test(file)) : [];
const groups: readonly Group[] = log.length > 0
  ? [
    { of: "", files: found.filter((file) => !LOG.test(file)), jobs: FAULT_JOBS },
    { of: ", the log", files: log, jobs: LOG_JOBS },
  ].filter(({ files }) => files.length > 0)
  : [{ of: "", files, jobs: runsFaults ? FAULT_JOBS : JOBS }];
const examples = await findExamples(
  root,
  paths.length > 0 ? paths : ["mod.ts", "src", "README.md", "README.zh-CN.md", "docs"],
);

// in the repository: the examples import the package by its name
await Deno.mkdir(".cache", { recursive: true });
const scratch = await Deno.makeTempDir({ dir: join(root, ".cache"), prefix: "test-" });
addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));
using processes = new Processes();
const rows: Promise<Row>[] = [];
// before any test: tests in Deno start processes in Bun
const bun = wants("--bun") && found.length > 0 ? await bunWithPackages() : undefined;
// where there is none, it is fetched once here, and not by each test file
if (found.length > 0) await findNatsServer();
for (const { of, files, jobs } of wants("--deno") && found.length > 0 ? groups : []) {
  // `task check` looks at the types, of all files at once
  const command = [Deno.execPath(), "test", "-A", "--no-check", "--parallel", "--junit-path={report}"];
  const env = { DENO_JOBS: `${jobs}` };
  const bundles = runsFaults ? files : await bundleTests(scratch, root, files);
  await start({ title: `Deno ${Deno.version.deno}${of}`, command, files: bundles, env, limit: LIMIT });
}
if (bun !== undefined && "title" in bun) rows.push(Promise.resolve(bun));
else if (bun !== undefined) {
  // Bun starts what took longest by these, in ms
  const timings = join(scratch, "timings.json");
  const times = files.map((file, at) => [file, files.length - at]);
  await Deno.writeTextFile(timings, JSON.stringify({ version: 1, files: Object.fromEntries(times) }));
  for (const { of, files, jobs } of groups) {
    // Bun's default is 5 s a test; it reads a path without ./ as a part of a name
    const options = ["--timeout=300000", `--parallel=${jobs}`, "--no-isolate", `--timings=${timings}`];
    const command = [...bun, "test", ...options, "--reporter=junit", "--reporter-outfile={report}"];
    await start({ title: `${BUN}${of}`, command, files: files.map((file) => `./${file}`), limit: LIMIT });
  }
}
if (wants("--doc") && examples.length > 0) {
  // with their types
  const command = [Deno.execPath(), "test", "-A", "--junit-path={report}"];
  const files = await writeExamples(scratch, examples);
  await start({ title: "Deno, examples in docs", command, files, limit: LIMIT });
}
if (rows.length === 0) {
  console.error(`no tests in ${paths.join(" ")}`);
  console.log("\n0 passed, 0 failed");
  Deno.exit(1);
}
const { passed, failed } = printSummary(await Promise.all(rows));
Deno.exit(failed > 0 || passed === 0 ? 1 : 0);

/** Files that share a runner. */
interface Group {
  /** For its title. */
  readonly of: string;
  readonly files: readonly string[];
  /** How many of them run at once. */
  readonly jobs: number;
}

/** Starts a runner beside the others, whose output comes first; the fault suite runs alone. */
async function start(run: TestRun): Promise<void> {
  const before = rows.at(-1);
  const row = runTests(processes, { ...run, show: before && { after: before } });
  rows.push(row);
  if (runsFaults) await row;
}

/** The command that starts Bun, once its packages are installed; a failed row when they cannot be. */
async function bunWithPackages(): Promise<readonly string[] | Row> {
  const bun = await bunCommand(processes);
  const { code, ms } = await processes.run([...bun, "install", "--frozen-lockfile"], {
    limit: 3 * MINUTES,
    show: "on failure",
  });
  if (code === 0) return bun;
  return { title: BUN, passed: 0, failed: 1, skipped: 0, ms, notes: ["its packages could not be installed"] };
}

/**
 * `deno task test`: the tests in Deno and in Bun, and the examples in the docs; not the long ones, not the fault suite.
 *
 *   deno task test                      all but the long ones; in one runtime what has nothing of a runtime
 *   deno task test src/nats --deno      all tests below a folder, in Deno only (--bun, --doc likewise)
 *   deno task test:long                 the long ones: `isLong` of `bundles.ts`
 *   deno task test:file                 those that keep state in memory, on files: `runsOnFile` of `bundles.ts`
 *   deno task test:faults               the fault suite, in Deno
 *   deno task test:all                  all of these, what only guards a release (`guardsRelease` of `bundles.ts`),
 *                                       all cells of those of which a change plays a share (`isSwept`), and what a
 *                                       change plays in one runtime in the other one (`--other`; `onlyRuntime`)
 *
 * The fault suite ({@link FAULTS}) runs in Deno alone, unless a flag says otherwise: its processes run in both runtimes
 * whichever one drives it.
 *
 * In Deno all but the fault suite and those on files run under its sanitizers: a test that leaves a timer, a process or
 * a body fails.
 *
 * Needs nothing but Deno and npm: Bun comes from npm when the one on PATH has another version. Ends with
 * `N passed, N failed` (and `, N skipped`), N being single tests; the exit code is 1 when one failed or none ran.
 *
 * @module
 */
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BUN_VERSION, bunBinary } from "./bun.ts";
import { FOLDER } from "../test/on_file/storage.ts";
import { VARIABLE as BEFORE_RELEASE } from "../test/support/before_release.ts";
import {
  bundleTests,
  guardsRelease,
  isLong,
  isSwept,
  longestFirst,
  misjudged,
  onlyRuntime,
  runsOnFile,
  secondsOf,
} from "./bundles.ts";
import { findExamples, LENDER, PAGES, writeExamples } from "./examples.ts";
import { findNatsServer } from "./nats_binary.ts";
import { Processes } from "./processes.ts";
import { FAULTS, JOBS, printSummary, type Row, runTests, testFiles, type TestRun } from "./test_run.ts";

const MINUTES = 60_000;
/** What hangs is ended after this; a machine that is busy with other work takes many times as long as an idle one. */
const LIMIT = 60 * MINUTES;
/** Files of the fault suite that run at once: each has a cluster of processes, which wait two thirds of the time. */
const FAULT_JOBS = 6;
const BUN = `Bun ${BUN_VERSION}`;

const { values: { long, release, other, file: onFile, ...wanted }, positionals: paths } = words();
const wants = (what: keyof typeof wanted) => Object.keys(wanted).length === 0 || wanted[what] === true;

const root = fileURLToPath(new URL("..", import.meta.url));
Deno.chdir(root);
// files of the fault suite start processes in both runtimes, and run in one
const runsFaults = release || paths.some((path) => `${path}/`.startsWith(FAULTS));
const found = (await testFiles(root, paths.length > 0 ? paths : ["src", "examples", "bench", "test", "tools"]))
  .filter(release ? (file) => guardsRelease(file) || isSwept(file) : (file) => isNamed(file) || !guardsRelease(file))
  .filter((file) => runsFaults || !file.startsWith(FAULTS))
  .filter((file) =>
    onFile ? runsOnFile(file) : release || other || (long ? isLong(file) : paths.length > 0 || !isLong(file))
  );
const files = longestFirst(found);
/** Whoever names paths wants both runtimes. */
const [inDeno, inBun] = paths.length > 0 || release || onFile ? [files, files] : await sharedOut();
const jobs = runsFaults ? FAULT_JOBS : JOBS;
const examples = long || release || other || onFile ? [] : await findExamples(
  root,
  paths.length > 0 ? paths : PAGES,
);

// in the repository: the examples import the package by its name
await Deno.mkdir(".cache", { recursive: true });
const scratch = await Deno.makeTempDir({ dir: join(root, ".cache"), prefix: "test-" });
addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));
if (onFile) {
  const folder = join(scratch, "files");
  await Deno.mkdir(folder);
  Deno.env.set(FOLDER, folder);
}
if (release) Deno.env.set(BEFORE_RELEASE, "1");
using processes = new Processes();
const rows: Promise<Row>[] = [];
// before any test: tests in Deno start processes in Bun
const bun = found.length > 0 && (wants("bun") || runsFaults) ? await bunWithPackages() : undefined;
await putOnPath("deno", Deno.execPath());
if (typeof bun === "string") await putOnPath("bun", bun);
// where there is none, it is fetched once here, and not by each test file
if (found.length > 0) await findNatsServer();
if (wants("deno") && inDeno.length > 0) {
  // `task check` looks at the types, of all files at once
  // what the processes of the fault suite leave is theirs
  // the files of `test:file` are closed when their networks are collected
  const map = onFile ? "test/on_file" : "tools/sanitized";
  const mapped = runsFaults ? [] : [`--import-map=${join(root, map, "import_map.json")}`];
  const command = [Deno.execPath(), "test", "-A", "--no-check", "--parallel", ...mapped, "--junit-path={report}"];
  const bundles = runsFaults ? inDeno : await bundleTests(scratch, root, inDeno);
  const env = { DENO_JOBS: `${jobs}` };
  await start({ title: `Deno ${Deno.version.deno}`, command, files: bundles, env, limit: LIMIT });
}
if (typeof bun === "object") rows.push(Promise.resolve(bun));
else if (bun !== undefined && wants("bun") && inBun.length > 0) {
  // by these times, in ms, Bun starts the longest first
  const timings = join(scratch, "timings.json");
  const times = inBun.map((file) => [file, secondsOf(file) * 1_000]);
  await Deno.writeTextFile(timings, JSON.stringify({ version: 1, files: Object.fromEntries(times) }));
  // Bun's default is 5 s a test; it reads a path without ./ as a part of a name
  const preloaded = onFile ? ["--preload=./test/on_file/preload.ts"] : [];
  const options = ["--timeout=300000", `--parallel=${jobs}`, "--no-isolate", `--timings=${timings}`, ...preloaded];
  const command = [bun, "test", ...options, "--reporter=junit", "--reporter-outfile={report}"];
  await start({ title: BUN, command, files: inBun.map((file) => `./${file}`), limit: LIMIT });
}
if (wants("doc") && examples.length > 0) {
  // `task check` looks at their types, with those of all sources
  const command = [Deno.execPath(), "test", "-A", "--no-check", "--junit-path={report}"];
  const files = await writeExamples(scratch, examples, await findExamples(root, [LENDER]));
  await start({ title: "Deno, examples in docs", command, files, limit: LIMIT });
}
if (rows.length === 0) {
  console.error(`no tests in ${paths.join(" ")}`);
  console.log("\n0 passed, 0 failed");
  Deno.exit(1);
}
const ended = await Promise.all(rows);
// for whoever changes the order: how long a file takes is the machine's as well
for (const line of misjudged(files, ended)) console.log(line);
const { passed, failed } = printSummary(ended);
Deno.exit(failed > 0 || passed === 0 ? 1 : 0);

/** The files that Deno runs, and those that Bun runs: with `--other` what each leaves to the other one. */
async function sharedOut(): Promise<[inDeno: string[], inBun: string[]]> {
  const only = new Map(
    await Promise.all(
      files.map(async (file) => [file, onlyRuntime(file, await Deno.readTextFile(join(root, file)))] as const),
    ),
  );
  const besides = (runtime: "deno" | "bun") =>
    files.filter((file) => other ? only.get(file) === runtime : only.get(file) !== runtime);
  return [besides("bun"), besides("deno")];
}

/** True for a file that was asked for by its path, and not by a folder. */
function isNamed(file: string): boolean {
  return paths.some((path) => path.replace(/^\.\//, "") === file);
}

/** The flags and the paths; ends this process if a flag is unknown. */
function words() {
  const flag = { type: "boolean" } as const;
  try {
    return parseArgs({
      allowPositionals: true,
      options: { deno: flag, bun: flag, doc: flag, long: flag, release: flag, other: flag, file: flag },
    });
  } catch (error) {
    console.error(
      `${(error as Error).message}; known are --deno, --bun, --doc, --long, --release, --other and --file, and paths`,
    );
    Deno.exit(2);
  }
}

/** Starts a runner beside the others, whose output comes first; the fault suite runs alone. */
async function start(run: TestRun): Promise<void> {
  const before = rows.at(-1);
  const row = runTests(processes, { ...run, show: before && { after: before } });
  rows.push(row);
  if (runsFaults) await row;
}

/** So that the tests find the executable itself by its name, and do not ask npm for it in every process. */
async function putOnPath(name: string, binary: string): Promise<void> {
  const folder = join(scratch, "bin");
  await Deno.mkdir(folder, { recursive: true });
  await Deno.symlink(binary, join(folder, name));
  const path = Deno.env.get("PATH") ?? "";
  if (!path.startsWith(folder)) Deno.env.set("PATH", `${folder}${delimiter}${path}`);
}

/** Bun's executable, once its packages are installed; a failed row when they cannot be. */
async function bunWithPackages(): Promise<string | Row> {
  const bun = await bunBinary(processes);
  const { code, ms } = await processes.run([bun, "install", "--frozen-lockfile"], {
    limit: 3 * MINUTES,
    show: "on failure",
  });
  if (code === 0) return bun;
  return { title: BUN, passed: 0, failed: 1, skipped: 0, ms, notes: ["its packages could not be installed"] };
}

/**
 * `deno task test`: every test in Deno and in Bun, and the examples in the docs.
 *
 *   deno task test                      everything
 *   deno task test src/nats --deno      the tests below a folder, in Deno only (--bun, --doc likewise)
 *   deno task test:faults               the fault suite, in Deno
 *
 * The fault suite (`src/faults/`) mistreats processes of both runtimes whichever one drives it, so that it runs once, in
 * Deno, unless its paths are given.
 *
 * Needs nothing but Deno and npm: Bun comes from npm when PATH has none of the wanted version. Ends with
 * `N passed, N failed` (and `, N skipped`), N being single tests; the exit code is 1 when one failed or none ran.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { BUN_VERSION, bunCommand } from "./bun.ts";
import { Processes } from "./processes.ts";
import { exampleFiles, printSummary, type Row, runTests, testFiles } from "./test_run.ts";

const MINUTES = 60_000;
const FAULTS = "src/faults/";
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
const all = await testFiles(root, paths.length > 0 ? paths : ["src", "examples", "bench", "scripts"]);
const [tests, faults] = [all.filter((file) => !file.startsWith(FAULTS)), all.filter((file) => file.startsWith(FAULTS))];
/** Whether the fault suite was asked for by name. */
const named = paths.some((path) => `${path}/`.startsWith(FAULTS));
const examples = await exampleFiles(
  root,
  paths.length > 0 ? paths : ["mod.ts", "src", "README.md", "README.zh-CN.md", "docs"],
);

using processes = new Processes();
const rows: Row[] = [];
const inBunToo = named ? all : tests;
// before any test: those in Deno start processes in Bun
const bun = wants("--bun") && inBunToo.length > 0 ? await bunWithPackages() : undefined;
// most tests wait most of the time, so both runtimes go through them at once; what Bun prints comes when it has ended
const both = wants("--deno") && tests.length > 0;
const bunRow = bun && testInBun(bun, both ? "at the end" : "as it comes");
const inDeno = [Deno.execPath(), "test", "-A", "--junit-path={report}"];
if (wants("--deno") && tests.length > 0) {
  const title = `Deno ${Deno.version.deno}`;
  rows.push(await runTests(processes, { title, command: inDeno, files: tests, limit: 9 * MINUTES }));
}
if (bunRow !== undefined) rows.push(await bunRow);
// alone: it judges how soon something is noticed
if (wants("--deno") && faults.length > 0) {
  rows.push(await runTests(processes, { title: "faults", command: inDeno, files: faults, limit: 6 * MINUTES }));
}
if (wants("--doc") && examples.length > 0) {
  const command = [Deno.execPath(), "test", "-A", "--doc", "--junit-path={report}"];
  rows.push(
    await runTests(processes, { title: "Deno, examples in docs", command, files: examples, limit: 2 * MINUTES }),
  );
}
if (rows.length === 0) {
  console.error(`no tests in ${paths.join(" ")}`);
  console.log("\n0 passed, 0 failed");
  Deno.exit(1);
}
const { passed, failed } = printSummary(rows);
Deno.exit(failed > 0 || passed === 0 ? 1 : 0);

/** The words that start Bun, when its packages are there; what went wrong otherwise. */
async function bunWithPackages(): Promise<readonly string[] | Row> {
  const bun = await bunCommand(processes);
  const { code, ms } = await processes.run([...bun, "install", "--frozen-lockfile"], {
    limit: 3 * MINUTES,
    show: "on failure",
  });
  if (code === 0) return bun;
  return { title: BUN, passed: 0, failed: 1, skipped: 0, ms, notes: ["its packages could not be installed"] };
}

async function testInBun(bun: readonly string[] | Row, show: "as it comes" | "at the end"): Promise<Row> {
  if ("title" in bun) return bun;
  // Bun gives a test 5 s otherwise, and takes a path without ./ for a part of a name
  const command = [...bun, "test", "--timeout=120000", "--reporter=junit", "--reporter-outfile={report}"];
  const files = inBunToo.map((file) => `./${file}`);
  return await runTests(processes, { title: BUN, command, files, limit: 9 * MINUTES, show });
}

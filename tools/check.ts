/**
 * `deno task check`: format, lint, types, imports, docs and publishing; then the tests, and small programs, on
 * the package as published.
 *
 * What runs as published needs a JSR registry that accepts packages: CATGA_REGISTRY names its `registry.ts`,
 * `../shared/jsr/registry.ts` unless set. Without one it is left out, and the output says so.
 *
 *   deno task check                          all of it
 *   deno task check --no-published-tests     without the tests as published, which wait for a server as others do
 *   deno task check --published-tests        these alone
 *   deno task check --published-tests --release      before a release: with those that take long
 *
 * Ends with `N passed, N failed`: of the tests and programs that ran as published; a failed check counts as 1 failed.
 *
 * @module
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findExamples, LENDER, PAGES, writeExamples } from "./examples.ts";
import { readImports } from "./import_graph.ts";
import { importViolations } from "./import_rules.ts";
import { Processes } from "./processes.ts";
import { consumePublished, LEFT_OUT, testPublished } from "./published.ts";
import { registryAt } from "./registry.ts";
import { sourceFiles } from "./sources.ts";
import { printSummary, type Row } from "./test_run.ts";

const MINUTES = 60_000;
const [ALONE, WITHOUT, RELEASE] = ["--published-tests", "--no-published-tests", "--release"];
const words = Deno.args.join(" ");
if (!["", ALONE, WITHOUT, `${ALONE} ${RELEASE}`].includes(words)) {
  console.error(`${words}: known are ${ALONE}, ${ALONE} ${RELEASE} or ${WITHOUT}`);
  Deno.exit(2);
}
/** What hangs is ended after this; beside other work, as in `.ci/run`, a check takes many times as long as alone. */
const LIMIT = 60 * MINUTES;

const root = fileURLToPath(new URL("..", import.meta.url));
Deno.chdir(root);
const { path: registry, exists: published } = registryAt(root);
const deno = Deno.execPath();
const jsr: Record<"exports" | "imports", Record<string, string>> = JSON.parse(await Deno.readTextFile("jsr.json"));
const entrypoints = Object.values(jsr.exports);
const code = ["mod.ts", "src", "examples", "bench/*.ts", "bench/programs", "bench/sections", "test", "tools"];

using processes = new Processes();
// side by side: a check of types keeps one core busy, and most tests wait
const checks = async () => [
  check("format", [deno, "fmt", "--check"]),
  check("lint", [deno, "lint"]),
  check("types, lock file", [deno, "check", "--frozen", ...code, ...await writtenExamples()]),
  check("types of the bench's peers", [deno, "check", "--frozen", "--config", "bench/deno.json", "bench/peers"]),
  imports(),
  docs(),
  check("contracts of the shop", [
    ...[deno, "run", "-A", "src/cli/main.ts", "check", "--against", "examples/shop/contracts.json"],
    ...["contracts", "orders", "mails", "payments"].map((name) => `examples/shop/${name}.ts`),
  ]),
  ...(published ? [consumePublished(processes, root, registry)] : [publishing(), untested()]),
];
const publishedTests = () =>
  published
    ? [
      testPublished(processes, root, registry, Deno.args.includes(RELEASE) ? [] : LEFT_OUT),
    ]
    : [];
const rows = await Promise.all<Row | Row[]>([
  ...(Deno.args.includes(ALONE) ? [] : await checks()),
  ...(Deno.args.includes(WITHOUT) ? [] : publishedTests()),
]);
if (rows.length === 0) rows.push(untested());
const { failed } = printSummary(rows.flat());
Deno.exit(failed > 0 ? 1 : 0);

function untested(): Row {
  const notes = [`NOT TESTED: there is no registry at ${registry} (CATGA_REGISTRY names one)`];
  return printed({ title: "as published", passed: 0, failed: 0, skipped: 1, ms: 0, notes });
}

async function check(title: string, command: readonly string[]): Promise<Row> {
  const { code, late, ms } = await processes.run(command, { limit: LIMIT, show: "on failure" });
  const notes = late
    ? [`took longer than ${LIMIT / MINUTES} minutes`]
    : code === 0
    ? []
    : [`FAILED: ${commandLine(command)}`];
  return printed({ title, passed: 0, failed: notes.length, skipped: 0, ms, notes });
}

/** The examples of the docs as modules, in a folder that is removed at the end: `task test` runs them. */
async function writtenExamples(): Promise<string[]> {
  // in the repository: they import the package by its name
  await Deno.mkdir(".cache", { recursive: true });
  const scratch = await Deno.makeTempDir({ dir: join(root, ".cache"), prefix: "check-" });
  addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));
  return await writeExamples(scratch, await findExamples(root, PAGES), await findExamples(root, [LENDER]));
}

/** A dry run, where nothing is published; it needs the packages that `jsr.json` names. */
async function publishing(): Promise<Row> {
  const title = "publishing";
  const probe = [deno, "cache", "--no-lock", jsr.imports["@nats-io/nats-core"]];
  const { code, ms } = await processes.run(probe, { limit: 1 * MINUTES, show: "never" });
  if (code === 0) {
    return await check(title, [deno, "publish", "--config", "jsr.json", "--allow-dirty", "--dry-run"]);
  }
  return printed({ title, passed: 0, failed: 0, skipped: 1, ms, notes: ["NOT TESTED: JSR is out of reach"] });
}

/** `deno doc --lint` also reports types of nats.js that are exported again; their docs cannot be changed here. */
async function docs(): Promise<Row> {
  const { code, output, ms } = await processes.run([deno, "doc", "--lint", ...entrypoints], {
    limit: LIMIT,
    show: "never",
  });
  const errors = output.split(/^(?=error)/m).filter((text) => /^ *--> /m.test(text));
  const own = errors.filter((text) => text.match(/^ *--> (.*)/m)?.[1].startsWith(root));
  if (own.length > 0) console.log(own.join(""));
  else if (errors.length === 0 && code !== 0) console.log(output);
  const failed = own.length > 0 || (errors.length === 0 && code !== 0) ? 1 : 0;
  const notes = failed > 0 ? [`FAILED: deno doc --lint: ${own.length} errors`] : [];
  return printed({ title: "docs", passed: 0, failed, skipped: 0, ms, notes });
}

async function imports(): Promise<Row> {
  const started = performance.now();
  const files = (await sourceFiles(root, ["mod.ts", "src"])).filter((file) => file.endsWith(".ts"));
  const notes = importViolations(await readImports(root, files));
  const ms = performance.now() - started;
  return printed({ title: "imports", passed: 0, failed: notes.length > 0 ? 1 : 0, skipped: 0, ms, notes });
}

function printed(row: Row): Row {
  console.log(`${row.failed > 0 ? "FAILED " : row.skipped > 0 ? "skipped" : "ok     "}  ${row.title}`);
  return row;
}

function commandLine(command: readonly string[]): string {
  return command.map((word) => word === deno ? "deno" : word).join(" ");
}

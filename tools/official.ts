/**
 * `deno task test:official`: tests over `@nats-io/transport-deno`, in a copy of this tree in which that package is the
 * default in Deno, as with `transport: "official"`, also of the processes that tests start. Packages come from a JSR
 * registry, which it needs, as `check.ts` does.
 *
 *   deno task test:official                            the tests of src/nats, in 2 minutes
 *   deno task test:official test/faults src/state      those below these paths; the fault suite after the others
 *   deno task test:official --soak 10                  the soak of so many minutes
 *
 * @module
 */
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Processes } from "./processes.ts";
import { registryAt } from "./registry.ts";
import { copyFiles, sourceFiles } from "./sources.ts";
import { FAULTS, JOBS, printSummary, type Row, runTests, testFiles } from "./test_run.ts";

const MINUTES = 60_000;
const PARTS = ["mod.ts", "src", "test", "tools", "bench", "docs", "examples", "package.json", "tsconfig.json"];
const PAGES = ["README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "jsr.json"];
/** The tests of the file that stands in for the package. */
const OF_STAND_IN = "src/nats/connection/deno_transport_test.ts";
/** Names of tests of what the package does not do: docs/internals/upstream.md has why. They may fail. */
const OF_PACKAGE = ["nodes: ends when a server does not answer its dial, as one behind a firewall"];
/** The line of `src/nats/connection/driver.ts` that chooses, and what it is in the copy. */
const CHOICE = ['const DEFAULT_IN_DENO: DriverName = "deno";', 'const DEFAULT_IN_DENO: DriverName = "official";'];

const { values: { soak }, positionals } = parseArgs({ allowPositionals: true, options: { soak: { type: "string" } } });
const root = fileURLToPath(new URL("..", import.meta.url));
const registry = registryAt(root);
if (!registry.exists) throw new Error(`there is no registry at ${registry.path} (CATGA_REGISTRY names one)`);
using processes = new Processes();
// in the repository: /tmp may be a small disk
await mkdir(join(root, ".cache"), { recursive: true });
const scratch = await mkdtemp(join(root, ".cache", "official-"));
let failed: number;
try {
  const tree = await officialTree(join(scratch, "tree"));
  failed = soak === undefined ? printSummary(await test(tree)).failed : await runSoak(tree, soak);
} finally {
  await rm(scratch, { recursive: true });
}
process.exit(failed > 0 ? 1 : 0);

/** Lays the copy out, with the packages of `jsr.json`; Bun takes those of this tree. */
async function officialTree(tree: string): Promise<string> {
  const files = await sourceFiles(root, [...PARTS, ...PAGES]);
  await copyFiles(root, files, tree);
  await symlink(join(root, "node_modules"), join(tree, "node_modules"), "junction");
  const [deno, jsr] = await Promise.all(
    ["deno.json", "jsr.json"].map(async (name) => JSON.parse(await readFile(join(root, name), "utf8"))),
  );
  const { imports, scopes } = jsr;
  await writeFile(join(tree, "deno.json"), JSON.stringify({ ...deno, imports, scopes, lock: false }));
  const file = join(tree, "src/nats/connection/driver.ts");
  const driver = await readFile(file, "utf8");
  if (!driver.includes(CHOICE[0])) throw new Error(`src/nats/connection/driver.ts does not have ${CHOICE[0]}`);
  await writeFile(file, driver.replace(CHOICE[0], CHOICE[1]));
  return tree;
}

async function test(tree: string): Promise<Row[]> {
  const files = (await testFiles(tree, positionals.length > 0 ? positionals : ["src/nats"]))
    .filter((file) => file !== OF_STAND_IN);
  const rows: Row[] = [];
  for (const isOfFaults of [false, true]) {
    const chosen = files.filter((file) => file.startsWith(FAULTS) === isOfFaults);
    if (chosen.length === 0) continue;
    const row = await runTests(processes, {
      title: `${isOfFaults ? "faults " : ""}over @nats-io/transport-deno`,
      command: [...inRegistry("test"), "--no-check", "--parallel", "--junit-path={report}"],
      files: chosen.map((file) => join(tree, file)),
      env: { DENO_JOBS: `${isOfFaults ? 2 : JOBS}` },
      limit: 60 * MINUTES,
    });
    const isOfPackage = (note: string) => OF_PACKAGE.some((name) => note.split("\n")[0].endsWith(name));
    const known = row.notes.filter(isOfPackage).map((note) => `not done by the package: ${note.split("\n")[0]}`);
    rows.push({
      ...row,
      failed: row.failed - known.length,
      skipped: row.skipped + known.length,
      notes: [...row.notes.filter((note) => !isOfPackage(note)), ...known],
    });
  }
  return rows;
}

async function runSoak(tree: string, minutes: string): Promise<number> {
  const command = [...inRegistry("run"), "--no-check", join(tree, "test/soak/soak.ts"), "--minutes", minutes];
  return (await processes.run(command, { limit: (Number(minutes) + 10) * MINUTES })).code;
}

/** A subcommand of Deno whose addresses of JSR lead to the registry. */
function inRegistry(subcommand: "run" | "test"): string[] {
  return [Deno.execPath(), "run", "-A", registry.path, subcommand, "-A"];
}

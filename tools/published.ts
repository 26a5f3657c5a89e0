/**
 * Runs the tests on the published dependencies (`jsr.json` as import map, `@std` and `@nats-io` from JSR), and the
 * programs of `tools/consumer/` on the package itself, from a registry on this machine, in Deno, in Bun and in Node.
 *
 * @module
 */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUN_VERSION, bunBinary } from "./bun.ts";
import { bundleTests, secondsOf } from "./bundles.ts";
import { NODE_VERSION, nodeCommand } from "./node.ts";
import { readImports } from "./import_graph.ts";
import { requireNatsServer, startNatsServer } from "./nats_server.ts";
import type { Processes } from "./processes.ts";
import { isTestCode, sourceFiles } from "./sources.ts";
import { FAULTS, JOBS, type Row, runTests, testFiles } from "./test_run.ts";

const MINUTES = 60_000;
/** What hangs is ended after this; beside other work, as in `.ci/run`, all of it takes many times as long as alone. */
const LIMIT = 60 * MINUTES;

/** Runs {@link publishedTests} with `jsr.json` for import map, all of them or without those that are left out. */
export async function testPublished(
  processes: Processes,
  root: string,
  registry: string,
  leftOut: readonly string[],
): Promise<Row> {
  // in the repository: its settings hold for the types
  await mkdir(join(root, ".cache"), { recursive: true });
  const scratch = await mkdtemp(join(root, ".cache", "published-"));
  try {
    // `task check` looks at the types of the tests, and publishing at those of the sources with these packages
    const options = ["--parallel", "--no-check", "--config", "jsr.json", "--junit-path={report}"];
    return await runTests(processes, {
      title: "as published, Deno",
      command: [Deno.execPath(), "run", "-A", registry, "test", "-A", ...options],
      files: await bundleTests(scratch, root, await publishedTests(root, leftOut)),
      // as many as in both runtimes together: most wait
      env: { DENO_JOBS: `${2 * JOBS}` },
      limit: LIMIT,
    });
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** What such a test may import of `test/` and `tools/`. */
const ALLOWED = /^(?:test\/support\/|test\/processes\/tcp_proxy\.ts$|tools\/nats_server\.ts$|tools\/offline\/)/;
/**
 * Packages that as published are others than in `deno task test`: those of JSR, and from npm the newest of a range. Not
 * `@nats-io/transport-node`, which tests take as a client of their own, from npm either way.
 */
const PACKAGES = /^(?:@nats-io\/(?!transport-node)|@opentelemetry\/|pino$|valibot$|zod$)/;
const OWN_NAME = /^@catga\/catga/;
/** How many seconds a test that only takes Catga by its name may take: each name is resolved by some short one. */
const NAMED_SECONDS = 1;

/**
 * Files that take long, and reach no module that the others do not reach: a release plays them, too
 * (docs/internals/packages.md).
 */
export const LEFT_OUT: readonly string[] = [
  "examples/shop/explore_test.ts",
  "src/cli/commands/doctor_versions_test.ts",
  "src/codec/codec_nats_test.ts",
  "src/contract/schemas/compatibility_libraries_test.ts",
  "src/entities/entities_nats_test.ts",
  "src/entities/entities_test.ts",
  "src/flow/log_settings_nats_test.ts",
  "src/flow/starvation_nats_test.ts",
  "src/log/following/following_nats_test.ts",
  "src/log/mixed_shapes_test.ts",
  "src/nats/bucket/sweeper_test.ts",
  "src/nats/bucket/watch_test.ts",
  "src/nats/bucket_settings_test.ts",
  "src/nats/connection/wrong_settings_test.ts",
  "src/nats/consumer_limit_test.ts",
  "src/nats/event_log_test.ts",
  "src/nats/full_replica_test.ts",
  "src/nats/full_store_test.ts",
  "src/nats/log/log_reads_test.ts",
  "src/nats/log/log_stream_test.ts",
  "src/nats/log/pending_appends_test.ts",
  "src/nats/reading/feed_test.ts",
  "src/nats/reading/shared_consumer_test.ts",
  "src/streams/streams_nats_test.ts",
  "src/streams/streams_test.ts",
  "test/log_hostile_test.ts",
];

/**
 * The test files that run as published: those of `src/nats`, through which alone Catga reaches the client of NATS;
 * those that import a package which is another one there, themselves or by a module outside of `src/nats`; short ones
 * that take Catga by its name; and those of the stand-ins for `@std`. All others would run the same sources as before,
 * over what the tests of `src/nats` reach (docs/internals/packages.md). Left out are tests whose nodes are processes of
 * this tree, the fault suite, and {@link LEFT_OUT}.
 */
export async function publishedTests(root: string, leftOut: readonly string[] = LEFT_OUT): Promise<string[]> {
  const sources = (await sourceFiles(root, ["mod.ts", "src", "examples", "test", "tools"]))
    .filter((file) => file.endsWith(".ts") && !file.startsWith("tools/consumer/"));
  // `import(…)` counts in test code alone: tests of a source that loads a package so import that package themselves
  const arrows = (await readImports(root, sources)).filter(({ from, kind }) =>
    kind === "static" || (kind === "dynamic" && isTestCode(from))
  );
  const from = (imported: RegExp) => arrows.filter(({ to }) => imported.test(to)).map(({ from }) => from);
  const chosen = new Set(from(PACKAGES));
  // a set that grows while it is walked: the modules that import a chosen one
  for (const module of chosen) {
    if (module.startsWith("src/nats/")) continue;
    for (const { from, to } of arrows) if (to === module) chosen.add(from);
  }
  for (const file of from(OWN_NAME)) if (secondsOf(file) <= NAMED_SECONDS) chosen.add(file);
  const ofTheTree = new Set(
    arrows.filter(({ to }) => /^(test|tools)\//.test(to) && !ALLOWED.test(to)).map(({ from }) => from),
  );
  return (await testFiles(root, ["src", "examples", "test", "tools/offline"])).filter((file) =>
    (chosen.has(file) || /^(?:src\/nats|tools\/offline)\//.test(file)) && !ofTheTree.has(file) &&
    !file.startsWith(FAULTS) && !leftOut.includes(file)
  );
}

/** Publishes, and runs the programs of `tools/consumer/` in empty folders, as users of each runtime would. */
export async function consumePublished(processes: Processes, root: string, registry: string): Promise<Row[]> {
  const folder = await mkdtemp(join(tmpdir(), "catga-consumer-"));
  try {
    const { skip } = await requireNatsServer();
    await using server = skip ? undefined : await startNatsServer();
    const commands: Record<Runtime, string> = {
      Deno: "deno run -q -A",
      Bun: `"${await bunBinary(processes)}" run`,
      Node: (await nodeCommand(processes)).join(" "),
    };
    const overNats = (runtime: Runtime, transport: string) =>
      server === undefined ? [] : [{ runtime, program: "nats.ts", args: `${server.url} ${transport}` }];
    // the command of docs/deploying.md, "A bundle"; the bench bundles by Bun
    const bundle = "deno bundle -q --platform deno --code-splitting --minify --external '@nats-io/*' --outdir bundle";
    const runs: ConsumerRun[] = [
      // their types, at once: each check reads the types of all packages anew
      { runtime: "Deno", command: "deno check -q", program: "memory.ts", args: "testing.ts nats.ts graph.ts" },
      { runtime: "Deno", program: "memory.ts", args: "" },
      { runtime: "Deno", program: "testing.ts", args: "" },
      ...overNats("Deno", "deno"),
      ...overNats("Deno", "node"),
      ...overNats("Deno", "official"),
      ...overNats("Deno", "deno").map((run) => ({ ...run, program: "bundle/nats.js", bundleOf: "nats.ts" })),
      ...(server === undefined ? [] : [{ runtime: "Deno" as const, program: "graph.ts", args: server.url }]),
      { runtime: "Bun", program: "memory.ts", args: "" },
      { runtime: "Bun", program: "testing.ts", args: "" },
      ...overNats("Bun", "node"),
      // before the types are taken off
      { runtime: "Node", program: "declarations.ts", args: "" },
      { runtime: "Node", program: "strip_types.ts", args: "node_modules/@catga node_modules/@jsr" },
      { runtime: "Node", program: "memory.ts", args: "" },
      { runtime: "Node", program: "testing.ts", args: "" },
      { runtime: "Node", program: "--test", args: "kit_test.ts" },
      ...overNats("Node", "node"),
      ...(server === undefined ? [] : [{ runtime: "Node" as const, program: CLI, args: `nodes --nats ${server.url}` }]),
      // the pages are in the package
      { runtime: "Deno", program: "jsr:@catga/catga/cli", args: "docs alarms#no-node" },
      { runtime: "Node", program: CLI, args: "docs alarms#no-node" },
    ];
    await layOut(root, folder);
    const script = runs.map(({ runtime, command = commands[runtime], program, args, bundleOf }, at) => {
      const started = `${command} ${program} ${args}`;
      const steps = bundleOf === undefined ? started : `${bundle} ${bundleOf} && ${started}`;
      return `cd "${folder}/${runtime}" && ${steps}; echo $? > "${folder}/${at}"`;
    });
    const copy = `cp -R "${folder}/Bun/node_modules" "${folder}/Bun/package.json" "${folder}/Node"`;
    await writeFile(join(folder, "run.sh"), [copy, ...script].join("\n"));
    console.log(`\n── as published, programs: ${runs.length}\n`);
    const { code, late, ms } = await processes.run([
      Deno.execPath(),
      ...["run", "-A", registry, "publish", "-q", "--config", "jsr.json", "--allow-dirty", "--token", "t"],
      ...["--then", "sh", join(folder, "run.sh")],
    ], { limit: LIMIT, env: { JSR_NPM: join(folder, "Bun"), JSR_PUBLISHED: join(folder, "package") } });
    const codes = await Promise.all(runs.map((_, at) => readFile(join(folder, `${at}`), "utf8").catch(() => "no run")));
    return RUNTIMES.map((runtime) => {
      const own = runs.flatMap((run, at) => run.runtime === runtime ? [{ ...run, code: codes[at].trim() }] : []);
      const bad = own.filter((run) => run.code !== "0");
      const notes = bad.map(({ program, args, code }) => `${program} ${args}: ended with ${code}`);
      if (late) notes.push(`took longer than ${LIMIT / MINUTES} minutes`);
      else if (code !== 0 && bad.length === 0) notes.push(`publishing ended with code ${code}`);
      if (server === undefined) notes.push(`without nats.ts: ${skip}`);
      const title = `as published, ${runtime}${VERSIONS[runtime]} program`;
      const failed = bad.length > 0 ? bad.length : code === 0 ? 0 : 1;
      return { title, passed: own.length - bad.length, failed, skipped: server === undefined ? 1 : 0, ms, notes };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Runtime = "Deno" | "Bun" | "Node";
/**
 * A run of a program with these arguments, by a command of its own or that of its runtime; `bundleOf`: the file that it
 * is a bundle of, made just before.
 */
interface ConsumerRun {
  readonly runtime: Runtime;
  readonly command?: string;
  readonly program: string;
  readonly args: string;
  readonly bundleOf?: string;
}
const RUNTIMES: readonly Runtime[] = ["Deno", "Bun", "Node"];
const VERSIONS: Record<Runtime, string> = { Deno: "", Bun: ` ${BUN_VERSION}`, Node: ` ${NODE_VERSION.split(".")[0]}` };
const CLI = "node_modules/@catga/catga/src/cli/main.js";

/**
 * A folder for each runtime: in Deno the package is `jsr:@catga/catga`, in Bun and Node it is installed by the
 * registry.
 */
async function layOut(root: string, folder: string): Promise<void> {
  for (const runtime of RUNTIMES) await mkdir(join(folder, runtime));
  await mkdir(join(folder, "Node", "declarations"));
  const contracts = ["inferred", "annotated", "coded", "edged", "browser"].map((name) => `declarations/${name}.ts`);
  for (const program of ["strip_types.ts", "kit_test.ts", "declarations.ts", ...contracts]) {
    await copyFile(join(root, "tools", "consumer", program), join(folder, "Node", program));
  }
  for (const name of ["graph.ts", "package_faults.ts"]) {
    await copyFile(join(root, "tools", "consumer", name), join(folder, "Deno", name));
  }
  const { name, exports } = JSON.parse(await readFile(join(root, "jsr.json"), "utf8"));
  const all = Object.keys(exports).filter((path) => path !== "./transport-node")
    .map((path) => `import "jsr:${name}${path.slice(1)}";\n`);
  await writeFile(join(folder, "Deno", "all.ts"), all.join(""));
  for (const program of ["memory.ts", "nats.ts", "testing.ts"]) {
    const source = join(root, "tools", "consumer", program);
    for (const runtime of ["Bun", "Node"]) await copyFile(source, join(folder, runtime, program));
    const text = await readFile(source, "utf8");
    await writeFile(join(folder, "Deno", program), text.replaceAll('"@catga/catga', '"jsr:@catga/catga'));
  }
}

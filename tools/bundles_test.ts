import { assert, assertEquals, assertMatch } from "@std/assert";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { dirname, join } from "node:path";
import { runtimeBinary } from "../test/processes/node_process.ts";
import { bundleTests, isLong, misjudged, NAMED, onlyRuntime, secondsOf } from "./bundles.ts";
import { Processes } from "./processes.ts";
import { FAULTS, runTests, testFiles } from "./test_run.ts";

/** A folder with these files; it is removed with the stack. */
async function folderOf(stack: AsyncDisposableStack, files: Readonly<Record<string, string>>): Promise<string> {
  const root = await realpath(await mkdtemp(`${tmpdir()}/catga-bundles-`));
  stack.defer(() => rm(root, { recursive: true }));
  for (const [path, code] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), code);
  }
  return root;
}

const passing = 'import { it } from "node:test";\nit("passes", () => {});\n';

it("misjudged: names files whose time is far from the estimate, by the runtime in which they took longest", () => {
  const [long, other, short] = ["src/cli/cli_test.ts", "src/cli/commands/doctor_test.ts", "src/other_test.ts"];
  const inDeno = new Map([
    [".cache/test-1/src.cli.cli_test.ts", secondsOf(long) / 4],
    [".cache/test-1/src.cli.doctor_test.ts", 1],
    [".cache/test-1/src.other_test.ts", 4],
  ]);
  const runs = [{ title: "Deno", seconds: inDeno }, { title: "Bun", seconds: new Map([[other, secondsOf(other)]]) }];
  const estimate = secondsOf(long);
  assertEquals(misjudged([long, other, short], runs), [
    `${long}: ${(estimate / 4).toFixed(0)} s in Deno; tools/bundles.ts says ${estimate} s`,
  ]);
  const slow = new Map([[short, 30]]);
  assertEquals(misjudged([short], [{ title: "Bun", seconds: slow }, { title: "Deno, examples in docs" }]), [
    `${short}: 30 s in Bun; tools/bundles.ts says 0.5 s`,
  ]);
});

describe("bundleTests", () => {
  it("files share a module up to 20 s; long files and those with hooks of their own have their own", async () => {
    await using stack = new AsyncDisposableStack();
    const hooked = `import { before, it } from "node:test";\nbefore(() => {});\nit("hooked", () => {});\n`;
    const short = Array.from({ length: 50 }, (_, at) => `b/${10 + at}_test.ts`);
    const files = { "a/x_test.ts": passing, "a/hooks_test.ts": hooked, "src/cli/cli_test.ts": passing };
    const root = await folderOf(stack, { ...files, ...Object.fromEntries(short.map((path) => [path, passing])) });
    const bundles = await bundleTests(join(root, "scratch"), root, [...Object.keys(files), ...short]);
    assertEquals(bundles.map((path) => path.replace(join(root, "scratch"), "…")), [
      "…/src.cli.cli_test.ts",
      "…/a.x_and_39_test.ts",
      "…/b.49_and_10_test.ts",
      "…/a.hooks_test.ts",
    ]);
  });

  it("Deno starts the files that take longest first, whatever folder they are in", async () => {
    await using stack = new AsyncDisposableStack();
    using processes = new Processes();
    const test = (name: string) => `import { it } from "node:test";\nit("${name}", () => {});\n`;
    const root = await folderOf(stack, {
      "a/b/c/short_test.ts": test("short"),
      "src/cli/cli_test.ts": test("cli"),
      "test/simulation/simulation_test.ts": test("storms"),
    });
    const files = ["a/b/c/short_test.ts", "src/cli/cli_test.ts", "test/simulation/simulation_test.ts"];
    const command = [await runtimeBinary("deno"), "test", "-A", "--no-check", "--parallel"];
    const { output } = await processes.run([...command, ...await bundleTests(join(root, "scratch"), root, files)], {
      cwd: root,
      env: { DENO_JOBS: "1" },
      limit: 240_000,
      show: "never",
    });
    assertEquals(output.match(/^(short|cli|storms)\b/gm), ["storms", "cli", "short"]);
  });

  it("a bundle names what failed, counts each test, and does not stop at a file that cannot be loaded", async () => {
    await using stack = new AsyncDisposableStack();
    using processes = new Processes();
    const root = await folderOf(stack, {
      "a_test.ts":
        'import { it } from "node:test";\nit("first", () => {});\nit("fails", () => {\n  throw new Error("boom");\n});\n',
      "b_test.ts": 'throw new Error("broken");\n',
      "c_test.ts": passing,
    });
    const files = await bundleTests(join(root, "scratch"), root, ["a_test.ts", "b_test.ts", "c_test.ts"]);
    assertEquals(files.length, 1);
    const { passed, failed, skipped, notes } = await runTests(processes, {
      title: "a bundle",
      command: [await runtimeBinary("deno"), "test", "-A", "--no-check", "--junit-path={report}"],
      files,
      limit: 240_000,
      show: "never",
    });
    assertEquals({ passed, failed, skipped }, { passed: 2, failed: 2, skipped: 0 });
    assertMatch(notes[0], /^fails\n[^]*boom[^]*\/a_test\.ts:4/);
    assertMatch(notes[1], /^b_test\.ts loads\n[^]*broken/);
  });
});

describe("onlyRuntime", () => {
  const files: [file: string, code: string, both: boolean, why: string][] = [
    ["src/flow/runs_test.ts", "", false, "a room without a runtime's own"],
    ["src/flow/runs_test.ts", 'const times = "Bun" in globalThis ? 2 : 1;', true, "a file that asks for its runtime"],
    ["src/flow/runs_test.ts", "for (const seed of seedsOfThisRuntime(9)) {}", true, "shares its seeds out"],
    ["src/flow/runs_test.ts", "await startNode(OWN_RUNTIMES[0], url)", true, "starts processes of its runtime"],
    ["src/flow/runs_test.ts", "// the default in Bun is 5 s", false, "a comment about a runtime"],
    ["src/cli/sign_in_test.ts", "await startCli([])", false, "processes that others start in both"],
    ["src/nats/bucket/watch_test.ts", "", false, "a long one"],
    ["test/log_hostile_test.ts", "", false, "a long one outside of the rooms"],
    ["examples/orders/node_test.ts", "", false, "an example"],
    ["src/nats/event_log_test.ts", "", true, "the suite of a port"],
    ["src/nats/connection/transport_test.ts", "", true, "sockets"],
    ["src/http/edge_test.ts", "", true, "the runtimes' servers"],
    ["src/file/file_test.ts", "", true, "files"],
    ["src/lint/mod_test.ts", "", true, "a linter that one runtime has"],
    ["src/catga_test.ts", "", true, "the app itself"],
  ];
  for (const [file, code, both, why] of files) {
    it(`${both ? "both runtimes" : "one runtime"}: ${why}`, () => {
      assertEquals(onlyRuntime(file, code) === undefined, both);
    });
  }

  it("each room without a runtime's own has files in either one", async () => {
    const root = fileURLToPath(new URL("..", import.meta.url));
    const played = new Map<string, Set<string>>();
    for (const file of await testFiles(root, ["src"])) {
      const only = onlyRuntime(file, await readFile(join(root, file), "utf8"));
      if (only === undefined || isLong(file)) continue;
      const room = file.split("/")[1];
      played.set(room, (played.get(room) ?? new Set()).add(only));
    }
    assertEquals([...played].filter(([, runtimes]) => runtimes.size < 2), []);
    assert(played.size > 5, [...played.keys()].join());
  });
});

describe("the long tests", () => {
  it("and others with a time of their own are files of this repository", async () => {
    const files = new Set(
      await testFiles(fileURLToPath(new URL("..", import.meta.url)), ["src", "examples", "bench", "test", "tools"]),
    );
    assertEquals(NAMED.filter((file) => !files.has(file)), []);
    assertEquals(NAMED.filter((file) => file.startsWith(FAULTS) && isLong(file)), []);
  });

  it("each file of the fault suite has a time: one that takes minutes and had none started last", async () => {
    const files = await testFiles(fileURLToPath(new URL("..", import.meta.url)), [FAULTS]);
    assertEquals(files.filter((file) => !NAMED.includes(file)), []);
  });
});

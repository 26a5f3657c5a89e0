import { assertEquals } from "@std/assert";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { type Arrow, readImports } from "./import_graph.ts";
import { LEFT_OUT, publishedTests } from "./published.ts";
import { isTestCode, sourceFiles } from "./sources.ts";
import { FAULTS } from "./test_run.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("tests that run as published", () => {
  const cases: [file: string, what: string, chosen: boolean][] = [
    ["src/nats/connection/transport_test.ts", "a test of the client of NATS", true],
    ["src/nats/bucket/watch_test.ts", "a test of the client that takes long, which a release plays", false],
    ["src/nats/bucket/bucket_status_test.ts", "another one", true],
    ["src/cluster/interop/interop_test.ts", "a test that takes a package of NATS itself", true],
    ["src/log/traffic_nats_test.ts", "a test that takes one by a module of test/support", true],
    ["src/log/mixed_shapes_test.ts", "one that takes long and runs no other code of zod", false],
    ["src/state/locks/lock_nats_test.ts", "a test that reaches NATS by src/nats alone", false],
    ["src/behaviors/metrics_test.ts", "a test with a package that users bring", true],
    ["src/testing/log_test.ts", "a test of an entrypoint, in memory", false],
    ["examples/orders/node_test.ts", "a test of an example that takes Catga by its name", true],
    ["examples/mistakes/mistakes_test.ts", "a long one", false],
    ["test/permissions_test.ts", "a test of the whole whose own client is from npm either way", false],
    ["tools/offline/assert_test.ts", "a test of the stand-ins for @std", true],
    ["src/log/format/names_test.ts", "a test of sources that import no package", false],
    ["src/dispatch/runner_test.ts", "a test of nodes in memory", false],
    ["src/cluster/process_end_test.ts", "a test whose nodes are processes of this tree", false],
    ["test/simulation/simulation_test.ts", "a simulation", false],
    ["test/faults/kill_test.ts", "a test of the fault suite", false],
    ["tools/published_test.ts", "a test of the tools", false],
  ];
  let all: Promise<string[]> | undefined;
  for (const [file, what, chosen] of cases) {
    it(`${chosen ? "include" : "leave out"} ${what}: ${file}`, async () => {
      assertEquals((await (all ??= publishedTests(root))).includes(file), chosen);
    });
  }

  it("include a new file that imports such a package, also when it is loaded in a test", async () => {
    const tree = await mkdtemp(join(tmpdir(), "catga-published-"));
    try {
      await mkdir(join(tree, "src"));
      const files = {
        "new_test.ts": 'import { z } from "zod";',
        "loaded_test.ts": 'it("x", async () => void await import("zod"));',
        "by_support_test.ts": 'import "./given_suite.ts";',
        "given_suite.ts": 'export const load = () => import("@nats-io/kv");',
        "other_test.ts": 'import "./other.ts";',
      };
      for (const [name, text] of Object.entries(files)) await writeFile(join(tree, "src", name), text);
      const chosen = await publishedTests(tree);
      assertEquals(chosen, ["src/by_support_test.ts", "src/loaded_test.ts", "src/new_test.ts"]);
    } finally {
      await rm(tree, { recursive: true });
    }
  });

  /** The modules and packages that these files import, themselves or by another module; `kinds`: by such imports. */
  const reachedFrom = async (files: readonly string[], kinds: readonly Arrow["kind"][]) => {
    const arrows = await (arrowsOfAll ??= readAll());
    const reached = new Set(files);
    // a set that grows while it is walked
    for (const file of reached) {
      for (const { to, kind } of arrows.get(file) ?? []) if (kinds.includes(kind)) reached.add(to);
    }
    return reached;
  };
  /** By the file that imports. */
  let arrowsOfAll: Promise<Map<string, Arrow[]>> | undefined;
  const readAll = async () => {
    const sources = await sourcesOf(["mod.ts", "src", "examples", "test", "tools"]);
    return Map.groupBy(await readImports(root, sources), ({ from }) => from);
  };
  const sourcesOf = async (paths: readonly string[]) =>
    (await sourceFiles(root, paths)).filter((file) => file.endsWith(".ts") && !file.startsWith(FAULTS));

  it("import each package and each entrypoint that a test imports, themselves or by another module", async () => {
    const importsOf = async (files: readonly string[]) =>
      new Set(
        [...await reachedFrom(files, ["static"])].filter((to) =>
          /^(?:@catga\/|@nats-io\/|@opentelemetry\/|pino$|valibot$|zod$)/.test(to)
        ),
      );
    const tests = (await sourcesOf(["src", "examples", "test"])).filter((file) => file.endsWith("_test.ts"));
    const missing = (await importsOf(tests)).difference(await importsOf(await (all ??= publishedTests(root))));
    assertEquals([...missing], []);
  });

  it("reach each module of the package that a file reaches which was left out, also by import(…)", async () => {
    const every = await publishedTests(root, []);
    assertEquals(LEFT_OUT.filter((file) => !every.includes(file)), []);
    const kinds = ["static", "dynamic"] as const;
    const missing = (await reachedFrom(LEFT_OUT, kinds)).difference(
      await reachedFrom(await (all ??= publishedTests(root)), kinds),
    );
    assertEquals([...missing].filter((file) => file.startsWith("src/") && !isTestCode(file)), []);
  });
});

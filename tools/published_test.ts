import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { publishedTests } from "./published.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("tests that run as published", () => {
  const cases: [file: string, what: string, chosen: boolean][] = [
    ["src/nats/watch_test.ts", "a test of the client of NATS", true],
    ["src/state/locks/lock_nats_test.ts", "a test that starts a server", true],
    ["src/behaviors/metrics_test.ts", "a test with a package that users bring", true],
    ["src/testing/log_test.ts", "a test of an entrypoint, in memory", false],
    ["examples/orders/node_test.ts", "a test of an example that takes Catga by its name", true],
    ["test/permissions_test.ts", "a test of the whole that starts no process of this tree", true],
    ["tools/offline/assert_test.ts", "a test of the stand-ins for @std", true],
    ["src/log/format/names_test.ts", "a test of sources that import no package", false],
    ["src/dispatch/runner_test.ts", "a test of nodes in memory", false],
    ["src/cluster/process_end_test.ts", "a test whose nodes are processes of this tree", false],
    ["test/mixed_versions_test.ts", "a test that lays out another tree", false],
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
});

import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { publishedTests } from "./published.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("tests that run as published", () => {
  const cases: [file: string, what: string, chosen: boolean][] = [
    ["src/catga_test.ts", "a test of the library", true],
    ["examples/single_test.ts", "a test of an example", true],
    ["test/permissions_test.ts", "a test of the whole that starts no process of this tree", true],
    ["test/support/history_test.ts", "a test of what tests share", true],
    ["src/cluster/membership/node_death_test.ts", "a test whose nodes are processes of this tree", false],
    ["test/mixed_versions_test.ts", "a test that lays out another tree", false],
    ["test/simulation/simulation_test.ts", "a simulation", false],
    ["test/faults/kill_test.ts", "a test of the fault suite", false],
    ["tools/published_test.ts", "a test of the tools", false],
  ];
  for (const [file, what, chosen] of cases) {
    it(`${chosen ? "include" : "leave out"} ${what}: ${file}`, async () => {
      assertEquals((await publishedTests(root)).includes(file), chosen);
    });
  }
});

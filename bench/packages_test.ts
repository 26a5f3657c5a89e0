import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";

type Names = Record<string, string>;

const read = async (path: string) => JSON.parse(await readFile(new URL(path, import.meta.url), "utf8"));
const bench: { private: boolean; dependencies: Names } = await read("package.json");
const library: { dependencies: Names; devDependencies: Names } = await read("../package.json");

describe("packages of the bench", () => {
  it("are pinned, and are published nowhere", () => {
    for (const [name, version] of Object.entries(bench.dependencies)) {
      assertMatch(`${name} ${version}`, / \d+\.\d+\.\d+(-\d+)?$/);
    }
    assertEquals(bench.private, true);
  });

  it("have the versions of the library, where both need one: the bench measures the same nats.js", () => {
    const wanted: Names = { ...library.dependencies, ...library.devDependencies };
    const shared = Object.keys(bench.dependencies).filter((name) => name in wanted);
    assertEquals(["@nats-io/kv", "@nats-io/transport-node"].filter((name) => !shared.includes(name)), []);
    for (const name of shared) assertEquals([name, bench.dependencies[name]], [name, wanted[name]]);
  });
});

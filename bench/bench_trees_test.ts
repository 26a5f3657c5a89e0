import { assertEquals, assertStringIncludes } from "@std/assert";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { requireNatsServer } from "../tools/nats_server.ts";
import { THIS_RUNTIME } from "../test/support/of_this_runtime.ts";
import { readRun } from "./run.ts";
import { bench, slow, TRIAL } from "./trial_suite.ts";

describe("bench of two trees", await requireNatsServer(), () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "catga-bench-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const [inBun, inDeno] = ["bun", "deno"].map((name) => ({
    ...slow,
    skip: THIS_RUNTIME !== name && `${name} runs it`,
  }));

  it("leaves out types in Bun, and says that its compilers do not depend on the runtime", inBun, async () => {
    assertStringIncludes(await bench("types", ...TRIAL, join(folder, "types.json")), "left out: types: its compilers");
    assertEquals((await readRun(join(folder, "types.json"))).tables, []);
  });

  it("takes turns with the sources of another tree, and puts the figures of both into the docs", inBun, async () => {
    const tree = fileURLToPath(new URL("..", import.meta.url));
    const page = join(folder, "compared-bun.md");
    await writeFile(page, "# Both\n");
    const text = await bench("events", ...TRIAL, join(folder, "turns.json"), "--compare", tree, "--docs", folder);
    assertStringIncludes(text, "figures are the same, as far as the rounds can tell");
    const { tables } = await readRun(join(folder, "turns.json"));
    assertEquals([tables[0].id, tables[0].rows[0].cells[0].length], ["events", 1]);
    const docs = await readFile(page, "utf8");
    for (const { name } of tables[0].rows) {
      for (const column of tables[0].columns) assertStringIncludes(docs, `| ${name}, ${column} |`);
    }
  });

  it("compares trees without a section that one of them cannot run, and says why", inDeno, async () => {
    const tree = await mkdtemp(join(folder, "tree-"));
    const [section, ...rest] = ["check", "--no-peers", "--trial", "--no-published"];
    const text = await bench(section, ...rest, "--compare", tree);
    assertStringIncludes(text, "left out: check, before: the bench ended with 1");
  });
});

/** The tutorials, walked as a reader does: each command prints what the page says, and each ends as its folder. */
import { assertEquals, assertGreater } from "@std/assert";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { fits, folderOf, tutorials, walk } from "./tutorials.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const runtime = process.versions.bun === undefined ? "deno" : "bun";

describe("a tutorial", () => {
  it("is compared with what is printed: … stands for anything", () => {
    assertEquals([fits("a\nb\n", "a\nb"), fits("a\nxyz\nb\n", "a\n…\nb\n"), fits("a\n", "…a…")], [true, true, true]);
    assertEquals([fits("a\nb\n", "a"), fits("a", "a\nb"), fits("a\nc", "a\n…\nb")], [false, false, false]);
  });

  it("that says what is not printed is found", { timeout: 300_000 }, async () => {
    const page = '```ts a.ts\nconsole.log("tea");\n```\n\n```sh\n' + `${runtime} a.ts\n` +
      "```\n\n```text\nmilk\n```\n";
    const { wrong, commands } = await walk(page, runtime, process.execPath);
    assertEquals([wrong.length, commands], [1, 1]);
  });
});

describe("the page for coding agents", () => {
  it("has a program whose test is green", { timeout: 300_000 }, async () => {
    const page = await readFile(join(root, "docs", "agents.md"), "utf8");
    const { wrong, commands } = await walk(page, runtime, process.execPath);
    assertEquals([wrong, commands], [[], 1]);
  });
});

for (const name of await tutorials()) {
  describe(`the tutorial ${name}`, () => {
    it("is true to the end, and ends as its folder in examples/", { timeout: 600_000 }, async () => {
      const page = await readFile(join(root, "docs", "tutorials", `${name}.md`), "utf8");
      const { wrong, commands, files } = await walk(page, runtime, process.execPath);
      assertEquals(wrong, []);
      assertGreater(commands, 2);
      const folder = folderOf(name);
      const kept = await Promise.all(
        (await readdir(folder)).map(async (file) => [file, await readFile(join(folder, file), "utf8")] as const),
      );
      assertEquals(new Map(kept.sort()), new Map([...files].sort()), "run: deno run -A tools/tutorials.ts");
    });
  });
}

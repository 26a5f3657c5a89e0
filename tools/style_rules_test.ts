import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { sourceFiles } from "./sources.ts";
import { styleFindings } from "./style_rules.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const texts = (path: string, source: string) => styleFindings(path, source).map(({ text }) => text);

describe("style", () => {
  it("of the sources is the house's, as far as a machine can tell", async () => {
    const files = (await sourceFiles(root, ["mod.ts", "src", "examples", "bench", "test", "tools"])).filter((file) =>
      file.endsWith(".ts")
    );
    const findings = await Promise.all(files.map(async (path) => {
      return styleFindings(path, await readFile(`${root}${path}`, "utf8"));
    }));
    for (const { text } of findings.flat().filter(({ warning }) => warning)) console.warn(`worth a look: ${text}`);
    assertEquals(findings.flat().filter(({ warning }) => !warning).map(({ text }) => text), []);
  });
});

describe("style rules", () => {
  const forbidden: [path: string, source: string, says: RegExp][] = [
    ["src/utils.ts", "", /named after nothing/],
    ["examples/orders/types.ts", "", /named after nothing/],
    ["src/a.ts", "let x: any;", /^src\/a\.ts:1: no any/],
    ["src/a.ts", "\nconst x = y as any;", /^src\/a\.ts:2: no any/],
    ["src/a.ts", "const x = new Map<string, any>();", /no any/],
    ["src/a.ts", 'Deno.env.get("X")', /environment/],
    ["src/a.ts", "process.env.X", /environment/],
    ["src/a.ts", 'import { argv, env } from "node:process";', /environment/],
    ["src/a_test.ts", 'it("x", (t) => t.skip("no server"));', /skips itself/],
    ["src/a.ts", "\n".repeat(301), /301 lines/],
    ["src/a.ts", `\n// FA${"CTS"} 9`, /^src\/a\.ts:2: points to a page/],
  ];
  for (const [path, source, says] of forbidden) {
    it(`find fault with ${path}: ${source.trim().slice(0, 60)}`, () => {
      const [finding, ...more] = texts(path, source);
      assertMatch(finding ?? "nothing", says);
      assertEquals(more, []);
    });
  }

  it("find no fault with comments, strings and other words", () => {
    assertEquals(texts("src/a.ts", '// x: any\nconst s = "process.env"; const company = many; environment(env);'), []);
    assertEquals(texts("src/a_test.ts", 'it.skip("x", () => {}); it("y", { skip: "no server" }, () => {});'), []);
  });
});

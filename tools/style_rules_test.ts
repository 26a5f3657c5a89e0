import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { sourceFiles } from "./sources.ts";
import { styleFindings } from "./style_rules.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

const texts = (path: string, source: string) => styleFindings(path, source).map(({ text }) => text);

describe("the style", () => {
  it("of all sources follows the rules that a machine can check", async () => {
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
    ["src/utils.ts", "", /without a concept/],
    ["examples/orders/types.ts", "", /without a concept/],
    ["src/a.ts", "let x: any;", /^src\/a\.ts:1: no any/],
    ["src/a.ts", "\nconst x = y as any;", /^src\/a\.ts:2: no any/],
    ["src/a.ts", "const x = new Map<string, any>();", /no any/],
    ["src/a.ts", 'Deno.env.get("X")', /environment/],
    ["src/a.ts", "process.env.X", /environment/],
    ["src/a.ts", 'import { argv, env } from "node:process";', /environment/],
    ["src/a.ts", "  await using app = open();", /Node 22/],
    ["src/a_test.ts", 'it("x", (t) => t.skip("no server"));', /skips itself/],
    ["src/a.ts", "\n".repeat(401), /401 lines/],
    ["src/a.ts", `\n// ${"word ".repeat(24)}`, /^src\/a\.ts:2: a comment of 123 columns/],
    ["src/a_test.ts", `/** ${"word ".repeat(24)}*/`, /a comment of 126 columns/],
    ["src/a.ts", `\n// FA${"CTS"} 9`, /^src\/a\.ts:2: cites a page/],
  ];
  for (const [path, source, says] of forbidden) {
    it(`find fault with ${path}: ${source.trim().slice(0, 60)}`, () => {
      const [finding, ...more] = texts(path, source);
      assertMatch(finding ?? "nothing", says);
      assertEquals(more, []);
    });
  }

  it("accept a product file of more than 300 lines whose first comment gives the reason", () => {
    const rest = "\n".repeat(301);
    assertEquals(texts("src/a.ts", `/**\n * What it is. Over\n * 300 lines: one table.\n */${rest}`), []);
    assertMatch(texts("src/a.ts", `/** What it is. Over 300 lines: */${rest}`)[0], /"Over 300 lines: …"/);
    assertMatch(
      texts("src/a.ts", `/** What it is. */${rest}/** Over 300 lines: one table. */`)[0],
      /"Over 300 lines: …"/,
    );
  });

  it("only warn of other files of more than 400 lines", () => {
    for (const path of ["src/a_test.ts", "src/a_suite.ts", "test/support/a.ts", "tools/a.ts", "bench/a.ts"]) {
      const [{ text, warning }, ...more] = styleFindings(path, "\n".repeat(401));
      assertEquals([text, warning, more], [`${path}: 401 lines: look for the second concept`, true, []]);
    }
  });

  it("find no fault with long lines of examples, tables, code and named promises", () => {
    const long = "word ".repeat(30);
    assertEquals(texts("src/a.ts", ` * \`\`\`ts\n * ${long}\n * \`\`\`\n * | ${long}|\nconst s = "${long}";`), []);
    assertEquals(texts("src/a_test.ts", `// docs/cluster.md, ${long}`), []);
  });

  it("find no fault with comments, strings and other words", () => {
    assertEquals(texts("src/a.ts", '// x: any\nconst s = "process.env"; const company = many; environment(env);'), []);
    assertEquals(texts("src/a_test.ts", 'it.skip("x", () => {}); it("y", { skip: "no server" }, () => {});'), []);
  });
});

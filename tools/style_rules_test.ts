import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { isTestCode, sourceFiles } from "./sources.ts";
import { styleFindings } from "./style_rules.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("the style", () => {
  it("of all sources follows the rules that a machine can check", async () => {
    const files = (await sourceFiles(root, ["mod.ts", "src", "examples", "bench", "test", "tools"])).filter((file) =>
      file.endsWith(".ts")
    );
    const findings = await Promise.all(files.map(async (path) => {
      return styleFindings(path, await readFile(`${root}${path}`, "utf8"));
    }));
    assertEquals(findings.flat(), []);
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
    ["src/a.ts", `\n// ${"word ".repeat(24)}`, /^src\/a\.ts:2: a comment that ends in column 123/],
    ["src/a_test.ts", `/** ${"word ".repeat(24)}*/`, /a comment that ends in column 126/],
    ["src/a.ts", `\nconst a = 1; // ${"word ".repeat(24)}`, /^src\/a\.ts:2: a comment that ends in column 136/],
    ["src/a.ts", `//${"word ".repeat(24)}`, /a comment that ends in column 122/],
    ["src/a.ts", `const a = "//"; /* ${"word ".repeat(24)}*/`, /a comment that ends in column 141/],
    ["src/a.ts", "\n/**\n * What it is.\n */", /^src\/a\.ts:2: a comment begins with "What"/],
    ["examples/a.ts", `/** ${"Of"} the orders. */`, /a comment begins with "Of"/],
    ["test/a.ts", `/** ${"Whether"} it is open. */`, /a comment begins with "Whether"/],
    ["src/a.ts", `\n// FA${"CTS"} 9`, /^src\/a\.ts:2: cites a page/],
  ];
  for (const [path, source, says] of forbidden) {
    it(`find fault with ${path}: ${source.trim().slice(0, 60)}`, () => {
      const [finding, ...more] = styleFindings(path, source);
      assertMatch(finding ?? "nothing", says);
      assertEquals(more, []);
    });
  }

  it("find no fault with long lines of examples, tables, code and named promises", () => {
    const long = "word ".repeat(30);
    assertEquals(
      styleFindings(
        "src/a.ts",
        `/**\n * \`\`\`ts\n * ${long}\n * \`\`\`\n * | ${long}|\n */\nconst s = "${long} // ${long}";`,
      ),
      [],
    );
    assertEquals(styleFindings("src/a_test.ts", `// docs/cluster.md, ${long}`), []);
  });

  it("find no fault with comments, strings and other words", () => {
    assertEquals(
      styleFindings("src/a.ts", '// x: any\nconst s = "process.env"; const company = many; environment(env);'),
      [],
    );
    assertEquals(
      styleFindings("src/a_test.ts", 'it.skip("x", () => {}); it("y", { skip: "no server" }, () => {});'),
      [],
    );
  });
});

describe("names of types", () => {
  it("mean one thing: no two files declare the same", async () => {
    const files = (await sourceFiles(root, ["mod.ts", "src"])).filter((file) =>
      file.endsWith(".ts") && !isTestCode(file)
    );
    const declared = new Map<string, string[]>();
    for (const file of files) {
      for (const name of new Set(typeNames(await readFile(`${root}${file}`, "utf8")))) {
        declared.set(name, [...declared.get(name) ?? [], file]);
      }
    }
    assertEquals(declared.get("CatgaError"), ["src/error.ts"]);
    assertEquals([...declared].filter(([, files]) => files.length > 1), []);
  });

  it("are those of classes, interfaces, enums and aliases, exported or not", () => {
    assertEquals(
      typeNames("export class A {}\ninterface B {}\nexport type C<T> = T;\nenum D {}\nabstract class E {}\n// class F"),
      ["A", "B", "C", "D", "E"],
    );
  });
});

/** The names of the types that a file declares at its top level. */
function typeNames(source: string): string[] {
  const declaration = /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|enum) (\w+)/gm;
  return [...source.matchAll(declaration)].map(([, name]) => name);
}

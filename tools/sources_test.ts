import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { exportedNames, linesOfCode } from "./sources.ts";

describe("linesOfCode", () => {
  it("leaves out blank lines and comments", () => {
    assertEquals(linesOfCode("/**\n * What it is.\n */\n\n// why\nconst a = 1; // why\n  /** One. */\n"), 1);
  });

  it("counts the lines of a template", () => {
    assertEquals(linesOfCode("const css = `\na { color: red }\n\n}\n`;\n"), 4);
  });
});

describe("exportedNames", () => {
  it("counts a module's own names, and those of others that it passes on", () => {
    const lists = 'export { a, type B } from "./a.ts";\nexport type {\n  C,\n  D,\n} from "./c.ts";\n';
    const own = "export default e;\nexport type F = 1;\nexport async function g() {}\nconst h = 1;\n";
    assertEquals([exportedNames(lists), exportedNames(own)], [4, 3]);
  });
});

import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { linesOfCode } from "./sources.ts";

describe("linesOfCode", () => {
  it("leaves out blank lines and comments", () => {
    assertEquals(linesOfCode("/**\n * What it is.\n */\n\n// why\nconst a = 1; // why\n  /** One. */\n"), 1);
  });

  it("counts the lines of a template", () => {
    assertEquals(linesOfCode("const css = `\na { color: red }\n\n}\n`;\n"), 4);
  });
});

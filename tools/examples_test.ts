import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { examplesOf } from "./examples.ts";

describe("examplesOf", () => {
  it("a block of a page keeps its line numbers", () => {
    const page = "# A page\n\n```ts\nconst a = 1;\n\na;\n```\n\n```js\n2;\n```\n";
    assertEquals(examplesOf("a.md", page), [
      { file: "a.md", line: 4, module: "\n\n\nconst a = 1;\n\na;\n" },
      { file: "a.md", line: 10, module: "\n\n\n\n\n\n\n\n\n2;\n" },
    ]);
  });

  it("a block of a doc comment loses the comment's margin", () => {
    const source =
      "class A {\n  /**\n   * @example\n   * ```ts\n   * if (true) {\n   *   1;\n   *\n   * }\n   * ```\n   */\n}\n";
    const [{ line, module }, ...more] = examplesOf("a.ts", source);
    assertEquals([line, module, more], [5, "\n\n\n\nif (true) {\n  1;\n\n}\n", []]);
  });

  it("a block in a list loses the list's margin", () => {
    assertEquals(
      examplesOf("a.md", "1. First:\n   ```ts\n   {\n     1;\n   }\n   ```\n")[0].module,
      "\n\n{\n  1;\n}\n",
    );
  });

  it("blocks in other languages, and those marked `ignore`, are no examples", () => {
    assertEquals(examplesOf("a.md", "```sh\nls\n```\n\n```ts ignore\nnope(\n```\n"), []);
  });
});

import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { examplesOf } from "./examples.ts";
import { commentsOf, Printed, recording } from "./printed.ts";

describe("examplesOf", () => {
  it("a block of a page keeps its line numbers", () => {
    const page = "# A page\n\n```ts\nconst a = 1;\n\na;\n```\n\n```js\n2;\n```\n";
    assertEquals(examplesOf("a.md", page), [
      { file: "a.md", line: 4, runs: true, module: "\n\n\nconst a = 1;\n\na;\n" },
      { file: "a.md", line: 10, runs: true, module: "\n\n\n\n\n\n\n\n\n2;\n" },
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

  it("a block that goes on with the one above is of its module, at its own lines", () => {
    const page = "```ts\n1;\n```\n\n```ts more\n2;\n```\n";
    assertEquals(examplesOf("a.md", page).map(({ line, module }) => [line, module]), [[2, "\n1;\n\n\n\n2;\n"]]);
  });

  it("code that readers do not need stands in a comment of Markdown, and comes first", () => {
    const page = "Text.\n\n<!-- ts\nconst a = 1;\n-->\n\n```ts\na;\n```\n";
    assertEquals(examplesOf("a.md", page).map(({ line, module }) => [line, module]), [
      [8, "\n\n\nconst a = 1;\n\n\n\na;\n"],
    ]);
  });

  it("goes on with the file that it names, which need not be the block above; a file may be unseen", () => {
    const page = "```ts a.ts\n1;\n```\n\n<!-- ts b.ts\n2;\n-->\n\n```ts more a.ts\n3;\n```\n";
    assertEquals(examplesOf("a.md", page).map(({ name, runs, module }) => [name, runs, module.trim()]), [
      ["a.ts", true, "1;\n\n\n\n\n\n\n\n3;"],
      ["b.ts", false, "2;"],
    ]);
  });

  it("a block may have the name of a file, or be checked and not run", () => {
    const page = "```ts b.ts\n1;\n```\n\n```ts check\n2;\n```\n";
    assertEquals(examplesOf("a.md", page).map(({ name, runs }) => [name, runs]), [["b.ts", true], [undefined, false]]);
  });
});

describe("a line that prints", () => {
  /** Compares a module of one line with what it has printed. */
  const compare = async (line: string, ...printed: unknown[][]) => {
    const module = `\n${line}\n`;
    const code = recording(module);
    const given = new Printed();
    if (code.includes("$printed.at(2)(")) { for (const values of printed) given.at(2)(...values); }
    return await given.wrong(commentsOf(module), 0);
  };

  it("is right if it prints what its comment says, before a remark, or around an ellipsis", async () => {
    assertEquals(await compare("console.log(a); // 1", [1]), []);
    assertEquals(await compare("console.log(a); // 1: the first", [1]), []);
    assertEquals(await compare("console.log(a, b); // { a: [ 1 ] } c", [{ a: [1] }, "c"]), []);
    assertEquals(await compare("for (const a of all) console.log(a); // 1, then 2", [1], [2]), []);
    assertEquals(await compare("console.log(a); // { id: …, b: 2 }", [{ id: 17, b: 2 }]), []);
  });

  it("is wrong if it prints something else, more, or nothing", async () => {
    assertEquals(await compare("console.log(a); // 1", [2]), ["line 2 printed 2; says 1"]);
    assertEquals(await compare("console.log(a); // 1", [12]), ["line 2 printed 12; says 1"]);
    assertEquals(await compare("console.log(a); // 12", [1]), ["line 2 printed 1; says 12"]);
    assertEquals(await compare("console.log(a); // 1", [1], [1]), ["line 2 printed 1, then 1; says 1"]);
    assertEquals(await compare("console.log(a); // { id: …, b: 2 }", [{ id: 17, b: 3 }]), [
      "line 2 printed { id: 17, b: 3 }; says { id: …, b: 2 }",
    ]);
    assertEquals(await compare("if (b) console.log(a); // 1"), ["line 2 printed nothing; says 1"]);
  });

  it("without a comment may print anything", async () => {
    assertEquals(await compare("console.log(a);", [2]), []);
  });
});

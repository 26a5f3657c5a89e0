/**
 * The examples in pages and doc comments, as modules that Deno checks and runs together. What stands behind the
 * language of a fenced block says how:
 *
 *   ts                  a module of its own, which is run
 *   ts orders.ts        a file of that name: the files of a page lie in one folder, and import each other. One that a
 *                       page imports and does not have is that of docs/getting-started.md
 *   ts more             goes on with the block above
 *   ts more orders.ts   goes on with that file
 *   ts check            its types are checked, and it is not run; so `ts server.ts check`
 *   ts ignore           no example
 *
 * A comment of Markdown, `<!-- ts` to `-->`, is code of the block behind it that readers do not need; `<!-- ts x.ts` is
 * a file that they do not see. A line that prints is compared with the comment at its end, as `printed.ts` says.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { commentsOf, recording } from "./printed.ts";
import { isTestCode, sourceFiles } from "./sources.ts";

/** Where examples stand. */
export const PAGES: readonly string[] = ["mod.ts", "src", "README.md", "README.zh-CN.md", "docs"];
/** The page whose files others import. */
export const LENDER = "docs/getting-started.md";

/** An example of a page or of a doc comment. */
export interface Example {
  /** Its file, from the root of the repository. */
  readonly file: string;
  /** The line of its first statement. */
  readonly line: number;
  /** Its name in the folder of its page, if the page gives it one. */
  readonly name?: string;
  /** False: it is checked alone. */
  readonly runs: boolean;
  /** Its code, below as many empty lines as make the lines of its errors those of the file. */
  readonly module: string;
}

/** The examples in the sources and pages below these paths. */
export async function findExamples(root: string, paths: readonly string[]): Promise<Example[]> {
  const files = (await sourceFiles(root, paths)).filter((file) =>
    // the reference has the examples of the sources
    /\.(ts|md)$/.test(file) && !isTestCode(file) && !file.startsWith("docs/api/")
  );
  return (await Promise.all(files.map(async (file) => examplesOf(file, await readFile(join(root, file), "utf8")))))
    .flat();
}

/** A block, or code that is not shown, with its margin: in a source it stands in comments. */
const BLOCK = new RegExp(
  String.raw`^([ \t]*(?:\* ?)?)(?:` +
    "```" +
    String.raw`(?:ts|typescript|js|javascript)( more)?(?: ([\w./-]+\.ts))?( check)?\n([\s\S]*?)^[ \t]*(?:\* ?)?` +
    "```" + String.raw`|<!-- ts(?: ([\w./-]+\.ts))?\n([\s\S]*?)^-->)$`,
  "gm",
);

/** The examples in a file's text. */
export function examplesOf(file: string, text: string): Example[] {
  const examples: { file: string; line: number; name?: string; runs: boolean; module: string }[] = [];
  let hidden: { above: number; code: string } | undefined;
  for (
    const { 1: margin, 2: more, 3: name, 4: check, 5: shown, 6: unseenName, 7: unseen, index } of text.matchAll(BLOCK)
  ) {
    const above = text.slice(0, index).split("\n").length;
    if (unseen !== undefined) {
      if (unseenName === undefined) hidden = { above, code: unseen };
      else examples.push({ file, line: above + 1, name: unseenName, runs: false, module: below(above, "", unseen) });
      continue;
    }
    const code = shown.split("\n").map((line) => line.startsWith(margin) ? line.slice(margin.length) : "").join("\n");
    const former = more === undefined
      ? undefined
      : examples.findLast((each) => name === undefined || each.name === name);
    const module = hidden === undefined ? former?.module ?? "" : below(hidden.above, former?.module ?? "", hidden.code);
    if (former) former.module = below(above, module, code);
    else {
      const named = name === undefined ? {} : { name };
      examples.push({ file, line: above + 1, ...named, runs: check === undefined, module: below(above, module, code) });
    }
    hidden = undefined;
  }
  return examples;
}

/** Code that follows other code, below so many lines. */
function below(above: number, before: string, code: string): string {
  return before + "\n".repeat(above - (before.split("\n").length - 1)) + code;
}

/** An SDK of OpenTelemetry takes hold of globals: the examples of one run by themselves. */
const ALONE = /"@opentelemetry\/sdk-/;

/**
 * Writes each example as a module, and test files that import them, nearly all of them in one; returns the test files'
 * paths. `lent` are files that pages import and do not have.
 */
export async function writeExamples(
  folder: string,
  examples: readonly Example[],
  lent: readonly Example[] = [],
): Promise<string[]> {
  const tests = new Map<string, string>();
  for (const { name, module } of lent) {
    const pages = examples.filter((example) => name !== undefined && example.module.includes(`"./${name}"`));
    for (const { file } of pages) {
      if (examples.some((example) => example.file === file && example.name === name)) continue;
      await mkdir(join(folder, file), { recursive: true });
      await writeFile(join(folder, file, name!), module);
    }
  }
  for (const { file, line, name, runs, module } of examples) {
    const path = join(folder, file, name ?? `${line}.ts`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, recording(module));
    const test = ALONE.test(module) ? join(folder, file, `${line}_test.ts`) : join(folder, "examples_test.ts");
    const code = testOf(`${file}:${line}`, pathToFileURL(path).href, runs, commentsOf(module));
    tests.set(test, (tests.get(test) ?? "") + code);
  }
  for (const [path, code] of tests) await writeFile(path, code);
  return [...tests.keys()];
}

/** A test that imports an example; Deno checks the types of what an ignored test would import. */
function testOf(title: string, url: string, runs: boolean, comments: ReadonlyMap<number, string>): string {
  const wrong = `await (await import("${url}")).$printed.wrong(new Map(${JSON.stringify([...comments])}))`;
  const body = `const wrong = ${wrong};\n  if (wrong.length > 0) throw new Error(wrong.join("\\n"));`;
  return `Deno.test({ name: "${title}", ignore: ${!runs} }, async () => {\n  ${body}\n});\n`;
}

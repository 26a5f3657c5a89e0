/**
 * The examples in pages and doc comments, as modules that Deno checks and runs together.
 *
 * @module
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { isTestCode, sourceFiles } from "./sources.ts";

/** An example: a fenced block of TypeScript or JavaScript that no word behind its language excludes. */
export interface Example {
  /** Its file, from the root of the repository. */
  readonly file: string;
  /** The line of its first statement. */
  readonly line: number;
  /** Its code, below as many empty lines as make the lines of its errors those of the file. */
  readonly module: string;
}

/** The examples in the sources and pages below these paths. */
export async function findExamples(root: string, paths: readonly string[]): Promise<Example[]> {
  const files = (await sourceFiles(root, paths)).filter((file) => /\.(ts|md)$/.test(file) && !isTestCode(file));
  return (await Promise.all(files.map(async (file) => examplesOf(file, await readFile(join(root, file), "utf8")))))
    .flat();
}

/** The examples in a file's text; in a source they stand in comments. */
export function examplesOf(file: string, text: string): Example[] {
  const blocks = text.matchAll(
    /^([ \t]*(?:\* ?)?)```(?:ts|typescript|js|javascript)\n([\s\S]*?)^[ \t]*(?:\* ?)?```$/gm,
  );
  return [...blocks].map(({ 1: margin, 2: code, index }) => {
    const above = text.slice(0, index).split("\n").length;
    const lines = code.split("\n").map((line) => line.startsWith(margin) ? line.slice(margin.length) : "");
    return { file, line: above + 1, module: "\n".repeat(above) + lines.join("\n") };
  });
}

/** An SDK of OpenTelemetry takes hold of globals: the examples of one run by themselves. */
const ALONE = /"@opentelemetry\/sdk-/;

/**
 * Writes each example as a module, and test files that import them, nearly all of them in one; returns the test files'
 * paths.
 */
export async function writeExamples(folder: string, examples: readonly Example[]): Promise<string[]> {
  const tests = new Map<string, string>();
  for (const { file, line, module } of examples) {
    const path = join(folder, file, `${line}.ts`);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, module);
    const test = ALONE.test(module) ? join(folder, file, `${line}_test.ts`) : join(folder, "examples_test.ts");
    const code = `Deno.test("${file}:${line}", async () => void await import("${pathToFileURL(path)}"));\n`;
    tests.set(test, (tests.get(test) ?? "") + code);
  }
  for (const [path, code] of tests) await writeFile(path, code);
  return [...tests.keys()];
}

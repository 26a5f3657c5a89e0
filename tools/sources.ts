/**
 * Lists the files of this repository, and says which of them only tests need and how long they are.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** The repository's files below these paths (a path may be a file, or be missing), from its root, sorted. */
export async function sourceFiles(root: string, paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(async (path) => {
    const entries = await readdir(join(root, path), { recursive: true, withFileTypes: true }).catch((error) => {
      if (error.code === "ENOTDIR") return undefined;
      if (error.code === "ENOENT") return [];
      throw error;
    });
    return entries?.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)) ??
      [join(root, path)];
  }));
  const files = found.flat().map((file) => file.slice(join(root, "/").length));
  return [...new Set(files)].filter((file) => !file.includes("node_modules/")).sort();
}

/** Whether only tests need a file: it may import everything, and is not published. */
export function isTestCode(path: string): boolean {
  return /_(test|suite)\.ts$/.test(path) || path.startsWith("test/");
}

/** The lines of a module that hold more than blanks and comments. */
export function linesOfCode(source: string): number {
  const code = source.replace(/^[ \t]*\/\*[^]*?\*\//gm, "");
  return code.split("\n").filter((line) => !/^\s*(?:\/\/|$)/.test(line)).length;
}

/** Number of names that a module exports: its own, and those of others. */
export function exportedNames(source: string): number {
  const lists = [...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].map(([, names]) => names.split(","));
  const declared = source.match(/^export (?:default|async|const|function|class|interface|type(?! \{)) /gm) ?? [];
  return declared.length + lists.flat().filter((name) => name.trim() !== "").length;
}

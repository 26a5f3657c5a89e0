/**
 * Lists and copies the files of this repository, and says which of them only tests need.
 *
 * @module
 */
import { copyFile, link, mkdir, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";

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

/** Copies these files of a tree to their places in another one. */
export async function copyFiles(from: string, files: readonly string[], to: string): Promise<void> {
  await makeFolders(files, to);
  // file by file: a recursive `cp` takes half a second of processor for a tree
  await Promise.all(files.map((file) => copyFile(join(from, file), join(to, file))));
}

/**
 * Has these files of a tree at their places in another one, too, by hard links: a tenth of the processor of copies,
 * which it makes where the trees are on two file systems. For files that are only read: a write changes both trees.
 */
export async function linkFiles(from: string, files: readonly string[], to: string): Promise<void> {
  await makeFolders(files, to);
  await Promise.all(files.map(async (file) => {
    const [source, target] = [join(from, file), join(to, file)];
    await link(source, target).catch((error) => {
      if (error.code !== "EXDEV" && error.code !== "EPERM") throw error;
      return copyFile(source, target);
    });
  }));
}

async function makeFolders(files: readonly string[], to: string): Promise<void> {
  for (const folder of new Set(files.map(dirname))) await mkdir(join(to, folder), { recursive: true });
}

/** Returns true if only tests need a file: it may import everything, and is not published. */
export function isTestCode(path: string): boolean {
  return /_(test|suite)\.ts$/.test(path) || path.startsWith("test/");
}

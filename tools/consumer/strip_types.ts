/**
 * Makes JavaScript of the TypeScript in packages, as JSR's registry for npm does: Node strips no types below
 * `node_modules`.
 *
 *   node strip_types.ts node_modules/@catga node_modules/@jsr
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import process from "node:process";

const SPECIFIER = /((?:\bfrom|\bimport)\s*\(?\s*["'][^"']+)\.ts(["'])/g;

/** A package of others has an enum. Node 24 transforms it; the types are those of Node 26, which does not. */
const TRANSFORMED = { mode: "transform" as "strip" };

for (const folder of process.argv.slice(2)) {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.name === "package.json") {
      await writeFile(path, (await readFile(path, "utf8")).replaceAll('.ts"', '.js"'));
    } else if (entry.isFile() && entry.name.endsWith(".ts")) {
      const source = stripTypeScriptTypes(await readFile(path, "utf8"), TRANSFORMED);
      await writeFile(path.replace(/\.ts$/, ".js"), source.replace(SPECIFIER, "$1.js$2"));
      await rm(path);
    }
  }
}

/**
 * How large the product is: its files, its lines of code, its exported names, and the files that a message passes.
 * `deno run -A tools/size.ts` prints the figures and ends with code 1 if one is above its limit; `--files` prints what
 * a message passes, too.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { exportedNames, isTestCode, linesOfCode, sourceFiles } from "./sources.ts";
import { measureWalks } from "./walks.ts";

/** The most of each figure. Lower one when it has become smaller; raise one for a promise of the docs alone. */
const LIMITS: Readonly<Record<string, number>> = {
  "files": 302,
  "lines of code": 47_880,
  "exported names": 70,
  "files of a local send": 11,
  "files of a remote send": 22,
  "files of a durable event, publish to handler": 30,
  "files of a command of an entity": 34,
};

const root = fileURLToPath(new URL("..", import.meta.url));
const files = (await sourceFiles(root, ["mod.ts", "src"])).filter((file) => file.endsWith(".ts") && !isTestCode(file));
const sources = await Promise.all(files.map((file) => readFile(`${root}${file}`, "utf8")));
const { exports }: { exports: Record<string, string> } = JSON.parse(await readFile(`${root}jsr.json`, "utf8"));
const entrypoints = await Promise.all(Object.values(exports).map((file) => readFile(`${root}${file}`, "utf8")));
const walks = await measureWalks();
const figures: Record<string, number> = {
  "files": files.length,
  "lines of code": sources.reduce((sum, source) => sum + linesOfCode(source), 0),
  "exported names": entrypoints.reduce((sum, source) => sum + exportedNames(source), 0),
  ...Object.fromEntries(walks.map(({ name, files }) => [`files of a ${name}`, files.length])),
};
for (const [name, figure] of Object.entries(figures)) {
  const above = figure > LIMITS[name];
  console.log(`${name}: ${figure.toLocaleString("en")}${above ? `, above the limit of ${LIMITS[name]}` : ""}`);
  if (above) process.exitCode = 1;
}
if (process.argv.includes("--files")) {
  for (const { name, files, functions } of walks) {
    console.log(`\n${name}: ${functions} functions in\n  ${files.join("\n  ")}`);
  }
}

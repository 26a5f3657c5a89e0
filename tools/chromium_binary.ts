/**
 * A Chromium for tests: one on PATH, else the one of the npm package `@sparticuz/chromium`, which is fetched into
 * `.cache/` with npm.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const PACKAGE = "@sparticuz/chromium@147.0.0";
const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "chromium");

/** Its path, or why there is none. Fetching takes a minute, once. */
export async function findChromium(): Promise<{ readonly path: string } | { readonly missing: string }> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of NAMES) if (folder !== "" && existsSync(join(folder, name))) return { path: join(folder, name) };
  }
  if (process.platform !== "linux" || process.arch !== "x64") return { missing: "no chromium on the PATH" };
  try {
    const installed = join(CACHE, "node_modules", "@sparticuz", "chromium");
    if (!existsSync(installed)) {
      console.error(`chromium: none is here; fetching ${PACKAGE} with npm`);
      await mkdir(CACHE, { recursive: true });
      await writeFile(join(CACHE, "package.json"), "{}");
      await run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE], 180_000);
    }
    // it unpacks itself into the folder of temporary files, once
    const script =
      'import("@sparticuz/chromium").then(async ({ default: it }) => console.log(await it.executablePath()))';
    const path = (await run("node", ["-e", script], 60_000)).trim().split("\n").at(-1) ?? "";
    const version = await run(path, ["--version"], 30_000);
    return version === "" ? { missing: `${path} does not run here` } : { path };
  } catch (error) {
    return { missing: `no chromium on the PATH, and ${(error as Error).message.split("\n")[0]}` };
  }
}

function run(file: string, args: readonly string[], timeout: number): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, [...args], { cwd: CACHE, timeout }, (error, out) => error ? reject(error) : resolve(out));
  });
}

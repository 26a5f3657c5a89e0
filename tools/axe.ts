/**
 * The script of axe-core, which looks for faults of accessibility in a page: for tests, fetched into `.cache/` with
 * npm.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const PACKAGE = "axe-core@4.11.0";
const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "axe");

/** Its text, or why there is none. */
export async function findAxe(): Promise<{ readonly script: string } | { readonly missing: string }> {
  const file = join(CACHE, "node_modules", "axe-core", "axe.min.js");
  try {
    if (!existsSync(file)) {
      console.error(`axe-core: it is not here; fetching ${PACKAGE} with npm`);
      await mkdir(CACHE, { recursive: true });
      await writeFile(join(CACHE, "package.json"), "{}");
      const args = ["install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE];
      await promisify(execFile)("npm", args, { cwd: CACHE, timeout: 120_000 });
    }
    return { script: await readFile(file, "utf8") };
  } catch (error) {
    return { missing: `axe-core cannot be fetched: ${(error as Error).message.split("\n")[0]}` };
  }
}

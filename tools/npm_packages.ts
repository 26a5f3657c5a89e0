/** Packages of npm that tests and measurements need, and the library does not. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Installs packages of npm with their dependencies in the folder `place`, unless it is there. */
export async function fetchPackages(place: string, ...names: readonly string[]): Promise<void> {
  if (existsSync(place)) return;
  await mkdir(dirname(place), { recursive: true });
  // beside its place, so that the rename is atomic and the tests of both runtimes may fetch at once
  const folder = await mkdtemp(`${place}-`);
  try {
    await writeFile(join(folder, "package.json"), "{}");
    await install(folder, names);
    await rename(folder, place).catch((error) => {
      // the other runtime was faster
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function install(folder: string, names: readonly string[]): Promise<void> {
  const args = ["install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", ...names];
  return new Promise((resolve, reject) => {
    execFile("npm", args, { cwd: folder, timeout: 300_000 }, (error, _, stderr) => {
      if (error) reject(new Error(`${stderr}`.trim() || error.message, { cause: error }));
      else resolve();
    });
  });
}

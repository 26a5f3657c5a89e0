/**
 * A program of the bench as a deploy may have it: with Catga and nats.js in few files, by
 * `bun build --minify --splitting`. The difference to the program itself is what runtimes take for files.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));

/** A bundle, which is deleted when it is disposed of. */
export interface Bundle extends AsyncDisposable {
  /** Address of its first file, which `Program.start` takes instead of a path below `bench/`. */
  readonly file: string;
}

/** Bundles a file below `bench/` with this Bun, for Deno and Bun. */
export async function bundled(bun: string, file: string): Promise<Bundle> {
  // in the tree, because the bundle is to find the packages that it loads by computed names
  await mkdir(join(root, ".cache"), { recursive: true });
  const folder = await mkdtemp(join(root, ".cache", "bundled-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const options = ["--target=node", "--minify", "--splitting", `--outdir=${folder}`];
    await promisify(execFile)(bun, ["build", ...options, join(root, "bench", file)], { cwd: root, timeout: 120_000 });
  } catch (error) {
    await remove();
    throw error;
  }
  const built = pathToFileURL(join(folder, basename(file).replace(/\.ts$/, ".js"))).href;
  return { file: built, [Symbol.asyncDispose]: remove };
}

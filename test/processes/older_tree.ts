/**
 * The sources of an earlier commit, laid out in a folder of their own, so that its programs can run beside those of
 * this tree.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Requirement } from "../../tools/nats_server.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PARTS = ["mod.ts", "src", "deno.json", "deno.lock", "package.json", "tsconfig.json"];

/** A folder with an earlier tree; it goes with the disposal. */
export interface OlderTree extends AsyncDisposable {
  readonly root: string;
}

/**
 * What a test that needs a commit hands to `describe`. Where the commit is not there (a shallow clone, a tree without
 * history) the test is skipped, and stderr says how to get it.
 */
export async function requireCommit(commit: string): Promise<Requirement> {
  if (await isCommit(commit)) return { skip: false };
  const skip = `commit ${commit} is not here: the clone is shallow (git fetch --unshallow), or has no history`;
  console.error(`skipped: ${skip}`);
  return { skip };
}

/** Returns true if the history has this commit or tag. */
export async function isCommit(commit: string): Promise<boolean> {
  return await run("git", ["-C", ROOT, "cat-file", "-e", `${commit}^{commit}`]).then(() => true, () => false);
}

/** Lays the tree of a commit out. It takes its packages from where this one has them. */
export async function olderTree(commit: string): Promise<OlderTree> {
  const folder = await mkdtemp(join(tmpdir(), "catga-older-"));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    const root = join(folder, "tree");
    const archive = join(folder, "tree.tar");
    await mkdir(root);
    await run("git", ["-C", ROOT, "archive", "--format=tar", "-o", archive, commit, ...PARTS]);
    await run("tar", ["-xf", archive, "-C", root]);
    // those of Bun
    if (existsSync(join(ROOT, "node_modules"))) {
      await symlink(join(ROOT, "node_modules"), join(root, "node_modules"), "junction");
    }
    return { root, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function run(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(command, [...args], { timeout: 60_000 }, (error, _, stderr) => {
      if (error) reject(new Error(`${command}: ${stderr.trim() || error.message}`, { cause: error }));
      else resolve();
    });
  });
}

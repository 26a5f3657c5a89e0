/**
 * A copy of this tree with a bug planted in the library, so that its programs run with the bug, and a checker has to find it.
 * (A bug outside of the library is an option of the program: see `plants.ts`.)
 *
 * @module
 */
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A change of the sources: `from` must occur exactly once in its file, else the change has to be adapted. */
interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/**
 * - `forever`: an entry is believed for as long as it stands in the store, whatever its ttl was.
 * - `bounce`: a claim is freed when its holder's connection has bounced once, without waiting for more.
 */
const PLANTS = {
  forever: [{
    file: "src/nats/expiry.ts",
    from: `  if (header === undefined || header === "") return undefined;`,
    to: "  if (header === undefined || header.length >= 0) return undefined;",
  }],
  bounce: [{
    file: "src/cluster/membership/absence.ts",
    from: "    if (unseen > GAP) this.#since = now;",
    to: "    if (unseen > GAP) return this.end(true);",
  }],
} satisfies Record<string, readonly Change[]>;

/** A bug in the library. */
export type SourcePlant = keyof typeof PLANTS;

/** All of them. */
export const sourcePlants: readonly SourcePlant[] = Object.keys(PLANTS) as SourcePlant[]; // its keys

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PARTS = ["mod.ts", "src", "test", "tools", "deno.json", "deno.lock", "package.json", "tsconfig.json"];

/** A folder with a tree; it goes with the disposal. */
export interface PlantedTree extends AsyncDisposable {
  readonly root: string;
}

/** Makes one. Rejects when the plant does not fit the sources any more. */
export async function plantedTree(plant: SourcePlant): Promise<PlantedTree> {
  const folder = await mkdtemp(join(tmpdir(), "catga-planted-"));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    const root = join(folder, "tree");
    await mkdir(root);
    for (const part of PARTS) await cp(join(ROOT, part), join(root, part), { recursive: true });
    if (existsSync(join(ROOT, "node_modules"))) {
      await symlink(join(ROOT, "node_modules"), join(root, "node_modules"), "junction");
    }
    for (const change of PLANTS[plant]) await apply(root, change);
    return { root, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function apply(root: string, { file, from, to }: Change): Promise<void> {
  const path = join(root, file);
  const source = await readFile(path, "utf8");
  const times = source.split(from).length - 1;
  if (times !== 1) throw new Error(`the plant does not fit: ${file} has ${times} times ${JSON.stringify(from)}`);
  await writeFile(path, source.replace(from, () => to));
}

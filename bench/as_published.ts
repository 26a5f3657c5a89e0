/**
 * The bench in Deno on what a program gets that uses Catga: with `jsr.json` for import map and JSR's packages, from a
 * registry on this machine.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { registryAt } from "../tools/registry.ts";
import type { Wanted } from "./arguments.ts";
import { resolvesToJsr } from "./surroundings.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs the bench with these arguments as published; gives its exit code, or `undefined` when it is to run here. */
export async function asPublished({ published }: Wanted, args: readonly string[]): Promise<number | undefined> {
  if (!published || process.versions.deno === undefined || resolvesToJsr()) return undefined;
  const registry = registryAt(root);
  if (!registry.exists) return undefined;
  const bench = ["-A", "--no-check", "--config", `${root}jsr.json`, `${root}bench/bench.ts`, ...args];
  // the registry unpacks there what `types` publishes
  const unpacked = await mkdtemp(join(tmpdir(), "catga-bench-published-"));
  try {
    const child = spawn(process.execPath, ["run", "-A", "--no-check", registry.path, "run", ...bench], {
      stdio: "inherit",
      env: { ...process.env, JSR_PUBLISHED: unpacked },
    });
    return await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) => resolve(code ?? 1));
    });
  } finally {
    await rm(unpacked, { recursive: true, force: true });
  }
}

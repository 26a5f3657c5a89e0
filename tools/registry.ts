/** The registry: a program that serves JSR's packages on this machine, where there is one. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";

/**
 * Its path, from `CATGA_REGISTRY`; `../shared/jsr/registry.ts` unless set. It runs any subcommand of Deno so that JSR's
 * addresses lead to itself: `deno run -A registry.ts test --config jsr.json …`.
 */
export function registryAt(root: string): { path: string; exists: boolean } {
  const path = resolve(root, process.env.CATGA_REGISTRY ?? "../shared/jsr/registry.ts");
  return { path, exists: existsSync(path) };
}

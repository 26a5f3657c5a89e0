/** The garbage collector, at once. */
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/**
 * Collects what nothing refers to. In Deno it needs no `--v8-flags=--expose-gc`: code that V8 has compiled under other
 * flags is no use to it, so that processes with the flag and without it would compile everything anew each time.
 */
export function collectGarbage(): void {
  collect ??= collector();
  collect();
}

function collector(): () => void {
  const { Bun } = globalThis as { Bun?: { gc(now: boolean): void } };
  if (process.versions.bun !== undefined) return () => Bun?.gc(true);
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc");
}

/**
 * The command that starts Bun: the one on PATH if it has the wanted version, else the one from npm.
 *
 * @module
 */
import type { Processes } from "./processes.ts";

/** The version that Catga is tested with. */
export const BUN_VERSION = "1.4.4";

/** The words that a Bun command starts with. */
export async function bunCommand(processes: Processes): Promise<readonly string[]> {
  const onPath = await processes.run(["bun", "--version"], { limit: 10_000, show: "never" });
  if (onPath.code === 0 && onPath.output.trim() === BUN_VERSION) return ["bun"];
  return ["npx", "-y", `bun@${BUN_VERSION}`];
}

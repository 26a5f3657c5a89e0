/**
 * The command that starts Node: the one on PATH if it has the wanted major version, else the binary from npm.
 *
 * @module
 */
import process from "node:process";
import type { Processes } from "./processes.ts";

/** The version that Catga is tested with. */
export const NODE_VERSION = "24.21.0";

/** The words that a Node command starts with. */
export async function nodeCommand(processes: Processes): Promise<readonly string[]> {
  const onPath = await processes.run(["node", "--version"], { limit: 10_000, show: "never" });
  if (onPath.code === 0 && onPath.output.startsWith(`v${NODE_VERSION.split(".")[0]}.`)) return ["node"];
  // what npm's package `node` installs by a script: this one needs none
  const platform = process.platform === "win32" ? "win" : process.platform;
  return ["npx", "-y", "-p", `node-${platform}-${process.arch}@${NODE_VERSION}`, "--", "node"];
}

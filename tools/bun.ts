/**
 * Bun's executable: the one on PATH if it has the wanted version, else the one from npm.
 *
 * @module
 */
import type { Processes } from "./processes.ts";

/** The version that Catga is tested with. */
export const BUN_VERSION = "1.4.4";

/** The path of Bun's executable. Rejects if there is none of the wanted version. */
export async function bunBinary(processes: Processes): Promise<string> {
  const ask = ["-e", "console.log(process.execPath, Bun.version)"];
  const onPath = await processes.run(["bun", ...ask], { limit: 10_000, show: "never" });
  const path = pathIn(onPath.output);
  if (path !== undefined) return path;
  const ofNpm = await processes.run(["npx", "-y", `bun@${BUN_VERSION}`, ...ask], {
    limit: 300_000,
    show: "on failure",
  });
  const fetched = pathIn(ofNpm.output);
  if (fetched === undefined) throw new Error(`Bun ${BUN_VERSION} is not on PATH, and npm does not have it`);
  return fetched;
}

/** Of the line that ends with the wanted version: npm may warn above it. */
function pathIn(output: string): string | undefined {
  return output.split("\n").find((line) => line.endsWith(` ${BUN_VERSION}`))?.slice(0, -BUN_VERSION.length - 1);
}

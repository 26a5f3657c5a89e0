import { assertEquals } from "@std/assert";
import { cliHere } from "./cli_here.ts";

/**
 * What is wrong with a command line, by what the tool prints; `undefined` if it would connect, which it does not: the
 * address of NATS is invalid, and that is found last.
 */
export async function wrongUsage(...args: string[]): Promise<string | undefined> {
  const { code, out, err } = await cliHere([...args, "--nats", "http://x"]);
  assertEquals([code, out], [2, ""], args.join(" "));
  const [line] = err.split("\n");
  return line.startsWith("catga: --nats, or NATS_URL, must be an address") ? undefined : line.replace("catga: ", "");
}

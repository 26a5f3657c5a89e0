/** The command line tool in this process, where what it prints is judged and not how its process ends. */
import { cli } from "../../src/cli/main.ts";
import type { CliEnding } from "../processes/cli_process.ts";
import { quietTerminal } from "./quiet_terminal.ts";

/** Runs a command line to its end, as in a terminal that is none, with nothing in its environment but this. */
export async function cliHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliEnding> {
  let [out, err] = ["", ""];
  const code = await cli(
    args,
    quietTerminal({
      write: (text) => void (out += text),
      say: (line) => void (err += `${line}\n`),
      environment,
    }),
  );
  return { code, out, err };
}

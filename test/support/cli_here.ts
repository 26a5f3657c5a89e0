/** The command line tool in this process, where what it prints is judged and not how its process ends. */
import { cli } from "../../src/cli/main.ts";
import type { CliEnding } from "../processes/cli_process.ts";
import { chancesOfStarved } from "./chances.ts";
import { quietTerminal } from "./quiet_terminal.ts";

/**
 * Printed when the store did not answer a question in time, or no node a ping; nothing has been changed by then.
 */
const LATE = new RegExp(
  "^UNAVAILABLE: .* does not answer: the request to \\$JS\\.API\\." +
    "(STREAM\\.INFO|STREAM\\.MSG\\.GET|DIRECT\\.GET|CONSUMER\\.CREATE)\\.\\S+ timed out\n$" +
    "|NO_HANDLER\\b.*no live node handles ",
);

/**
 * Runs a command line to its end, as in a terminal that is none, with nothing in its environment but this. It runs
 * again, twice at most, when on a machine that stood still something did not answer it in time.
 */
export function cliHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliEnding> {
  return chancesOfStarved(2, () => once(args, environment), ({ out, err }) => out !== "" || !LATE.test(err));
}

async function once(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
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

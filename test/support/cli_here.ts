/**
 * The command line tool where what it prints is judged: in this process, or in one of its own, without what a machine
 * that stood still adds to it.
 */
import { cli } from "../../src/cli/main.ts";
import { type CliEnding, type CliOptions, runCli } from "../processes/cli_process.ts";
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

/** Lines that the node of a command logs when the store or the server answered it late; what it did goes on after. */
const LOGGED = /^(?:.* failed \(UNAVAILABLE: .*\)|lost the network, reconnecting|connected to the network again)\n/gm;

/**
 * Runs a command line to its end, as in a terminal that is none, with nothing in its environment but this. It runs
 * again, twice at most, when on a machine that stood still something did not answer it in time.
 */
export function cliHere(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliEnding> {
  return untilInTime(() => once(args, environment));
}

/** The same in a process of its own, in the runtime of this one. */
export function cliApart(args: readonly string[], options: CliOptions = {}): Promise<CliEnding> {
  return untilInTime(() => runCli(args, options));
}

async function untilInTime(run: () => Promise<CliEnding>): Promise<CliEnding> {
  const quiet = async () => {
    const { err, ...ending } = await run();
    return { ...ending, err: err.replace(LOGGED, "") };
  };
  return await chancesOfStarved(2, quiet, ({ out, err }) => out !== "" || !LATE.test(err));
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

/**
 * The command line tool: shows a cluster of Catga on NATS, and sends messages to it.
 *
 * ```sh
 * deno run -A jsr:@catga/catga/cli nodes
 * deno install -A -g -n catga jsr:@catga/catga/cli      # from then on: catga nodes
 * bun node_modules/@catga/catga/src/cli/main.js nodes   # after bunx jsr add @catga/catga; in Node with `node`
 * ```
 *
 * The commands are `nodes`, `top`, `doctor`, `check`, `contracts`, `call`, `watch`, `subscriptions`, `limits`,
 * `dead`, `outbox`, `rewind`, `schedules`, `entity`, `runs`, `run`, `locks`, `ping`, `backup`, `file`, `move`,
 * `pull`, `setup`, `users`, `bench`, `dashboard` and `docs`; `--help` explains each.
 *
 * @example
 * ```ts
 * import { cli } from "@catga/catga/cli";
 *
 * const code = await cli(["--version"]); // prints the version
 * console.log(code); // 0
 * ```
 *
 * @decides the commands and their exit codes
 *
 * @module
 */
import process from "node:process";
import { setImmediate, setInterval } from "node:timers";
import { printable } from "../data/printable.ts";
import { VERSION } from "../version.ts";
import { backup, file } from "./commands/file.ts";
import { bench } from "./commands/bench.ts";
import { call } from "./commands/call.ts";
import { check, contracts } from "./commands/check.ts";
import { fileOf } from "./cluster/connection.ts";
import { CONNECTION_FLAGS, readWords, UsageError } from "./terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "./terminal/cli_command.ts";
import { helpOf, helpOfAll } from "./commands/help.ts";
import { worded } from "./terminal/wording.ts";
import { entity } from "./commands/entity.ts";
import { dashboard } from "./commands/dashboard.ts";
import { docs } from "./commands/docs.ts";
import { doctor } from "./commands/doctor.ts";
import { move, pull } from "./commands/move.ts";
import { limits } from "./commands/limits.ts";
import { locks } from "./commands/locks.ts";
import { nodes } from "./commands/nodes.ts";
import { dead } from "./commands/dead.ts";
import { outbox } from "./commands/outbox.ts";
import { ping } from "./commands/ping.ts";
import { run as workflowRun, runs } from "./commands/runs.ts";
import { rewind } from "./commands/rewind.ts";
import { subscriptions } from "./commands/subscriptions.ts";
import { schedules } from "./commands/schedules.ts";
import { setup } from "./commands/setup.ts";
import { top } from "./commands/top.ts";
import type { Terminal } from "./terminal/terminal.ts";
import { nearest } from "./terminal/nearest_name.ts";
import { watch } from "./commands/watch.ts";
import { users } from "./commands/users.ts";

export type { Terminal };

const COMMANDS: readonly CliCommand[] = [
  nodes,
  top,
  doctor,
  check,
  contracts,
  call,
  watch,
  subscriptions,
  limits,
  dead,
  outbox,
  rewind,
  schedules,
  entity,
  runs,
  workflowRun,
  locks,
  ping,
  backup,
  file,
  move,
  pull,
  setup,
  users,
  bench,
  dashboard,
  docs,
];
/** Exit code of an invalid command line. */
const MISUSED = 2;

/**
 * Runs a command line of the tool, and resolves with its exit code. 0: done. 1: failed, or the cluster lacks what the
 * command line names. 2: the command line is wrong, whatever the cluster holds. Never rejects. `args` defaults to the
 * arguments of the process, `terminal` to its standard input and output, environment and Ctrl-C.
 *
 * @example
 * ```ts
 * import { cli } from "@catga/catga/cli";
 *
 * let printed = "";
 * const code = await cli(["nodes", "--help"], {
 *   write: (text) => void (printed += text),
 *   say: (line) => console.error(line),
 *   read: () => Promise.resolve(""),
 *   colors: false,
 *   environment: {},
 *   signal: new AbortController().signal,
 * });
 * console.log(code, printed.split("\n")[0]); // 0 Lists the nodes, what they handle, and their load.
 * ```
 */
export async function cli(args: readonly string[] = process.argv.slice(2), terminal?: Terminal): Promise<number> {
  if (terminal !== undefined) return await run(args, worded(terminal));
  const own = ownTerminal();
  try {
    return await run(args, worded(own.terminal));
  } finally {
    await own.close();
  }
}

async function run(args: readonly string[], terminal: Terminal): Promise<number> {
  // the command is only guessed here, because unknown options are reported before the command line is parsed
  let running: CliCommand | undefined = COMMANDS.find(({ name }) => name === args[0]);
  try {
    const { flags, words: [name, ...words], help, version, given } = readWords(args);
    if (version) {
      terminal.write(`catga ${VERSION}\n`);
      return DONE;
    }
    const isHelp = help || name === "help";
    const asked = name === "help" ? words[0] : name;
    const command = running = COMMANDS.find((each) => each.name === asked);
    if (asked !== undefined && command === undefined) {
      const near = nearest(asked, COMMANDS.map((each) => each.name));
      const hint = near === undefined
        ? `there are ${COMMANDS.map((each) => each.name).join(", ")}`
        : `did you mean ${near}? \`catga --help\` lists all`;
      throw new UsageError(`there is no command ${JSON.stringify(asked)}; ${hint}`);
    }
    if (isHelp || command === undefined) {
      const text = command === undefined ? helpOfAll(COMMANDS, terminal) : helpOf(command, terminal);
      if (isHelp) terminal.write(text);
      else terminal.say(text);
      return isHelp ? DONE : MISUSED;
    }
    const foreign = given.find((flag) => !(flag in CONNECTION_FLAGS) && !command.flags.some((own) => own === flag));
    if (foreign !== undefined) throw new UsageError(`${command.name} has no option --${foreign}`);
    if (command.needsNats !== undefined && fileOf(flags, terminal) !== undefined) {
      throw new UsageError(`${command.name} works over NATS only: ${command.needsNats}`);
    }
    const { words: usage = "" } = command;
    // arguments in brackets are optional, so they do not count
    const required = countWords(usage.replace(/\[.*?\]/g, ""));
    const allowed = usage.includes("…") ? Infinity : countWords(usage);
    if (words.length < required || words.length > allowed) {
      throw new UsageError(`usage: ${`catga ${command.name} ${usage}`.trimEnd()}`);
    }
    return await command.run(words, flags, terminal);
  } catch (error) {
    return ended(error, running, terminal);
  }
}

function countWords(text: string): number {
  return text.match(/\S+/g)?.length ?? 0;
}

/** Prints an error of a command, and returns the exit code for it. */
function ended(error: unknown, command: CliCommand | undefined, terminal: Terminal): number {
  if (error instanceof UsageError) {
    const about = command === undefined ? "" : `${command.name} `;
    terminal.say(`catga: ${printable(error.message)}\n\`catga ${about}--help\` says more`);
    return MISUSED;
  }
  // an error can be the user's mistake, such as an invalid address on the command line, for which `catga` throws a
  // TypeError
  const { message, code } = error as Error & { code?: unknown };
  const isOurs = typeof code === "string" && (error as Error).name === "CatgaError";
  terminal.say(printable(`${isOurs ? code : "catga"}: ${message}`));
  return error instanceof TypeError ? MISUSED : FAILED;
}

/** The terminal of this process. */
interface OwnTerminal {
  readonly terminal: Terminal;
  /** Resolves when what was written has left, or its reader is gone; never, if a program has replaced the stream. */
  flushed(): Promise<void>;
  /** Removes the listeners of the terminal. */
  close(): Promise<void>;
}

/** Returns the terminal of this process: its standard input and output, environment and Ctrl-C. */
function ownTerminal(): OwnTerminal {
  const { stdin, stdout, stderr, env } = process;
  let stop: AbortController | undefined;
  let isRead = true;
  /** Resolves when the last text that was written has left. */
  let last = Promise.resolve();
  const lose = (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") {
      // the reader of the pipe has closed it, as in `catga watch | head`: exit at once, except during `call`, whose
      // node first leaves the cluster, to avoid an alarm
      if (stop === undefined) process.exit(DONE);
      if (isRead) process.once("exit", () => process.exitCode = DONE);
      isRead = false;
      return stop.abort();
    }
    stderr.write(`catga: cannot write what it prints: ${error.message}\n`);
    process.exit(FAILED);
  };
  const ignore = () => {};
  const abort = () => stop?.abort();
  stdout.on("error", lose);
  // errors are ignored: without a reader of standard error, only the exit code reports the result
  stderr.on("error", ignore);
  const terminal: Terminal = {
    write(text) {
      // in Bun the callback of an empty text does not wait for what was written before it
      if (text === "") return;
      const { promise, resolve } = Promise.withResolvers<void>();
      last = promise;
      try {
        stdout.write(text, () => resolve());
      } catch (error) {
        // Deno throws if standard output is a file that cannot be written, also in callbacks that nobody awaits
        lose(error as NodeJS.ErrnoException);
      }
    },
    say: (line) => void (isRead && stderr.write(`${line}\n`)),
    async read() {
      let text = "";
      for await (const chunk of stdin.setEncoding("utf8")) text += chunk;
      return text;
    },
    get columns() {
      return stdout.isTTY ? stdout.columns || 80 : undefined; // `columns` is 0 in a pseudo-terminal without a size
    },
    get rows() {
      return stdout.isTTY ? stdout.rows || 24 : undefined;
    },
    colors: stdout.isTTY === true && !env.NO_COLOR,
    environment: env,
    // the signal is made on first use: in commands that do not use it, Ctrl-C ends the process at once, as Ctrl-C
    // does when it is pressed again
    get signal() {
      if (stop === undefined) {
        stop = new AbortController();
        process.once("SIGINT", abort);
      }
      return stop.signal;
    },
  };
  const flushed = () => last;
  const close = async () => {
    // the error of a write is emitted later
    await new Promise((resolve) => setImmediate(resolve));
    stdout.off("error", lose);
    stderr.off("error", ignore);
    process.off("SIGINT", abort);
  };
  return { terminal, flushed, close };
}

/**
 * How long the process may stay open after a command has ended: so many turns of the event loop, this many ms apart. A
 * process that stands still on a busy machine is not held open, and has its turns afterwards.
 */
const [MAX_TURNS, TURN] = [20, 50];

if (import.meta.main) {
  // the listeners stay, because a reader that closes the pipe may be noticed after the last write
  const { terminal, flushed } = ownTerminal();
  process.exitCode = await run(process.argv.slice(2), worded(terminal));
  // a store's file has opened its database
  const mayBeOpen = process.argv[2] === outbox.name;
  // begins when everything is printed; the timer does not hold the process open: it fires only if something else does
  void flushed().then(() => {
    let turns = 0;
    setInterval(() => {
      if (mayBeOpen) process.exit();
      if (++turns < MAX_TURNS) return;
      process.stderr.write(
        "catga: a loaded file holds the process open, as by an app, a server or a timer that it starts; the process " +
          "was ended. Give commands only files that export contracts and handlers, and --codec one that exports a codec\n",
      );
      process.exit();
    }, TURN).unref();
  });
}

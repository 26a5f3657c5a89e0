/** Lays out the texts of `--help`. The commands are listed in `main.ts`; their help texts are in their own files. */
import { CONNECTION_FLAGS, type FlagName, FLAGS } from "./flags.ts";
import type { CliCommand } from "./cli_command.ts";
import { bold, type Terminal } from "./terminal.ts";

/** Returns the help text of the tool. */
export function helpOfAll(commands: readonly CliCommand[], terminal: Terminal): string {
  const usage = commands.map(({ name, words }) => (words === undefined ? name : `${name} ${words}`));
  const width = Math.max(...usage.map((text) => text.length));
  return [
    "Shows a cluster of Catga, and sends to it.",
    "",
    bold(terminal, "Usage"),
    "  catga COMMAND [options]",
    "",
    bold(terminal, "Commands"),
    ...commands.map(({ summary }, i) => `  ${usage[i].padEnd(width)}  ${summary}`),
    "",
    bold(terminal, "Options of all commands"),
    ...flagLines(CONNECTION),
    ...column([["-h, --help", "this help, or that of a command"], ["    --version", "the version of Catga"]]),
    "",
    "NO_COLOR is respected. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    "`catga COMMAND --help` explains a command.",
    "",
  ].join("\n");
}

/** Returns the help text of one command. */
export function helpOf({ name, words, summary, flags, more }: CliCommand, terminal: Terminal): string {
  return [
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    "",
    bold(terminal, "Usage"),
    `  catga ${name}${words === undefined ? "" : ` ${words}`} [options]`,
    more,
    "",
    ...(flags.length === 0 ? [] : [bold(terminal, "Options"), ...flagLines(flags), ""]),
    bold(terminal, "Options of all commands"),
    ...flagLines(CONNECTION),
    "",
  ].join("\n");
}

const CONNECTION = Object.keys(CONNECTION_FLAGS) as (keyof typeof CONNECTION_FLAGS)[];

function flagLines(names: readonly FlagName[]): string[] {
  return column(names.map((name) => {
    const { short, value, variable, summary } = FLAGS[name];
    return [
      `${short === undefined ? "   " : `-${short},`} --${name}${value === undefined ? "" : ` ${value}`}`,
      variable === undefined ? summary : `${summary}; $${variable}`,
    ];
  }));
}

function column(rows: readonly (readonly [string, string])[]): string[] {
  return rows.map(([flag, summary]) => `  ${flag.padEnd(WIDTH)}  ${summary}`);
}

/** Width of the widest flag, in characters. */
const WIDTH = Math.max(
  ...Object.entries(FLAGS).map(([name, { value }]) => `    --${name}${value === undefined ? "" : ` ${value}`}`.length),
);

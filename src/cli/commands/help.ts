/** Lays out the texts of `--help`. The commands are listed in `main.ts`; their help texts are in their own files. */
import { CONNECTION_FLAGS, type FlagName, FLAGS } from "../terminal/flags.ts";
import { COMMAND_GROUPS, exampleOf } from "./command_groups.ts";
import type { CliCommand } from "../terminal/cli_command.ts";
import { bold, type Terminal } from "../terminal/terminal.ts";

/** Returns the help text of the tool. */
export function helpOfAll(commands: readonly CliCommand[], terminal: Terminal): string {
  const width = Math.max(...commands.map((command) => usageOf(command).length));
  return [
    "Inspect and operate a Catga cluster.",
    "",
    bold(terminal, "Usage"),
    "  catga COMMAND [options]",
    "",
    ...groupsOf(commands).flatMap(([title, own]) => [
      bold(terminal, title),
      ...own.map((command) => `  ${usageOf(command).padEnd(width)}  ${command.summary}`),
      "",
    ]),
    bold(terminal, "Options of all commands"),
    ...flagLines(CONNECTION),
    ...column([["-h, --help", "this help, or that of a command"], ["    --version", "the version of Catga"]]),
    "",
    "NO_COLOR is respected. Exit codes: 0 done, 1 failed, 2 wrong usage.",
    "`catga COMMAND --help` explains a command, with an example.",
    "`catga docs` prints the pages of the docs.",
    "",
  ].join("\n");
}

/** Returns the help text of one command. */
export function helpOf({ name, words, summary, flags, more }: CliCommand, terminal: Terminal): string {
  const example = exampleOf(name);
  return [
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    "",
    bold(terminal, "Usage"),
    `  catga ${name}${words === undefined ? "" : ` ${words}`} [options]`,
    ...(example === undefined ? [] : ["", bold(terminal, "Example"), `  ${example}`]),
    more,
    "",
    ...(flags.length === 0 ? [] : [bold(terminal, "Options"), ...flagLines(flags), ""]),
    bold(terminal, "Options of all commands"),
    ...flagLines(CONNECTION),
    "",
  ].join("\n");
}

function usageOf({ name, words }: CliCommand): string {
  return words === undefined ? name : `${name} ${words}`;
}

/** Returns the commands by the titles of their groups; those without a group come last. */
function groupsOf(commands: readonly CliCommand[]): (readonly [title: string, commands: readonly CliCommand[]])[] {
  const titleOf = ({ name }: CliCommand) =>
    COMMAND_GROUPS.find(({ examples }) => Object.hasOwn(examples, name))?.title ?? "Commands";
  const found = Map.groupBy(commands, titleOf);
  return [...COMMAND_GROUPS.map(({ title }) => title), "Commands"].flatMap((title) => {
    const own = found.get(title);
    return own === undefined ? [] : [[title, own] as const];
  });
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

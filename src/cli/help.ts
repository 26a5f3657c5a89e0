/** What `--help` says. */
import type { Command } from "./command.ts";
import { COMMAND_FLAGS, CONNECTION_FLAGS, type FlagName, type FlagSpec } from "./flags.ts";
import { bold, type Terminal } from "./terminal.ts";

const FLAGS: Readonly<Record<FlagName, FlagSpec>> = { ...CONNECTION_FLAGS, ...COMMAND_FLAGS };

/** The help of the whole. */
export function helpOfAll(commands: readonly Command[], terminal: Terminal): string {
  const usage = commands.map(({ name, words }) => (words === undefined ? name : `${name} ${words}`));
  const width = Math.max(...usage.map((text) => text.length));
  return [
    "Looks at a cluster of Catga, and sends to it.",
    "",
    bold(terminal, "Usage"),
    "  catga COMMAND [options]",
    "",
    bold(terminal, "Commands"),
    ...commands.map(({ says }, i) => `  ${usage[i].padEnd(width)}  ${says}`),
    "",
    bold(terminal, "Options of all commands"),
    ...flagLines(CONNECTION),
    ...column([["-h, --help", "this, or with a command what it does"], ["    --version", "the version of Catga"]]),
    "",
    "NO_COLOR is respected. Exit codes: 0 done, 1 failed, 2 asked in the wrong way.",
    "`catga COMMAND --help` says more.",
    "",
  ].join("\n");
}

/** The help of a command. */
export function helpOf({ name, words, says, flags, more }: Command, terminal: Terminal): string {
  return [
    `${says[0].toUpperCase()}${says.slice(1)}.`,
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
    const { short, value, says } = FLAGS[name];
    return [`${short === undefined ? "   " : `-${short},`} --${name}${value === undefined ? "" : ` ${value}`}`, says];
  }));
}

function column(rows: readonly (readonly [string, string])[]): string[] {
  return rows.map(([flag, says]) => `  ${flag.padEnd(WIDTH)}  ${says}`);
}

/** As wide as the widest of them. */
const WIDTH = Math.max(
  ...Object.entries(FLAGS).map(([name, { value }]) => `    --${name}${value === undefined ? "" : ` ${value}`}`.length),
);

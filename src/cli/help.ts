/**
 * Lays out `--help` (the commands are listed in `main.ts`, their words stand in their own files), and how the tool
 * words errors of the library.
 */
import { type CliCommand, CONNECTION_FLAGS, type FlagName, FLAGS } from "./flags.ts";
import { bold, type Terminal } from "./terminal.ts";

/** The help of the tool. */
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

/** The help of a command. */
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

/** The width of the widest flag. */
const WIDTH = Math.max(
  ...Object.entries(FLAGS).map(([name, { value }]) => `    --${name}${value === undefined ? "" : ` ${value}`}`.length),
);

// How the tool words errors of the library: with its flags in place of options, and each missing permission once.

/** A terminal whose lines on standard error are worded so. One for each command line. */
export function worded(terminal: Terminal): Terminal {
  const denied = new Set<string>();
  return Object.assign(Object.create(terminal), {
    say(line: string) {
      // the connection reports what the server denied, and so does each operation that failed of it
      if (DENIED.test(line)) {
        if (denied.has(line)) return;
        denied.add(line);
      }
      terminal.say(inFlags(line));
    },
  });
}

/** The advice of an error for the caller of `catga()`, as advice for whoever typed the command. */
export function inFlags(message: string): string {
  return ADVICE.reduce((text, [option, flags]) => text.replace(option, flags), message);
}

const DENIED = /^UNAVAILABLE: the NATS user may not /;

/** Advice in errors that names options of `catga()`, and the flags in its place. */
const ADVICE: readonly (readonly [option: RegExp, flags: string])[] = [
  [/ With `waitOnFirstConnect: true` in `nats` Catga waits for it$/, " --nats URL, or NATS_URL, says where it is"],
  [
    /check user and pass, token or authenticator in `nats`$/,
    "check --user and --password, --token, --creds or --nkey, or their variables ($NATS_USER and so on)",
  ],
  [/check `tls` in `nats`$/, "check --tlsca, --tlscert and --tlskey"],
  [/give `replicas: (\d+)`/, "give `--replicas $1`"],
];

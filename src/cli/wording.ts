/** How the tool words errors of the library: with its flags in place of options, and each missing permission once. */
import type { Terminal } from "./terminal.ts";

/** A terminal whose lines on standard error are worded so. One for each command line. */
export function worded(terminal: Terminal): Terminal {
  const denied = new Set<string>();
  return {
    write: (text) => terminal.write(text),
    say(line) {
      // the connection reports what the server denied, and so does each operation that failed of it
      if (DENIED.test(line)) {
        if (denied.has(line)) return;
        denied.add(line);
      }
      terminal.say(inFlags(line));
    },
    read: () => terminal.read(),
    get columns() {
      return terminal.columns;
    },
    get rows() {
      return terminal.rows;
    },
    get colors() {
      return terminal.colors;
    },
    get environment() {
      return terminal.environment;
    },
    get signal() {
      return terminal.signal;
    },
  };
}

/** The advice of an error for the caller of `catga()`, as advice for whoever typed the command. */
function inFlags(message: string): string {
  return ADVICE.reduce((text, [option, flags]) => text.replace(option, flags), message);
}

const DENIED = /^UNAVAILABLE: the NATS user may not /;

/** What errors advise, and the same with flags. */
const ADVICE: readonly (readonly [option: RegExp, flags: string])[] = [
  [/ With `waitOnFirstConnect: true` in `nats` Catga waits for it$/, " --nats URL, or NATS_URL, says where it is"],
  [
    /check user and pass, token or authenticator in `nats`$/,
    "check --user and --password, --token, --creds or --nkey, or their variables ($NATS_USER and so on)",
  ],
  [/give `replicas: (\d+)`/, "give `--replicas $1`"],
];

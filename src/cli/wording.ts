/** How the tool words errors of the library: with its flags in place of options, and each missing permission once. */
import type { Terminal } from "./terminal.ts";

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

/**
 * Rewords errors of the library for users of the tool: names flags in place of options, and prints each missing
 * permission once.
 */
import type { Terminal } from "./terminal.ts";

/**
 * Returns a terminal that rewords the lines for standard error. Make one for each command line, because it remembers
 * what was printed.
 */
export function worded(terminal: Terminal): Terminal {
  const denied = new Set<string>();
  return Object.assign(Object.create(terminal), {
    say(line: string) {
      // a denial is printed once, although the connection reports it, and so does each operation that fails because
      // of it
      if (DENIED.test(line)) {
        if (denied.has(line)) return;
        denied.add(line);
      }
      terminal.say(inFlags(line));
    },
  });
}

/** Replaces, in an error's text, advice for callers of `catga()` by advice for users of the command line. */
export function inFlags(message: string): string {
  return ADVICE.reduce((text, [option, flags]) => text.replace(option, flags), message);
}

const DENIED = /^UNAVAILABLE: the NATS user may not /;

/** Texts in errors that name options of `catga()`, each with the text that names the flags instead. */
const ADVICE: readonly (readonly [option: RegExp, flags: string])[] = [
  [/ With `waitOnFirstConnect: true` in `nats` Catga waits for it$/, " --nats URL, or NATS_URL, says where it is"],
  [
    /check user and pass, token or authenticator in `nats`$/,
    "check --user and --password, --token, --creds or --nkey, or their variables ($NATS_USER and so on)",
  ],
  [/check `tls` in `nats`$/, "check --tlsca, --tlscert and --tlskey"],
  [/give `replicas: (\d+)`/, "give `--replicas $1`"],
  [
    /nats must be an address such as .* or an open NatsConnection; got /,
    "--nats, or NATS_URL, must be an address such as nats://localhost:4222 or tls://host; got ",
  ],
];

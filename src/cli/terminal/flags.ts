/** The flags of the command line and their environment variables: declared, parsed and checked here. */
import { parseArgs } from "node:util";
import { checkToken, MAX_TIMEOUT } from "../../data/checks.ts";
import { readDuration } from "./duration.ts";

/** Error of a command line that is invalid whatever the cluster holds; the tool then exits with code 2. */
export class UsageError extends Error {}

/** A flag of the command line, and its help. */
export interface FlagSpec {
  /** Name of the flag's value in the help; absent: the flag takes no value. */
  readonly value?: string;
  readonly short?: string;
  readonly repeatable?: boolean;
  /** Environment variable that is used if the flag is not given; absent: none. */
  readonly variable?: string;
  readonly summary: string;
}

/** Flags of every command that connects to a cluster, by name. */
export const CONNECTION_FLAGS = {
  nats: {
    value: "URL",
    short: "s",
    repeatable: true,
    variable: "NATS_URL",
    summary: "NATS server; may be repeated; localhost",
  },
  file: { value: "PATH", short: "f", variable: "CATGA_FILE", summary: "the file of a program, instead of NATS" },
  namespace: { value: "NAME", short: "n", summary: 'the namespace of the cluster; "default"' },
  json: { summary: "one JSON value a line, for programs" },
  user: { value: "NAME", variable: "NATS_USER", summary: "the user, with --password" },
  password: { value: "WORD", variable: "NATS_PASSWORD", summary: "the user's password" },
  token: { value: "TOKEN", variable: "NATS_TOKEN", summary: "instead of a user" },
  creds: { value: "FILE", variable: "NATS_CREDS", summary: "a user's JWT and key" },
  nkey: { value: "FILE", variable: "NATS_NKEY", summary: "a user's nkey seed" },
  tlsca: { value: "FILE", variable: "NATS_CA", summary: "a CA to trust instead of the system's" },
  tlscert: { value: "FILE", variable: "NATS_CERT", summary: "the client's certificate, with --tlskey" },
  tlskey: { value: "FILE", variable: "NATS_KEY", summary: "the certificate's key" },
  codec: { value: "FILE", variable: "CATGA_CODEC", summary: "module that exports the codec" },
} as const satisfies Record<string, FlagSpec>;

/**
 * Flags of single commands of the tool, by name.
 * @decides a command's own flags, which are parsed and shown in its help
 */
export const COMMAND_FLAGS = {
  watch: { short: "w", summary: "stay, and show changes, until Ctrl-C" },
  once: { summary: "measure one second, show it, and end" },
  query: { summary: "send a query, where the records do not say so" },
  node: { value: "ID", summary: "send to this node only" },
  all: { summary: "send to every node that handles it" },
  id: { value: "ID", summary: "the message id: one result of an idempotent command" },
  key: { value: "KEY", summary: "the routing key; of a limit: one of its keys" },
  running: { value: "N", summary: "at most this many run at once" },
  per: { value: "N/TIME", summary: "so many begin in this time: 100/1s" },
  burst: { value: "N", summary: "so many may begin at once after a pause" },
  route: { value: "NAME", summary: "round-robin, hash, least-loaded, random" },
  header: { value: "NAME=VALUE", short: "H", repeatable: true, summary: "a header of the message; repeat for more" },
  timeout: { value: "TIME", short: "t", summary: "how long to wait: 500ms, 5s, 2m; 500 is 500ms" },
  count: { value: "N", short: "c", summary: "stop after this many" },
  after: { value: "N", summary: "leave out the first N events" },
  limit: { value: "N", summary: "show at most this many; 100, with --json all" },
  status: { value: "STATUS", summary: "only runs that are stuck, waiting, retrying, …" },
  ahead: { summary: "skip a step that is not recorded yet" },
  broken: { summary: "list entities whose events nodes cannot read" },
  reason: { value: "TEXT", summary: "why; it stays with the run, or the pause" },
  for: { value: "TIME", summary: "it ends by itself after this: 90s, 10m, 2h" },
  workflow: { value: "NAME", summary: "only runs of this workflow" },
  tag: { value: "TAG", summary: "only runs started with this tag" },
  stage: { value: "NAME", summary: "only runs whose last flow.stage is this one" },
  where: { value: "JSON", summary: "only runs whose view has these members" },
  since: { value: "TIME", summary: "only what began then or later" },
  until: { value: "TIME", summary: "only what began before" },
  cause: { value: "TEXT", summary: "only those whose error has this text in it" },
  release: { value: "KEY", summary: "take this lock away from its holder" },
  kind: { value: "KIND", summary: "only this kind: lock, lead or load" },
  replicas: { value: "N", summary: "how many NATS servers keep each, 1 to 5; 1" },
  subscription: { value: "NAME", summary: "only this subscription" },
  service: { value: "NAME", summary: "the service; @ is that of queued commands" },
  contract: { value: "NAME", summary: "only messages of this contract" },
  code: { value: "CODE", summary: "only those that failed with this code" },
  yes: { short: "y", summary: "do it to all that match, without asking" },
  print: { summary: "print `nats` commands instead" },
  against: { value: "FILE", summary: "compare with a file that `catga contracts` printed" },
  "allow-unknown": { summary: "exit code 0 if all that is left could not be judged" },
  seconds: { value: "N", summary: "how long each row takes, in s; 1" },
  port: { value: "N", summary: "the port of the page; 4280; 0 for any that is free" },
  host: { value: "NAME", summary: "what the page listens on; 127.0.0.1" },
  "allow-changes": { summary: "lets the page change what is stored, and pause" },
  "show-secrets": { summary: "show what contracts hide by their redact" },
  as: { value: "ID", repeatable: true, summary: "the id of a node, and its NATS user; may be repeated" },
  payload: { value: "BYTES", summary: "the size of a message's text; 26" },
} as const satisfies Record<string, FlagSpec>;

/** Name of a flag. */
export type FlagName = keyof typeof CONNECTION_FLAGS | keyof typeof COMMAND_FLAGS;

/** All flags of the tool, by name. */
export const FLAGS: Readonly<Record<FlagName, FlagSpec>> = { ...CONNECTION_FLAGS, ...COMMAND_FLAGS };

/** The flags given on a command line, checked. */
export class Flags {
  readonly #given: ReturnType<typeof parseArgs>["values"];

  constructor(given: ReturnType<typeof parseArgs>["values"]) {
    this.#given = given;
  }

  has(name: FlagName): boolean {
    return this.#given[name] !== undefined;
  }

  text(name: FlagName): string | undefined {
    // cast: parseArgs returns a string for a flag with a value
    return this.#given[name] as string | undefined;
  }

  /** Returns a flag's value that is looked for in texts. Throws a {@link UsageError} if it is empty: each has it. */
  part(name: FlagName): string | undefined {
    const text = this.text(name);
    if (text === "") throw new UsageError(`--${name} needs a text that is not empty: every one contains that`);
    return text;
  }

  texts(name: FlagName): readonly string[] {
    // cast: parseArgs returns an array of strings for a flag that may be repeated
    return (this.#given[name] as string[] | undefined) ?? [];
  }

  /**
   * Returns the flag's value as a whole number from `least` to `most`; `undefined`: not given. Throws a
   * {@link UsageError} if it is invalid.
   */
  number(name: FlagName, least: number, most: number): number | undefined {
    return this.#read(name, `a whole number from ${least} to ${most}`, (text) => {
      const value = Number(text);
      return /^\d+$/.test(text) && value >= least && value <= most ? value : undefined;
    });
  }

  /** Returns the maximum number of rows to show: the value of `--limit`; default: 100, with `--json` no limit. */
  limit(): number {
    return this.number("limit", 1, Number.MAX_SAFE_INTEGER) ?? (this.has("json") ? Infinity : 100);
  }

  /**
   * Returns the flag's value as a duration in ms; `undefined`: not given. Throws a {@link UsageError} if it is
   * invalid.
   */
  duration(name: FlagName): number | undefined {
    return this.#read(name, "a time such as 500ms, 5s or 2m, 1ms to 596h", (text) => {
      const ms = readDuration(text);
      return ms !== undefined && ms >= 1 && ms <= MAX_TIMEOUT ? ms : undefined;
    });
  }

  /**
   * Returns the flag's value as a time: a duration before now, or a date; `undefined`: not given. Throws a
   * {@link UsageError} if it is invalid.
   */
  time(name: FlagName): Date | undefined {
    return this.#read(name, "a time such as 2h (ago), 2026-11-30 or 2026-11-30T08:00Z", (text) => {
      const [, day, hour = "T00:00", zone = "Z"] = DATE.exec(text) ?? [];
      if (day !== undefined) {
        const isDay = new Date(`${day}T00:00Z`).toJSON()?.startsWith(day); // 31 February would be in March
        const time = new Date(day + hour + zone);
        return isDay && !Number.isNaN(time.getTime()) ? time : undefined;
      }
      const ms = /^\d+$/.test(text) ? undefined : readDuration(text); // a figure alone is no time ago
      return ms === undefined ? undefined : new Date(Date.now() - ms);
    });
  }

  choice<Choice extends string>(name: FlagName, choices: readonly Choice[]): Choice | undefined {
    return this.#read(name, choices.join(", "), (text) => choices.find((choice) => choice === text));
  }

  #read<T>(name: FlagName, takes: string, read: (text: string) => T | undefined): T | undefined {
    const text = this.text(name);
    const value = text === undefined ? undefined : read(text);
    if (text === undefined || value !== undefined) return value;
    throw new UsageError(`--${name} takes ${takes}; got ${JSON.stringify(text)}`);
  }

  /** Namespace of the cluster, from `--namespace` or its default. */
  get namespace(): string {
    const namespace = this.text("namespace") ?? "default";
    checkedToken("--namespace", namespace);
    return namespace;
  }
}

/** A day, perhaps with a time of it, and a zone; without one it is in UTC. */
const DATE = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/;

/** Throws a {@link UsageError} unless the value of the flag `name` is valid as an id, namespace or service. */
export function checkedToken(name: string, value: string): void {
  try {
    checkToken(name, value);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** A parsed command line. */
interface Words {
  readonly flags: Flags;
  /** Words that are not flags: the command, and its arguments. */
  readonly words: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
  /** Names of the flags that were given. */
  readonly given: readonly string[];
}

/** Parses a command line, in which flags may stand anywhere. Throws a {@link UsageError} if it is invalid. */
export function readWords(args: readonly string[]): Words {
  const options: NonNullable<Parameters<typeof parseArgs>[0]>["options"] = {
    help: { type: "boolean", short: "h" },
    version: { type: "boolean" },
  };
  for (const [name, { value, short, repeatable }] of Object.entries(FLAGS)) {
    options[name] = {
      type: value === undefined ? "boolean" : "string",
      ...(short === undefined ? {} : { short }),
      ...(repeatable ? { multiple: true } : {}),
    };
  }
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(complaint(error as Error));
  }
  const { values, positionals } = parsed;
  const { help = false, version = false, ...rest } = values;
  return {
    flags: new Flags(rest),
    words: positionals,
    help: help === true,
    version: version === true,
    given: Object.keys(rest),
  };
}

/**
 * Rewords an error of parseArgs for this tool, because the texts of parseArgs differ between the runtimes and contain
 * advice on quoting.
 */
function complaint({ message }: Error): string {
  // Bun (1.4) omits the dash of an option that follows another one, as in -wx
  const [, unknown] = /^unknown option ['"]-?([^'"]*)['"]/i.exec(message) ?? [];
  if (unknown !== undefined) return `there is no option -${unknown}`;
  // the pattern matches texts such as 'Option '-s, --nats <value>' argument missing'
  const [, option] = /['"](?:-\w, )?(-[^'"]*)['"]/.exec(message) ?? [];
  const name = option?.replace(/^-+/, "").replace(/[ =].*$/, "") ?? "";
  const [long, spec] = Object.entries(FLAGS).find(([long, { short }]) => long === name || short === name) ?? [name];
  if (spec?.value !== undefined) return `--${long} needs a value: ${spec.value}`;
  if (spec !== undefined || name === "help" || name === "version") return `--${long} takes no value`;
  return message;
}

/** What may stand on the command line: read and checked once, here. */
import process from "node:process";
import { parseArgs } from "node:util";
import { checkToken } from "../contract/checks.ts";
import { readDuration } from "./duration.ts";

/** What was asked for makes no sense; exit code 2. */
export class UsageError extends Error {}

/** A flag as it is written and explained. */
export interface FlagSpec {
  /** Its value in the help; none for one that is only there or not. */
  readonly value?: string;
  readonly short?: string;
  readonly many?: boolean;
  readonly says: string;
}

/** Flags of every command that speaks to a cluster. */
export const CONNECTION_FLAGS = {
  nats: { value: "URL", short: "s", many: true, says: "NATS server; again for more; $NATS_URL; localhost:4222" },
  namespace: { value: "NAME", short: "n", says: 'the namespace of the cluster; "default"' },
  json: { says: "one JSON value a line, for programs" },
  user: { value: "NAME", says: "the user, with --password; $NATS_USER" },
  password: { value: "WORD", says: "$NATS_PASSWORD" },
  token: { value: "TOKEN", says: "instead of a user; $NATS_TOKEN" },
  creds: { value: "FILE", says: "a user's JWT and key; $NATS_CREDS" },
  nkey: { value: "FILE", says: "a user's nkey seed; $NATS_NKEY" },
  tlsca: { value: "FILE", says: "an authority to trust, not the system's; $NATS_CA" },
  tlscert: { value: "FILE", says: "a certificate of ours, with --tlskey; $NATS_CERT" },
  tlskey: { value: "FILE", says: "$NATS_KEY" },
} as const satisfies Record<string, FlagSpec>;

/** Flags of single commands. */
export const COMMAND_FLAGS = {
  watch: { short: "w", says: "go on, and show what changes, until Ctrl-C" },
  query: { says: "send a query, which may run more than once" },
  node: { value: "ID", says: "this node and no other" },
  all: { says: "every node that handles it, and each answer" },
  id: { value: "ID", says: "of the message: of an idempotent command, one result" },
  key: { value: "KEY", says: "the routing key" },
  route: { value: "NAME", says: "round-robin, hash, least-loaded, random" },
  header: { value: "K=V", short: "H", many: true, says: "goes along to the handler; again for more" },
  timeout: { value: "TIME", short: "t", says: "how long to wait: 500ms, 5s, 2m" },
  count: { value: "N", short: "c", says: "end after so many" },
  release: { value: "KEY", says: "take a lock away from its holder, see below" },
  kind: { value: "KIND", says: "lock, lead or load: only these" },
  replicas: { value: "N", says: "on how many NATS servers a bucket is kept, 1 to 5; 1" },
  print: { says: "print `nats` commands instead" },
  seconds: { value: "N", says: "how long each row takes; 1" },
  payload: { value: "BYTES", says: "the size of a message's text; 26" },
} as const satisfies Record<string, FlagSpec>;

/** The name of a flag. */
export type FlagName = keyof typeof CONNECTION_FLAGS | keyof typeof COMMAND_FLAGS;

const ALL: Readonly<Record<string, FlagSpec>> = { ...CONNECTION_FLAGS, ...COMMAND_FLAGS };

/** The flags that were given, checked. */
export class Flags {
  readonly #given: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

  constructor(given: Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>) {
    this.#given = given;
  }

  has(name: FlagName): boolean {
    return this.#given[name] !== undefined;
  }

  text(name: FlagName): string | undefined {
    // parseArgs gives a string for what has a value
    return this.#given[name] as string | undefined;
  }

  texts(name: FlagName): readonly string[] {
    // and an array of them for what may be given again
    return (this.#given[name] as string[] | undefined) ?? [];
  }

  /** A whole number. */
  number(name: FlagName, least: number, most: number): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new UsageError(`--${name} takes a whole number from ${least} to ${most}; got ${JSON.stringify(text)}`);
  }

  /** In ms. */
  duration(name: FlagName): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const ms = readDuration(text);
    if (ms !== undefined && ms >= 1 && ms <= LONGEST) return ms;
    throw new UsageError(`--${name} takes a time such as 500ms, 5s or 2m; got ${JSON.stringify(text)}`);
  }

  choice<Choice extends string>(name: FlagName, choices: readonly Choice[]): Choice | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    throw new UsageError(`--${name} takes ${choices.join(", ")}; got ${JSON.stringify(text)}`);
  }

  /** The namespace of the cluster. */
  get namespace(): string {
    const namespace = this.text("namespace") ?? "default";
    checkedToken("--namespace", namespace);
    return namespace;
  }
}

const LONGEST = 2_147_483_647; // ms: the longest timeout of a send

/** Throws for what is no id, namespace or service. */
export function checkedToken(name: string, value: string): void {
  try {
    checkToken(name, value);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** A command line in its parts. */
export interface Words {
  readonly flags: Flags;
  /** What is no flag: the command, and what it is about. */
  readonly words: readonly string[];
  readonly help: boolean;
  readonly version: boolean;
  /** The flags that are there. */
  readonly given: readonly string[];
}

/** Reads a command line. Flags may stand anywhere. Throws {@link UsageError}. */
export function readWords(args: readonly string[] = process.argv.slice(2)): Words {
  const options: NonNullable<Parameters<typeof parseArgs>[0]>["options"] = {
    help: { type: "boolean", short: "h" },
    version: { type: "boolean" },
  };
  for (const [name, { value, short, many }] of Object.entries(ALL)) {
    options[name] = {
      type: value === undefined ? "boolean" : "string",
      ...(short === undefined ? {} : { short }),
      ...(many ? { multiple: true } : {}),
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

/** What parseArgs complains of, in our words: its own differ between the runtimes, and end with advice on quoting. */
function complaint({ message }: Error): string {
  // 'Option '-s, --nats <value>' argument missing'
  const [, option] = /['"](?:-\w, )?(-[^'"]*)['"]/.exec(message) ?? [];
  const name = option?.replace(/^-+/, "").replace(/[ =].*$/, "") ?? "";
  const spec = ALL[name] ?? Object.values(ALL).find(({ short }) => short === name);
  if (/^unknown option/i.test(message)) return `there is no option ${option}`;
  if (spec?.value !== undefined) return `--${name} needs a value: ${spec.value}`;
  if (spec !== undefined || name === "help" || name === "version") return `--${name} takes no value`;
  return message;
}

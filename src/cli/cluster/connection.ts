/** Makes the connection options of nats.js from flags and environment variables. */
import { readFile } from "node:fs/promises";
import type { ConnectionOptions, PayloadCodec } from "../../../mod.ts";
import { checkCodec } from "../../contract/declaration/payload_codec.ts";
import { loadDriver } from "../../nats/connection/driver.ts";
import { CONNECTION_FLAGS, type Flags, UsageError } from "../terminal/flags.ts";
import { importFile } from "./program_module.ts";
import type { Terminal } from "../terminal/terminal.ts";

/**
 * Returns the options of nats.js for the connection. Throws a {@link UsageError} for flags that exclude each other,
 * and for a file that cannot be read.
 * @decides the tool's connection: `--nats` and the default address, token, credentials, and which exclude each other
 */
export async function connectionOptions(flags: Flags, terminal: Terminal): Promise<ConnectionOptions> {
  const given = (name: Exclude<keyof typeof CONNECTION_FLAGS, "nats" | "file" | "namespace" | "json" | "codec">) =>
    flags.text(name) ?? (terminal.environment[CONNECTION_FLAGS[name].variable] || undefined);
  const [user, pass, token, creds, nkey] = (["user", "password", "token", "creds", "nkey"] as const).map(given);
  if ((user === undefined) !== (pass === undefined)) throw new UsageError("--user and --password go together");
  const ways = Object.entries({ "--user": user, "--token": token, "--creds": creds, "--nkey": nkey })
    .filter(([, value]) => value !== undefined).map(([name]) => name);
  if (ways.length > 1) throw new UsageError(`${ways.join(" and ")} exclude each other: give one of them`);
  const [ca, cert, key] = (["tlsca", "tlscert", "tlskey"] as const).map(given);
  if ((cert === undefined) !== (key === undefined)) throw new UsageError("--tlscert and --tlskey go together");
  const tls = {
    ...(ca === undefined ? {} : { ca: await contents("--tlsca", ca) }),
    ...(cert === undefined ? {} : { cert: await contents("--tlscert", cert) }),
    ...(key === undefined ? {} : { key: await contents("--tlskey", key) }),
  };
  return {
    servers: addresses(flags, terminal),
    ...(user === undefined ? {} : { user }),
    ...(pass === undefined ? {} : { pass }),
    ...(token === undefined ? {} : { token }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(creds === undefined ? {} : { authenticator: await authenticator("creds", creds) }),
    ...(nkey === undefined ? {} : { authenticator: await authenticator("nkey", nkey) }),
  };
}

/**
 * Returns the path of the file that `--file` or the environment names, instead of NATS. Throws a {@link UsageError} if
 * both are given.
 */
export function fileOf(flags: Flags, terminal: Terminal): string | undefined {
  const file = flags.text("file");
  if (file !== undefined && flags.has("nats")) throw new UsageError("--file and --nats exclude each other");
  if (file === "") throw new UsageError("--file takes the path of a file");
  return file ?? (flags.has("nats") ? undefined : terminal.environment[CONNECTION_FLAGS.file.variable] || undefined);
}

/**
 * Loads the payload codec that `--codec` names; `undefined` without that flag. Rejects with a {@link UsageError} or
 * `TypeError` for a module that cannot be loaded, or has no codec.
 */
export async function codecOf(flags: Flags, terminal: Terminal): Promise<PayloadCodec | undefined> {
  const file = flags.text("codec") ?? (terminal.environment[CONNECTION_FLAGS.codec.variable] || undefined);
  if (file === undefined) return undefined;
  const codec = (await importFile(file)).default as PayloadCodec; // checked by the next line
  checkCodec(`--codec: the default export of ${file}`, codec);
  return codec;
}

/** Returns the addresses of NATS; one value may contain several, separated by commas. */
function addresses(flags: Flags, terminal: Terminal): string[] {
  const given = flags.has("nats") ? flags.texts("nats") : [terminal.environment.NATS_URL || "nats://localhost:4222"];
  return given.flatMap((text) => text.split(",")).map((text) => text.trim());
}

async function contents(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(`${flag}: cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? error}`);
  }
}

/** Makes an authenticator of nats.js from the contents of a file. */
async function authenticator(
  kind: "creds" | "nkey",
  file: string,
): Promise<NonNullable<ConnectionOptions["authenticator"]>> {
  const text = (await contents(`--${kind}`, file)).trim();
  const { credsAuthenticator, nkeyAuthenticator } = await loadDriver(undefined);
  const encode = (text: string) => new TextEncoder().encode(text);
  // the parser of credentials expects a line break at the end
  const made = kind === "creds" ? credsAuthenticator(encode(`${text}\n`)) : nkeyAuthenticator(encode(text));
  try {
    made("a nonce"); // parses the text now, so that an invalid file is not reported as refused by the server
  } catch (error) {
    const wanted = kind === "creds" ? "credentials (a user's JWT and its seed)" : "seed of an nkey (SU…)";
    throw new UsageError(`--${kind}: ${file} contains no ${wanted}`, { cause: error });
  }
  return made;
}

// Disposes of a resource after use, like `await using`, which Node 22 cannot parse.

/** Runs `work` with a resource, and disposes of the resource when `work` has ended or failed. */
export async function disposing<R extends AsyncDisposable, T>(
  opening: Promise<R>,
  work: (resource: R) => Promise<T>,
): Promise<T> {
  const resource = await opening;
  try {
    return await work(resource);
  } finally {
    await resource[Symbol.asyncDispose]();
  }
}

/**
 * The nats-server binary: the one on PATH, else one that is fetched into `.cache/`. Runs in Deno, Bun and Node.
 *
 *   deno run -A tools/nats_binary.ts        prints the path and the version, after fetching the binary if need be
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The oldest nats-server with a ttl for single keys. */
const OLDEST = [2, 11] as const;
/** The release that is fetched where there is none. */
const RELEASE = "2.15.1";
/** The name of its file. */
const EXECUTABLE = process.platform === "win32" ? "nats-server.exe" : "nats-server";
const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "nats-server");

/** The error where none can be had. */
export const MISSING =
  `no nats-server ${OLDEST.join(".")} or newer: put one on the PATH, or let this machine reach GitHub or a ` +
  "Debian mirror";

let found: Promise<string | undefined> | undefined;

/**
 * The path of a nats-server of at least 2.11: the one on PATH, else one fetched before into `.cache/nats-server`,
 * else the release from GitHub, else the package of Debian forky (extracted, not installed); stderr says what is
 * fetched. `undefined` where there is none. Looked for once per process.
 */
export function findNatsServer(): Promise<string | undefined> {
  return found ??= (async () => {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      const file = join(folder, EXECUTABLE);
      if (folder !== "" && existsSync(file) && await fits(file)) return file;
    }
    const cached = join(CACHE, EXECUTABLE);
    if (existsSync(cached) && await fits(cached)) return cached;
    for (const { name, fetchBinary } of SOURCES) {
      console.error(`nats-server: none is here; fetching ${name}`);
      await mkdir(CACHE, { recursive: true });
      // beside its place, so that the rename is atomic and two processes may fetch at once
      const folder = await mkdtemp(join(CACHE, "fetch-"));
      try {
        const binary = await fetchBinary(folder);
        await chmod(binary, 0o755);
        if (!await fits(binary)) throw new Error(`${binary} does not run here or is too old`);
        await rename(binary, cached);
        return cached;
      } catch (error) {
        console.error(`nats-server: could not fetch ${name}: ${reason(error as Error)}`);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
    return undefined;
  })();
}

/** Where a nats-server is fetched from, tried in this order; the names are for stderr. */
const SOURCES = [
  { name: `release ${RELEASE} from GitHub`, fetchBinary: fromGitHub },
  { name: "the package of Debian forky from this machine's Debian mirror", fetchBinary: fromDebian },
] as const;

/** The first line of an error, and of its cause for a `TypeError`: `fetch` puts the reason there. */
function reason(error: Error): string {
  const lines = error instanceof TypeError && error.cause instanceof Error ? [error, error.cause] : [error];
  return lines.map(({ message }) => message.split("\n")[0]).join(": ");
}

/** The version that a nats-server binary reports, such as `2.15.1`; `undefined` when it does not run. */
export async function natsServerVersion(binary: string): Promise<string | undefined> {
  const output = await run(binary, ["--version"], 10_000).catch(() => "");
  return /v?(\d+\.\d+\.\d+)/.exec(output)?.[1];
}

async function fits(binary: string): Promise<boolean> {
  const [major, minor] = (await natsServerVersion(binary) ?? "0.0").split(".").map(Number);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}

async function fromGitHub(folder: string): Promise<string> {
  const system = { linux: "linux", darwin: "darwin", win32: "windows" }[process.platform as string];
  const machine = { x64: "amd64", arm64: "arm64", arm: "arm7", ia32: "386" }[process.arch as string];
  if (system === undefined || machine === undefined) {
    throw new Error(`no release for ${process.platform} on ${process.arch}`);
  }
  const name = `nats-server-v${RELEASE}-${system}-${machine}`;
  const archive = `${name}.${system === "windows" ? "zip" : "tar.gz"}`;
  const url = `https://github.com/nats-io/nats-server/releases/download/v${RELEASE}/${archive}`;
  // three seconds to answer, a minute to send
  const patience = new AbortController();
  let timer = setTimeout(() => patience.abort(new Error(`${url} did not answer within 3 s`)), 3_000);
  try {
    const response = await fetch(url, { signal: patience.signal });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`${url} answered ${response.status}`);
    timer = setTimeout(() => patience.abort(new Error(`${url} took longer than a minute`)), 60_000);
    await writeFile(join(folder, archive), new Uint8Array(await response.arrayBuffer()));
  } finally {
    clearTimeout(timer);
  }
  // the tar of Windows reads zip files as well
  await run("tar", ["-xf", join(folder, archive), "-C", folder], 60_000);
  return join(folder, name, EXECUTABLE);
}

/** Debian 12's own package is 2.9; that of forky runs on it. The mirrors are those that this machine's sources name. */
async function fromDebian(folder: string): Promise<string> {
  const stanzas = (await readFile("/etc/apt/sources.list.d/debian.sources", "utf8")).split(/\n\s*\n/)
    .filter((stanza) => /^Suites:/m.test(stanza) && !/^Suites:.*-security/m.test(stanza))
    .map((stanza) => stanza.replace(/^Suites:.*$/m, "Suites: forky"));
  if (stanzas.length === 0) throw new Error("debian.sources names no mirror");
  const sources = join(folder, "forky.sources");
  const [lists, cache, none] = [join(folder, "lists"), join(folder, "cache"), join(folder, "none")];
  await writeFile(sources, stanzas.join("\n\n"));
  await mkdir(join(lists, "partial"), { recursive: true });
  await mkdir(join(cache, "archives", "partial"), { recursive: true });
  await mkdir(none);
  const settings = [
    `Dir::Etc::sourcelist=${sources}`,
    `Dir::Etc::sourceparts=${none}`,
    `Dir::State::Lists=${lists}`,
    `Dir::Cache=${cache}`,
    "Acquire::Languages=none",
    "Acquire::Retries=2",
  ].flatMap((setting) => ["-o", setting]);
  await run("apt-get", [...settings, "-q", "update"], 120_000);
  await run("apt-get", [...settings, "-q", "download", "nats-server"], 120_000, folder);
  const file = (await readdir(folder)).find((name) => name.endsWith(".deb"));
  if (file === undefined) throw new Error("apt-get downloaded nothing");
  await run("dpkg", ["-x", join(folder, file), folder], 60_000);
  return join(folder, "usr", "sbin", EXECUTABLE);
}

function run(command: string, args: readonly string[], limit: number, folder?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, [...args], { timeout: limit, cwd: folder }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${command}: ${stderr.trim() || error.message}`, { cause: error }));
      else resolve(stdout);
    });
  });
}

if (process.argv[1] !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const binary = await findNatsServer();
  console.log(binary === undefined ? MISSING : `${binary} ${await natsServerVersion(binary)}`);
}

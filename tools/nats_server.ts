/**
 * A nats-server for tests, benches and demos: found or fetched ({@link findNatsServer}), started on a free port and
 * stopped again ({@link startNatsServer}, {@link startNatsCluster}). Runs in Deno, Bun and Node.
 *
 *   deno run -A tools/nats_server.ts        prints where the binary is, after having fetched it if need be
 */
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The oldest nats-server with a ttl for single keys. */
const OLDEST = [2, 11] as const;
/** The release that is fetched where there is none. */
const RELEASE = "2.15.1";
const EXECUTABLE = process.platform === "win32" ? "nats-server.exe" : "nats-server";
const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "nats-server");
/** A server that has not come up after this time will not, in ms. */
const START_LIMIT = 20_000;

/** A running nats-server. */
export interface NatsServer extends AsyncDisposable {
  /** `nats://127.0.0.1:<port>`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Where JetStream keeps its data. */
  readonly storeDir: string;
  /** Sends a signal; resolves at once for `SIGSTOP` and `SIGCONT`, else when the process is gone. The store stays. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends the process and deletes its store, unless that was given. Idempotent. */
  stop(): Promise<void>;
}

/** Options of {@link startNatsServer}. */
export interface NatsServerOptions {
  /** Whether it has JetStream; `true`. */
  jetstream?: boolean;
  /** Where JetStream keeps its data, and left there; a temporary folder. */
  storeDir?: string;
  /** The port to listen on; a free one. */
  port?: number;
  /** The text of a configuration file. */
  config?: string;
  /** More arguments for the command line. */
  args?: readonly string[];
}

/** Starts a nats-server on 127.0.0.1; resolves when it takes connections. Rejects when there is none to be had. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const binary = await findNatsServer();
  if (binary === undefined) throw new Error(MISSING);
  const folder = await mkdtemp(join(tmpdir(), "catga-nats-"));
  const storeDir = options.storeDir ?? join(folder, "store");
  const log = join(folder, "log");
  const args = ["-a", "127.0.0.1", "-p", `${options.port ?? -1}`, "--ports_file_dir", folder, "-l", log];
  if (options.jetstream ?? true) args.push("-js", "-sd", storeDir);
  if (options.config !== undefined) {
    const file = join(folder, "nats.conf");
    await writeFile(file, options.config);
    args.push("-c", file);
  }
  const child = spawn(binary, [...args, ...options.args ?? []], { stdio: "ignore" });
  let gone = false;
  const exited = new Promise<void>((resolve) => {
    const end = () => {
      gone = true;
      resolve();
    };
    child.once("exit", end);
    child.once("error", end);
  });
  child.unref();
  const pid = child.pid ?? 0;
  const release = guard(pid, folder);

  let stopped: Promise<void> | undefined;
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (gone) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      // ESRCH: it ended by itself, or by the same Ctrl-C as its parent, and its exit event is still on its way
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    if (signal === "SIGSTOP" || signal === "SIGCONT") return;
    child.ref();
    await exited;
  };
  const stop = (): Promise<void> =>
    stopped ??= (async () => {
      if (!gone) {
        // a stopped process takes no other signal
        await kill("SIGKILL");
      }
      release();
      await rm(folder, { recursive: true, force: true });
    })();

  try {
    const port = options.port ?? await announcedPort(folder, pid, () => gone);
    await until(() => gone || greets(port), START_LIMIT);
    if (gone) throw new Error("the process ended");
    return {
      url: `nats://127.0.0.1:${port}`,
      port,
      pid,
      storeDir,
      kill,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const text = await readFile(log, "utf8").catch(() => "");
    await stop();
    throw new Error(`nats-server did not start: ${(error as Error).message}\n${text.slice(-2_000)}`, { cause: error });
  }
}

/** A few routed servers; `servers[i]` may be stopped alone and started anew with {@link NatsCluster.restart}. */
export interface NatsCluster extends AsyncDisposable {
  readonly servers: readonly NatsServer[];
  readonly urls: readonly string[];
  /** Starts a server that was killed anew, on its port and its store; resolves when JetStream has a leader. */
  restart(index: number): Promise<NatsServer>;
  /** Ends them all. Idempotent. */
  stop(): Promise<void>;
}

/** Starts `size` servers with routes to each other; resolves when JetStream has a leader. */
export async function startNatsCluster(size: number): Promise<NatsCluster> {
  for (let tries = 1;; tries++) {
    try {
      return await tryToStartCluster(size);
    } catch (error) {
      // another process was given one of its ports since they were found to be free
      if (tries === 5 || !`${error}`.includes("address already in use")) throw error;
    }
  }
}

async function tryToStartCluster(size: number): Promise<NatsCluster> {
  const folder = await mkdtemp(join(tmpdir(), "catga-nats-cluster-"));
  // all at once: one that is free again may be given a second time
  const ports = await freePorts(3 * size);
  const [clients, routes, monitors] = [0, 1, 2].map((part) => ports.slice(part * size, (part + 1) * size));
  const start = (index: number) =>
    startNatsServer({
      port: clients[index],
      storeDir: join(folder, `store${index}`),
      config: `
        server_name: n${index}
        http: "127.0.0.1:${monitors[index]}"
        lame_duck_duration: "30s"
        lame_duck_grace_period: "1s"
        cluster {
          name: catga, listen: "127.0.0.1:${routes[index]}"
          routes: [${routes.map((port) => `"nats://127.0.0.1:${port}"`).join(", ")}]
        }`,
    });
  const ready = () =>
    until(async () => {
      const states = await Promise.all(monitors.map((port) => jetStreamReady(port, size - 1)));
      return states.every((state) => state !== "away") && states.includes("leads");
    }, START_LIMIT);
  const servers: NatsServer[] = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(folder, { recursive: true, force: true });
  };
  const started = await Promise.allSettled(Array.from({ length: size }, (_, index) => start(index)));
  for (const each of started) if (each.status === "fulfilled") servers.push(each.value);
  const failed = started.find((each) => each.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  try {
    await ready();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    servers,
    urls: clients.map((port) => `nats://127.0.0.1:${port}`),
    async restart(index: number) {
      await servers[index].stop();
      servers[index] = await start(index);
      await ready();
      return servers[index];
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** What a test that needs a nats-server hands to `describe`. */
export interface Requirement {
  /** Why the test is skipped, or `false` when it runs. */
  readonly skip: string | false;
}

/**
 * Whether tests that need a nats-server can run: `describe("x", await requireNatsServer(), () => …)`. Where none can be
 * had they are skipped, with the reason on stderr; with `CI=true` in the environment this rejects instead.
 */
export async function requireNatsServer(): Promise<Requirement> {
  if (await findNatsServer() !== undefined) return { skip: false };
  if (process.env.CI === "true") throw new Error(MISSING);
  console.error(`skipped: ${MISSING}`);
  return { skip: MISSING };
}

const MISSING =
  `no nats-server ${OLDEST.join(".")} or newer: put one on the PATH, or let this machine reach GitHub or a ` +
  "Debian mirror";

let found: Promise<string | undefined> | undefined;

/** Where a nats-server is fetched from, one after the other, and in words. */
const SOURCES = [
  { name: `release ${RELEASE} from GitHub`, fetchBinary: fromGitHub },
  { name: "the package of Debian forky from this machine's Debian mirror", fetchBinary: fromDebian },
] as const;

/**
 * The path of a nats-server of at least 2.11: the one on the PATH, else one fetched before into `.cache/nats-server`,
 * else the release from GitHub, else the package of Debian forky (extracted, not installed); what is fetched is said on
 * stderr. Asked once per process.
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

/** The first line of an error; and why, which `fetch` says in the cause of its `TypeError`. */
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

/** Debian 12's own package is 2.9; forky's runs on it. Its mirrors are those of this machine's own sources. */
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

/**
 * Ends a server whose parent died without stopping it, in whichever way: a shell waits for the end of its input, which
 * this process holds. Gives the function that calls it off.
 */
function guard(pid: number, folder: string): () => void {
  if (process.platform === "win32") return () => {};
  const script = `trap "" INT TERM HUP; cat >/dev/null; kill -9 ${pid} 2>/dev/null; rm -rf "$1"`;
  const shell = spawn("sh", ["-c", script, "sh", folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  shell.once("error", () => {});
  shell.unref();
  // of the pipe's types only a socket has it
  (shell.stdin as unknown as { unref?(): void }).unref?.();
  return () => {
    shell.kill("SIGKILL");
  };
}

/** With `-p -1` the server takes a free port and writes it to a file. */
async function announcedPort(folder: string, pid: number, gone: () => boolean): Promise<number> {
  let port = 0;
  await until(async () => {
    if (gone()) return true;
    const text = await readFile(join(folder, `${EXECUTABLE}_${pid}.ports`), "utf8").catch(() => "");
    port = Number(/"(?:nats|tls):\/\/[^"]*:(\d+)"/.exec(text)?.[1] ?? 0);
    return port !== 0;
  }, START_LIMIT);
  return port;
}

/** Whether a server on this port says hello. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (answer: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => end(false), 1_000);
    socket.once("data", (data) => end(data.toString().startsWith("INFO ")));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
  });
}

/** What a server's JetStream says of itself: the leader knows whether so many others are there, as it has to, to make a stream. */
async function jetStreamReady(monitor: number, others: number): Promise<"away" | "follows" | "leads"> {
  try {
    const base = `http://127.0.0.1:${monitor}`;
    const [health, state] = await Promise.all([fetch(`${base}/healthz`), fetch(`${base}/jsz`)]);
    await health.body?.cancel();
    const { meta_cluster } = await state.json() as { meta_cluster?: MetaCluster };
    if (!health.ok || !meta_cluster?.leader) return "away";
    const there = meta_cluster.replicas?.filter(({ current, offline }) => current && !offline) ?? [];
    return there.length === others ? "leads" : "follows";
  } catch {
    // not listening yet
    return "away";
  }
}

/** As `/jsz` tells of it; the leader alone names its followers. */
interface MetaCluster {
  readonly leader?: string;
  readonly replicas?: readonly { readonly current: boolean; readonly offline?: boolean }[];
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () =>
      new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
        const server = createServer().once("error", reject);
        server.listen(0, "127.0.0.1", () => resolve(server));
      })),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}

async function until(done: () => boolean | Promise<boolean>, limit: number): Promise<void> {
  const end = performance.now() + limit;
  while (!await done()) {
    if (performance.now() > end) throw new Error(`not ready after ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

if (process.argv[1] !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  const binary = await findNatsServer();
  console.log(binary === undefined ? MISSING : `${binary} ${await natsServerVersion(binary)}`);
}

/**
 * nats-servers for tests, benches and demos, alone or as a cluster: each starts on a free port of 127.0.0.1 and is
 * stopped again. Runs in Deno, Bun and Node.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findNatsServer, MISSING } from "./nats_binary.ts";

/** How long a server may take to start, in ms. */
const START_LIMIT = 240_000;

/** A running nats-server. */
export interface NatsServer extends AsyncDisposable {
  /** `nats://127.0.0.1:<port>`. */
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Where JetStream keeps its data. */
  readonly storeDir: string;
  /**
   * Sends a signal; resolves at once for `SIGCONT`, for `SIGSTOP` when it has stopped (on Linux), else when the process
   * is gone. The store stays.
   */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Replaces the configuration that it was started with, while it runs; resolves when it is in force. */
  configure(config: string): Promise<void>;
  /** Ends the process and deletes its store, unless that was given. Idempotent. */
  stop(): Promise<void>;
}

/** Options of {@link startNatsServer}. */
export interface NatsServerOptions {
  /** True (default) if the server has JetStream. */
  jetstream?: boolean;
  /** Where JetStream keeps its data, which {@link NatsServer.stop} leaves there; a temporary folder. */
  storeDir?: string;
  /** The port to listen on; a free one. */
  port?: number;
  /** The text of a configuration file. */
  config?: string;
  /** True if the server sends nothing before the client's handshake: its log tells when it is ready. Default: false. */
  silent?: boolean;
  /** More arguments for the command line. */
  args?: readonly string[];
  /** More variables of its environment. */
  env?: Readonly<Record<string, string>>;
}

/** Where a machine is busy, the 2 s that a client has by default to sign in, and for TLS, are too few. */
function patient(config: string): string {
  const block = /^(\s*authorization\s*:?\s*\{)/m;
  const own = block.test(config) ? config : `${config}\nauthorization {\n}\n`;
  return own.replace(block, "$1 timeout: 60\n").replace(/^(\s*tls\s*:?\s*\{)/m, "$1 timeout: 60\n");
}

/** Starts a nats-server on 127.0.0.1; resolves when it accepts connections. Rejects where none can be had. */
export async function startNatsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const binary = await findNatsServer();
  if (binary === undefined) throw new Error(MISSING);
  const folder = await mkdtemp(join(tmpdir(), "catga-nats-"));
  const storeDir = options.storeDir ?? join(folder, "store");
  const log = join(folder, "log");
  const port = options.port ?? (await freePorts(1))[0];
  const args = ["-a", "127.0.0.1", "-p", `${port}`, "-l", log];
  if (options.jetstream ?? true) args.push("-js", "-sd", storeDir);
  const file = join(folder, "nats.conf");
  const writeConfig = (config: string) => writeFile(file, patient(config));
  if (options.config !== undefined) {
    await writeConfig(options.config);
    args.push("-c", file);
  }
  const child = spawn(binary, [...args, ...options.args ?? []], {
    stdio: "ignore",
    env: { ...process.env, ...options.env },
  });
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

  let stopping: Promise<void> | undefined;
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (gone) return;
    try {
      process.kill(pid, signal);
    } catch (error) {
      // ESRCH: it ended by itself, or by the same Ctrl-C as its parent, and its exit event is still on its way
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    if (signal === "SIGCONT") return;
    if (signal === "SIGSTOP") return await until(() => gone || stopped(pid), START_LIMIT);
    child.ref();
    await exited;
  };
  const configure = async (config: string): Promise<void> => {
    const reloads = async () => (await readFile(log, "utf8")).split("Reloaded server configuration").length;
    const before = await reloads();
    await writeConfig(config);
    process.kill(pid, "SIGHUP");
    await until(async () => await reloads() > before, START_LIMIT);
  };
  const stop = (): Promise<void> =>
    stopping ??= (async () => {
      if (!gone) {
        // a stopped process takes no other signal
        await kill("SIGKILL");
      }
      await release();
      await rm(folder, { recursive: true, force: true });
    })();

  try {
    const says = async () => (await readFile(log, "utf8").catch(() => "")).includes("Server is ready");
    await until(async () => gone || await (options.silent ? says() : greets(port)), START_LIMIT);
    if (gone) throw new Error("the process ended");
    return {
      url: `nats://127.0.0.1:${port}`,
      port,
      pid,
      storeDir,
      kill,
      configure,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    const text = await readFile(log, "utf8").catch(() => "");
    await stop();
    throw new Error(`nats-server did not start: ${(error as Error).message}\n${text.slice(-2_000)}`, { cause: error });
  }
}

/** Routed servers; `servers[i]` may be stopped alone, and started again with {@link NatsCluster.restart}. */
export interface NatsCluster extends AsyncDisposable {
  readonly servers: readonly NatsServer[];
  readonly urls: readonly string[];
  /** Starts a killed server again, on its port and its store; resolves when JetStream has a leader. */
  restart(index: number): Promise<NatsServer>;
  /** Ends them all. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Starts `size` servers with routes to each other; resolves when JetStream has a leader. `config` returns what is added
 * to the configuration of each.
 */
export async function startNatsCluster(size: number, config = (_index: number) => ""): Promise<NatsCluster> {
  const folder = await mkdtemp(join(tmpdir(), "catga-nats-cluster-"));
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
        }
        ${config(index)}`,
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

/** The options that a test which needs a nats-server passes to `describe`. */
export interface Requirement {
  /** Why the test is skipped, or `false` when it runs. */
  readonly skip: string | false;
}

/**
 * Resolves with the condition of tests that need a nats-server: `describe("x", await requireNatsServer(), () => …)`.
 * Where none can be had they are skipped, with the reason on stderr; with `CI=true` in the environment this rejects
 * instead.
 */
export async function requireNatsServer(): Promise<Requirement> {
  if (await findNatsServer() !== undefined) return { skip: false };
  if (process.env.CI === "true") throw new Error(MISSING);
  console.error(`skipped: ${MISSING}`);
  return { skip: MISSING };
}

/**
 * Kills a server whose parent died without stopping it, however it died: a shell waits for the end of its input, which
 * this process holds open. Returns a function that ends the shell instead.
 */
function guard(pid: number, folder: string): () => Promise<void> {
  if (process.platform === "win32") return () => Promise.resolve();
  const script = `trap "" INT TERM HUP; cat >/dev/null; kill -9 ${pid} 2>/dev/null; rm -rf "$1"`;
  const shell = spawn("sh", ["-c", script, "sh", folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  shell.unref();
  // of the pipe's types only a socket has it
  (shell.stdin as unknown as { unref?(): void }).unref?.();
  const exited = new Promise<void>((resolve) => {
    shell.once("exit", () => resolve());
    shell.once("error", () => resolve());
  });
  return async () => {
    if (!shell.kill("SIGKILL")) return; // it has ended, or never began
    shell.ref();
    await exited;
  };
}

/**
 * Resolves with true if no thread of a process runs any more, or if there is no `/proc`: the signal returns before each
 * thread has stopped, and one that still runs may answer what is sent afterwards.
 */
export async function stopped(pid: number): Promise<boolean> {
  if (process.platform !== "linux") return true;
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const states = await Promise.all(threads.map(async (thread) => {
    // a thread that has ended meanwhile runs no more
    const text = await readFile(`/proc/${pid}/task/${thread}/stat`, "utf8").catch(() => ") T");
    // the name in the parentheses may have any character
    return text.slice(text.lastIndexOf(")") + 2)[0];
  }));
  return states.every((state) => state === "T" || state === "Z" || state === "X");
}

/** Resolves with true if a server on this port sends its INFO. */
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

/**
 * The state of a server's JetStream. `leads` only with `others` followers in sync: the leader needs them to create a
 * stream.
 */
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

/** A part of the response of `/jsz`; only that of the leader has `replicas`. */
interface MetaCluster {
  readonly leader?: string;
  readonly replicas?: readonly { readonly current: boolean; readonly offline?: boolean }[];
}

/** The first port of {@link freePorts}: one above 10080, to which no `fetch` and no browser sends a request. */
export const FIRST_PORT = 10_081;
/** How many ports {@link freePorts} has. */
export const PORTS = 22_000;
/** Where {@link freePorts} goes on: it begins elsewhere in each test file, so that few are looked at twice. */
let tried = Math.floor(Math.random() * PORTS);
/** Each holds a port for this process, as long as it runs. */
const claims: Server[] = [];

/**
 * Ports of 127.0.0.1 that nobody listens on now, and that no other call gives away while this process runs. They lie
 * below those that systems give to a connection or a listener that names none (32768 and up on Linux, 49152 elsewhere):
 * what is free stays so while a server is down.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = FIRST_PORT + tried++ % PORTS;
    // a listener that nobody connects to says to other processes that the port is taken before its server listens
    const claim = await listen(port + 32_768);
    if (claim === undefined) continue;
    claims.push(claim.unref());
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

/**
 * Returns true if nobody accepts connections on a port. A listener on it would say so, too, but it may be open for
 * longer than this process has it: each process that another thread starts just then has a copy until it runs its
 * program, for milliseconds (measured).
 */
function isFree(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((resolve) => {
    socket.once("connect", () => {
      socket.destroy();
      resolve(false);
    });
    socket.once("error", () => resolve(true));
  });
}

/** `undefined` where somebody else listens. */
function listen(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once(
      "error",
      (error: NodeJS.ErrnoException) => error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

async function until(done: () => boolean | Promise<boolean>, limit: number): Promise<void> {
  const end = performance.now() + limit;
  while (!await done()) {
    if (performance.now() > end) throw new Error(`not ready after ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

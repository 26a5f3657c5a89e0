/**
 * nginx and HAProxy for tests: those on PATH, else Debian's packages, downloaded into `.cache/proxies` and extracted,
 * not installed.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** A proxy that can be run. */
export interface Proxy {
  readonly path: string;
  /** Its environment: where its libraries are. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

const run = promisify(execFile);
const CACHE = join(dirname(dirname(fileURLToPath(import.meta.url))), ".cache", "proxies");
/** The package of each, and the libraries that a small Debian 12 lacks. */
const PACKAGES: Readonly<Record<"nginx" | "haproxy", readonly string[]>> = {
  nginx: ["nginx", "libpcre2-8-0"],
  haproxy: ["haproxy", "libpcre2-8-0", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"],
};

/** A proxy, or why there is none: the option `skip` of a test. */
export async function findProxy(name: "nginx" | "haproxy"): Promise<Proxy | { readonly skip: string }> {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"]) {
    const path = join(folder, name);
    if (folder !== "" && existsSync(path)) return { path, env: process.env };
  }
  const root = join(CACHE, name);
  try {
    if (!existsSync(root)) await download(name, root);
    const { stdout } = await run("find", [root, "-name", "*.so*", "-printf", "%h\n"]);
    const proxy = {
      path: join(root, "usr/sbin", name),
      env: { ...process.env, LD_LIBRARY_PATH: [...new Set(stdout.trim().split("\n"))].join(":") },
    };
    await run(proxy.path, ["-v"], { env: proxy.env, timeout: 10_000 });
    return proxy;
  } catch (error) {
    return {
      skip: `no ${name} on PATH, and Debian's package cannot be had: ${(error as Error).message.slice(0, 200)}`,
    };
  }
}

async function download(name: "nginx" | "haproxy", root: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  // beside its place, so that the rename is atomic and two processes may download at once
  const folder = await mkdtemp(join(CACHE, "download-"));
  try {
    await run("apt-get", ["download", ...PACKAGES[name]], { cwd: folder, timeout: 30_000 });
    for (const file of await readdir(folder)) await run("dpkg", ["-x", file, "root"], { cwd: folder });
    await rename(join(folder, "root"), root).catch((error) => {
      if (!existsSync(root)) throw error; // another process was faster
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

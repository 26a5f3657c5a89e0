/** Compilers whose time for a program is measured: `deno check` of Catga as published, `tsc` over its declarations. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { fetchPackages } from "../../tools/npm_packages.ts";
import { resolvesToJsr } from "../surroundings.ts";

/** How programs name Catga. */
export const CATGA = "@catga/catga";

/** A compiler, with a folder of its own until the disposal. */
export interface Compiler extends AsyncDisposable {
  readonly name: string;
  /** Checks a program; rejects with its errors. */
  check(program: string): Promise<Check>;
}

/** Costs of a check, in ms. */
export interface Check {
  readonly ms: number;
  /** That of all threads; `undefined` on Windows. */
  readonly processor: number | undefined;
}

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
// within the project, whose package.json says which zod it is
const CACHE = join(ROOT, ".cache");
let checks = 0;

/**
 * `deno check` in Deno: of Catga as published if the bench runs so, else of its sources, which Deno checks as well.
 * Each check is the first one of its program: of a file that it has checked before, Deno checks what has changed alone,
 * so that a check would cost what the one before it left over.
 */
export async function denoCheck(): Promise<Compiler> {
  await mkdir(CACHE, { recursive: true });
  const folder = await mkdtemp(join(CACHE, "types-"));
  const dispose = () => rm(folder, { recursive: true, force: true });
  const { specifier, config, env } = resolvesToJsr()
    ? await published(folder).catch((error) => dispose().then(() => Promise.reject(error)))
    : { specifier: new URL("../../mod.ts", import.meta.url).href, config: join(ROOT, "deno.json"), env: {} };
  return {
    name: "deno check",
    async check(program) {
      const file = join(folder, `program${++checks}.ts`);
      await writeFile(file, program.replaceAll(JSON.stringify(CATGA), JSON.stringify(specifier)));
      return await costOf(process.execPath, ["check", "--no-lock", "--config", config, file], env);
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** Publishes this tree at the registry under which the bench runs, for a project in this folder. */
async function published(folder: string): Promise<{ specifier: string; config: string; env: Record<string, string> }> {
  const [{ name, version, compilerOptions }, { devDependencies: { zod } }] = await Promise.all(
    ["jsr.json", "package.json"].map(async (file) => JSON.parse(await readFile(join(ROOT, file), "utf8"))),
  );
  const options = ["--quiet", "--no-check", "--allow-dirty", "--token", "t", "--config", join(ROOT, "jsr.json")];
  await costOf(process.execPath, ["publish", ...options]);
  // two trees publish the same version: each has a cache of its own, but for packages of npm
  const cache = join(folder, "cache");
  await mkdir(cache);
  const { DENO_DIR } = process.env;
  if (DENO_DIR !== undefined) {
    await mkdir(join(DENO_DIR, "npm"), { recursive: true });
    await symlink(join(DENO_DIR, "npm"), join(cache, "npm"), "junction");
  }
  const config = join(folder, "deno.json");
  const imports = { zod: `npm:zod@${zod}` };
  await writeFile(config, JSON.stringify({ nodeModulesDir: "none", compilerOptions, imports }));
  return { specifier: `jsr:${name}@${version}`, config, env: { DENO_DIR: cache } };
}

/**
 * `tsc` of a version, in Node, for a project that has Catga installed as JSR's registry for npm serves it: with
 * declarations. Rejects if npm cannot be reached.
 */
export async function tsc(name: string, version: string): Promise<Compiler> {
  const { devDependencies: { zod } } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const packages = join(CACHE, `typescript-${version}-zod-${zod}`);
  await fetchPackages(packages, `typescript@${version}`, `zod@${zod}`);
  const compiler = join(packages, "node_modules", "typescript", "bin", "tsc");
  // below the packages, which are found from there
  const folder = await mkdtemp(join(packages, "project-"));
  const dispose = () => rm(folder, { recursive: true, force: true });
  const compile = (config: object) => {
    return writeFile(join(folder, "tsconfig.json"), JSON.stringify(config))
      .then(() => costOf("node", [compiler, "--pretty", "false", "-p", join(folder, "tsconfig.json")]));
  };
  try {
    const installed = join(folder, "node_modules", CATGA);
    await mkdir(installed, { recursive: true });
    await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    const manifest = { name: CATGA, type: "module", exports: { ".": { types: "./mod.d.ts" } } };
    await writeFile(join(installed, "package.json"), JSON.stringify(manifest));
    const declared = { ...COMMON, declaration: true, emitDeclarationOnly: true, rootDir: ROOT, outDir: installed };
    // the types of Node and Deno are missing; declarations of what programs import name none of them
    const failed = await compile({ compilerOptions: declared, files: [join(ROOT, "mod.ts")] }).then(() => "", String);
    if (!existsSync(join(installed, "mod.d.ts"))) throw new Error(`no declarations: ${failed}`);
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    name,
    async check(program) {
      await writeFile(join(folder, "program.ts"), program);
      return await compile({ compilerOptions: { ...COMMON, noEmit: true }, files: ["program.ts"] });
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** As `tsc --init` writes them, with the library of a server; sources of Catga import by file names. */
const COMMON = {
  target: "ES2023",
  lib: ["ES2024", "ESNext", "DOM", "DOM.Iterable"],
  module: "NodeNext",
  moduleResolution: "NodeNext",
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  types: [],
};

/** Costs of a command; rejects with what it printed if it fails. */
async function costOf(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<Check> {
  const start = performance.now();
  // the shell tells the user and system time of its children in the last line
  const shell = process.platform === "win32" ? [] : ["sh", "-c", '"$@" || exit 1; times', "sh"];
  const [file, ...words] = [...shell, command, ...args];
  const output = await new Promise<string>((resolve, reject) => {
    execFile(file, words, { cwd: ROOT, timeout: 300_000, env: { ...process.env, ...env } }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${stdout}${stderr}`.slice(0, 4_000) || error.message, { cause: error }));
      else resolve(stdout);
    });
  });
  const ms = performance.now() - start;
  const times = [...output.trim().split("\n").at(-1)!.matchAll(/(\d+)m([\d.]+)s/g)];
  const processor = times.reduce((sum, [, minutes, seconds]) => sum + (+minutes * 60 + +seconds) * 1_000, 0);
  return { ms, processor: shell.length === 0 ? undefined : processor };
}

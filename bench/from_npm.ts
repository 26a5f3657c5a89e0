/**
 * Programs of the bench with Catga and nats.js below `node_modules`, as JavaScript, as JSR's registry for npm has them:
 * there Deno reads what a program loads, and nothing ahead. They are laid out here from the sources of this tree and
 * the registry under which the bench runs, as that registry has no part for npm.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { sourceFiles } from "../tools/sources.ts";
import { resolvesToJsr } from "./surroundings.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Packages of JSR that Catga loads over its own transport, with theirs. */
const PACKAGES = ["nats-core", "nkeys", "nuid", "jetstream", "kv"];

/** A project with its packages, which is deleted when it is disposed of. */
export interface Project extends AsyncDisposable {
  /** Address of its `programs/idle_node.ts`, which `Program.start` takes instead of a path below `bench/`. */
  readonly node: string;
  /** Address of Catga in the project. */
  readonly library: string;
  /** Words for Deno, so that programs find packages in the project. */
  readonly words: readonly string[];
}

/** Lays out a project by this Bun; `undefined` for a bench that does not run as published. */
export async function fromNpm(bun: string): Promise<Project | undefined> {
  if (!resolvesToJsr()) return undefined;
  // in the tree, whose packages of npm are found from there
  await mkdir(join(root, ".cache"), { recursive: true });
  const folder = await mkdtemp(join(root, ".cache", "from-npm-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  const put = async (path: string, text: string) => {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  };
  try {
    const { imports } = JSON.parse(await readFile(join(root, "jsr.json"), "utf8"));
    const own = (await sourceFiles(root, ["mod.ts", "src"])).filter((file) => !/_(test|suite)\.ts$/.test(file));
    for (const file of own) {
      await put(`node_modules/${OWN}/${file}`, forNpm(await readFile(join(root, file), "utf8"), imports));
    }
    await put(`node_modules/${OWN}/package.json`, manifestOf(OWN, { ".": "./mod.ts" }));
    for (const name of PACKAGES) {
      const { exports, files } = await fetched(`@nats-io/${name}`);
      for (const [path, text] of files) await put(`node_modules/@jsr/nats-io__${name}${path}`, forNpm(text, {}));
      await put(`node_modules/@jsr/nats-io__${name}/package.json`, manifestOf(`@jsr/nats-io__${name}`, exports));
    }
    for (const program of ["idle_node.ts", "mark.ts"]) {
      const text = await readFile(join(root, "bench", "programs", program), "utf8");
      await put(program, text.replace('"../../mod.ts"', `"./node_modules/${OWN}/mod.js"`));
    }
    await promisify(execFile)(bun, ["-e", TRANSPILE], { cwd: join(folder, "node_modules"), timeout: 120_000 });
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    node: pathToFileURL(join(folder, "idle_node.ts")).href,
    library: pathToFileURL(join(folder, "node_modules", OWN, "mod.js")).href,
    words: ["--node-modules-dir=manual"],
    [Symbol.asyncDispose]: remove,
  };
}

const OWN = "@catga/catga";

/** Writes each TypeScript file of the folder as JavaScript beside it. */
const TRANSPILE = `
const transpiler = new Bun.Transpiler({ loader: "ts" });
for await (const path of new Bun.Glob("**/*.ts").scan(".")) {
  if (path.endsWith(".d.ts")) continue;
  await Bun.write(path.replace(/\\.ts$/, ".js"), transpiler.transformSync(await Bun.file(path).text()));
}`;

/** A source with specifiers of npm, and of JavaScript; `imports`: what its import map has. */
export function forNpm(source: string, imports: Readonly<Record<string, string>>): string {
  return source.replace(/(\bfrom\s*|\bimport\s*\(?\s*)"([^"]+)"/g, (whole, head, specifier: string) => {
    if (/^\.{1,2}\//.test(specifier)) return `${head}"${specifier.replace(/\.ts$/, ".js")}"`;
    const name = Object.keys(imports).find((name) => specifier === name || specifier.startsWith(`${name}/`));
    const target = name === undefined ? specifier : `${imports[name]}${specifier.slice(name.length)}`;
    const [, registry, scope, rest, path = ""] =
      /^(jsr|npm):\/?(?:@([^/]+)\/)?([^@/]+)(?:@[^/]+)?(\/.*)?$/.exec(target) ?? [];
    if (registry === undefined) return whole;
    const named = scope === undefined ? rest : registry === "jsr" ? `@jsr/${scope}__${rest}` : `@${scope}/${rest}`;
    return `${head}"${named}${path}"`;
  });
}

function manifestOf(name: string, exports: Readonly<Record<string, string>>): string {
  const scripts = Object.entries(exports).map(([path, file]) => [path, file.replace(/\.ts$/, ".js")]);
  return JSON.stringify({ name, version: "0.0.0", type: "module", exports: Object.fromEntries(scripts) });
}

/** The latest version of a package at the registry under which the bench runs. */
async function fetched(name: string): Promise<{ exports: Record<string, string>; files: [string, string][] }> {
  const get = async (path: string) => {
    const response = await fetch(new URL(`${name}/${path}`, process.env.JSR_URL));
    if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
    return response;
  };
  const { latest } = await (await get("meta.json")).json();
  const { exports, manifest } = await (await get(`${latest}_meta.json`)).json();
  const paths = Object.keys(manifest).filter((path) => path.endsWith(".ts") && !/_test\.ts$|\/tests?\//.test(path));
  const files = await Promise.all(paths.map(async (path): Promise<[string, string]> => {
    return [path, await (await get(`${latest}${path}`)).text()];
  }));
  return { exports, files };
}

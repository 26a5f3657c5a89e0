/**
 * Walks: how often five paths through `src` (a local send, a remote one, a durable event, a step of a workflow, a call
 * over HTTP) enter files, and return to a file that they had left. Each function of a copy of the sources tells when it
 * is called; the paths run over the network in memory. A figure to look at, not a goal.
 *
 *   deno task walks           of the sources as they are
 *   deno task walks 945da6ad  of a commit
 *   deno task walks -v        with the files, in the order in which they are entered
 *
 * @module
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { fetchPackages } from "./npm_packages.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
/** Parts of the repository that a walk needs. */
const PARTS = ["mod.ts", "deno.json", "package.json", "src", "tools"];

/** A node of a syntax tree, as the compiler gives it. */
interface SyntaxNode {
  readonly body?: SyntaxNode;
  getStart(): number;
}

/** The parts of the compiler of TypeScript that read a file. */
interface Compiler {
  readonly ScriptTarget: { readonly Latest: number };
  createSourceFile(path: string, text: string, target: number, setParents: boolean): SyntaxNode;
  forEachChild(node: SyntaxNode, visit: (child: SyntaxNode) => void): void;
  isFunctionLike(node: SyntaxNode): boolean;
  isBlock(node: SyntaxNode): boolean;
}

/** Returns the text of a file whose functions tell, when they are called, that the file `name` is entered. */
export function telling(compiler: Compiler, name: string, text: string): string {
  const places: number[] = [];
  const visit = (node: SyntaxNode) => {
    if (compiler.isFunctionLike(node) && node.body !== undefined && compiler.isBlock(node.body)) {
      places.push(node.body.getStart() + 1);
    }
    compiler.forEachChild(node, visit);
  };
  visit(compiler.createSourceFile(name, text, compiler.ScriptTarget.Latest, true));
  let told = text;
  for (const at of places.sort((a, b) => b - a)) {
    told = `${told.slice(0, at)}globalThis.__entered?.(${JSON.stringify(name)});${told.slice(at)}`;
  }
  return told;
}

async function theCompiler(): Promise<Compiler> {
  const place = join(ROOT, ".cache", "typescript-5.9.3");
  await fetchPackages(place, "typescript@5.9.3", "@types/bun@1.4.5");
  return createRequire(join(place, "package.json"))("typescript") as Compiler; // it exports these functions
}

async function walk(commit: string | undefined, options: readonly string[]): Promise<void> {
  const compiler = await theCompiler();
  const folder = await mkdtemp(join(tmpdir(), "catga-walks-"));
  try {
    if (commit === undefined) {
      for (const part of PARTS) await cp(join(ROOT, part), join(folder, part), { recursive: true });
    } else {
      const archive = join(folder, "sources.tar");
      await run("git", ["archive", "--output", archive, commit, ...PARTS], { cwd: ROOT });
      await run("tar", ["-xf", archive, "-C", folder]);
    }
    await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
    await mkdir(join(folder, "tools"), { recursive: true });
    await cp(join(ROOT, "tools", "walked.ts"), join(folder, "tools", "walked.ts"));
    const sources = join(folder, "src");
    for (const each of await readdir(sources, { recursive: true })) {
      const path = join(sources, each);
      if (!/\.ts$/.test(each) || /_(test|suite)\.ts$|dashboard\/page/.test(each)) continue;
      await writeFile(path, telling(compiler, relative(sources, path), await readFile(path, "utf8")));
    }
    const args = ["run", "-A", "--no-check", "--config", join(folder, "deno.json"), join(folder, "tools", "walked.ts")];
    const { stdout } = await run("deno", [...args, ...options], { cwd: folder, timeout: 120_000 });
    console.log(stdout.trimEnd());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [options, [commit]] = [true, false].map((is) => process.argv.slice(2).filter((arg) => arg === "-v" === is));
  await walk(commit, options);
}

/**
 * The tutorials, walked as a reader does, in an empty folder: a block of TypeScript with a name is written as that
 * file, a block of a shell is run, and what it prints is compared with the block of text behind it. What a tutorial
 * ends with lies in `examples/tutorials/`.
 *
 *   deno run -A tools/tutorials.ts         walks all of them in Deno, and writes those folders anew
 *
 * In a block of a shell, a line with `# Bun` is for Bun, and one with `# Deno` for Deno. One with `# Docker` is not
 * run: a walk of a page that imports pg starts a PostgreSQL of its own. In a block of text `…` stands for anything,
 * and `^C` as its last line is the reader's Ctrl-C, once the lines before it are printed.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { startPostgres } from "../test/support/databases.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const LIMIT = 120_000;

/** The tutorials, by the names of their pages. */
export async function tutorials(): Promise<string[]> {
  const pages = await readdir(join(root, "docs", "tutorials"));
  return pages.filter((page) => page.endsWith(".md")).map((page) => page.slice(0, -".md".length)).sort();
}

/** The result of a walk. */
export interface Walk {
  /** Where the page is not true: a command that printed something else. */
  readonly wrong: readonly string[];
  /** How many commands have run. */
  readonly commands: number;
  /** The files at the end, by their names. */
  readonly files: ReadonlyMap<string, string>;
}

/** Walks a page, whose text is given, in this runtime. */
export async function walk(page: string, runtime: "deno" | "bun", binary: string): Promise<Walk> {
  const folder = await mkdtemp(join(tmpdir(), "catga-tutorial-"));
  const [wrong, files]: [string[], Map<string, string>] = [[], new Map()];
  let commands = 0;
  // a database of its own for a page that needs one
  await using server = /^import .* from "pg";$/m.test(page) ? await startPostgres() : undefined;
  const env: Record<string, string> = server === undefined
    ? {}
    : { DATABASE_URL: `postgres://tea@127.0.0.1:${server.port}/postgres` };
  try {
    await prepare(folder);
    const blocks = [...page.matchAll(/^```(\w+)(?: ([\w.-]+\.(?:ts|yaml)))?[^\n]*\n([^]*?)^```$/gm)];
    for (const [i, [, language, name, text]] of blocks.entries()) {
      if (name !== undefined) {
        files.set(name, text);
        await writeFile(join(folder, name), text);
      }
      if (language !== "sh") continue;
      const [, next, , said = ""] = blocks[i + 1] ?? [];
      const wanted = next === "text" ? said.trim() : undefined;
      const [until] = wanted?.endsWith("^C") ? [wanted.slice(0, -2)] : [];
      const lines = commandsOf(text, runtime);
      let printed = "";
      for (const [n, line] of lines.entries()) {
        commands++;
        const isDone = until === undefined || n < lines.length - 1
          ? undefined
          : (output: string) => fits(printed + output, until);
        printed += await run(line, { folder, runtime, binary, env, isDone });
      }
      if (wanted !== undefined && !fits(printed, until ?? wanted)) {
        wrong.push(`${lines.join("; ")} printed\n${printed}\nand the page says\n${wanted}\n`);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return { wrong, commands, files };
}

/** The commands of a block for a runtime, without those that install. */
function commandsOf(text: string, runtime: "deno" | "bun"): string[] {
  const other = runtime === "deno" ? "# Bun" : "# Deno";
  return text.split("\n").filter((line) => line.trim() !== "" && !line.includes(other) && !line.includes("# Docker"))
    .map((line) => line.replace(/\s+# (?:Deno|Bun).*$/, ""));
}

/** True if a text is what was printed, with `…` for anything. */
export function fits(printed: string, text: string): boolean {
  const parts = text.trim().split("…").map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`).test(printed.trim());
}

/** In that folder `@catga/catga` is this repository, as a clone is for a reader; zod and pg are those of the tests. */
async function prepare(folder: string): Promise<void> {
  const npm = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
  const imports: Record<string, string> = {};
  for (const [name, path] of Object.entries<string>(npm.exports)) {
    imports[`@catga/catga${name.slice(1)}`] = join(root, path);
  }
  for (const name of ["jetstream", "kv", "nats-core"]) {
    imports[`@nats-io/${name}`] = `npm:@nats-io/${name}@${npm.dependencies[`@nats-io/${name}`]}`;
  }
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await mkdir(join(folder, "node_modules", "@catga"), { recursive: true });
  await symlink(root, join(folder, "node_modules", "@catga", "catga"));
  for (const name of ["zod", "pg"]) {
    imports[name] = `npm:${name}@${npm.devDependencies[name]}`;
    await symlink(join(root, "node_modules", name), join(folder, "node_modules", name));
  }
  await writeFile(join(folder, "deno.json"), JSON.stringify({ imports, nodeModulesDir: "none" }));
}

interface Shell {
  readonly folder: string;
  readonly runtime: "deno" | "bun";
  readonly binary: string;
  /** Variables of its environment, beside those of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: the program ends by itself; else: true for what it has printed when the reader presses Ctrl-C. */
  readonly isDone: ((output: string) => boolean) | undefined;
}

/** Runs a line of a shell; resolves with what it prints, and the code with which it ended unless that is 0. */
async function run(line: string, { folder, runtime, binary, env: more, isDone }: Shell): Promise<string> {
  const tool = join(root, "src/cli/main.ts");
  const command = line.replaceAll(/(?<=^|&& )(?:deno|bun) /g, `"${binary}" `)
    .replaceAll(
      /(?<=^|&& )catga /g,
      runtime === "deno" ? `"${binary}" run -A --config deno.json ${tool} ` : `"${binary}" ${tool} `,
    );
  const env = { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", ...more };
  // `exec`: Ctrl-C reaches the program itself
  const ready = isDone === undefined ? command : `exec ${command}`;
  // one pipe for all that is printed: of two, what the shell says of a killed program may be read late
  const text = `exec 2>&1; ${ready}`;
  const child = spawn("sh", ["-c", text], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const late = setTimeout(() => child.kill("SIGKILL"), LIMIT);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (data: string) => {
      output += data;
      if (isDone?.(output)) child.kill("SIGINT");
    });
  }
  const [code, signal] = await once(child, "close");
  clearTimeout(late);
  // lines of an app's logger come when they come
  output = output.replaceAll(/^catga \S+: .*\n/gm, "");
  return code === 0 || (isDone !== undefined && signal === "SIGINT")
    ? output
    : `${output}\nended with ${signal ?? code}\n`;
}

/** Where the files lie with which a tutorial ends. */
export const folderOf = (name: string): string => join(root, "examples", "tutorials", name);

if (import.meta.main) {
  for (const name of await tutorials()) {
    if (process.argv.length > 2 && !process.argv.includes(name)) continue;
    const page = await readFile(join(root, "docs", "tutorials", `${name}.md`), "utf8");
    const { wrong, commands, files } = await walk(page, "deno", process.execPath);
    console.log(`${name}: ${commands} commands${wrong.length === 0 ? ", as the page says" : ""}`);
    for (const text of wrong) console.log(text);
    await rm(folderOf(name), { recursive: true, force: true });
    await mkdir(folderOf(name), { recursive: true });
    for (const [file, text] of files) await writeFile(join(folderOf(name), file), text);
  }
}

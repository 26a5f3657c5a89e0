/**
 * Test nodes, and other programs, as child processes in either runtime: started, watched, signalled by pid, and
 * stopped.
 *
 * @module
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { BUN_VERSION } from "../../tools/bun.ts";
import type { Runtime } from "./node_messages.ts";
import type { NodeLine, NodeOptions } from "./test_node.ts";

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const DENO_VERSION = "2.9.6";
/** Whoever has not done what was waited for after this time will not, on a busy machine either; in ms. */
const LIMIT = 600_000;

/**
 * The runtimes in which tests of what one process does start it: the runtime of this process. They run in both, so that
 * each is tested once.
 */
export const OWN_RUNTIMES: readonly Runtime[] = ["Bun" in globalThis ? "bun" : "deno"];

/** How a process may end whose app has drained at SIGTERM: by that signal, in Deno with its exit code. */
export const DRAINED: readonly Ending["by"][] = ["SIGTERM", 143];

/** How a process ended. */
export interface Ending {
  /** The exit code, or the signal that ended it. */
  readonly by: number | NodeJS.Signals;
  /** When, in ms since 1970. */
  readonly at: number;
}

/** A program of a tree in a process of its own. Its lines of JSON are taken in; everything it prints is kept. */
export class Program<Line> implements AsyncDisposable {
  readonly runtime: Runtime;
  /** When it was started, in ms since 1970. */
  readonly began = Date.now();
  /** When its first line came, in ms since 1970: what the machine gives a process to start says how busy it is. */
  spoke = Infinity;
  /** The lines that it has printed. */
  readonly lines: Line[] = [];
  /** Resolves when it has ended. */
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  #output = "";
  #gone = false;
  /** Nothing more will come. */
  #silent = false;
  readonly #waiting = new Set<() => void>();

  /** Use {@link startProgram}. */
  constructor(runtime: Runtime, child: ChildProcess) {
    this.runtime = runtime;
    this.#child = child;
    const onExit = () => this.kill("SIGKILL");
    process.once("exit", onExit);
    let ending: Ending | undefined;
    this.ended = new Promise((resolve) => {
      const end = (by: Ending["by"]) => {
        this.#gone = true;
        process.off("exit", onExit);
        ending ??= { by, at: Date.now() };
      };
      child.once("exit", (code, signal) => end(signal ?? code ?? -1));
      child.once("error", (error) => {
        this.#output += `${error}\n`;
        if (child.pid === undefined) end(127);
      });
      // what it printed last may come after its exit
      child.once("close", () => {
        end(-1);
        this.#silent = true;
        resolve(ending!);
        this.#wake();
      });
    });
    let rest = "";
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#output += text;
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      // whatever a program of ours prints on stdout is a line of this type
      for (const line of lines) if (line.startsWith("{")) this.lines.push(JSON.parse(line) as Line);
      if (this.lines.length > 0) this.spoke = Math.min(this.spoke, Date.now());
      this.#wake();
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => this.#output += text);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** True if it has ended. */
  get gone(): boolean {
    return this.#gone;
  }

  /** All that it has printed, on both channels. */
  get output(): string {
    return this.#output;
  }

  /** Sends a signal; nothing when it has ended. */
  kill(signal: NodeJS.Signals): void {
    if (!this.#gone && this.#child.pid !== undefined) process.kill(this.#child.pid, signal);
  }

  /** The first line that fits, when it has come; rejects when it has not within `limit` ms, or cannot any more. */
  async line<L extends Line>(fits: (line: Line) => line is L, limit?: number): Promise<L>;
  async line(fits: (line: Line) => boolean, limit?: number): Promise<Line>;
  async line(fits: (line: Line) => boolean, limit = LIMIT): Promise<Line> {
    const late = Date.now() + limit;
    for (;;) {
      const found = this.lines.find(fits);
      if (found !== undefined) return found;
      if (this.#silent) throw new Error(`it ended without the line that was waited for:\n${this.#output}`);
      const left = late - Date.now();
      if (left <= 0) throw new Error(`${limit} ms without the line that was waited for:\n${this.#output}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const waiting = this.#waiting;
        waiting.add(done);
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
      });
    }
  }

  /** How it ended; rejects when it has not within `limit` ms. */
  async end(limit = LIMIT): Promise<Ending> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`it still runs after ${limit} ms:\n${this.#output}`)), limit);
    });
    try {
      return await Promise.race([this.ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Kills it. */
  async stop(): Promise<void> {
    this.kill("SIGKILL"); // ends a stopped process as well
    await this.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #wake(): void {
    for (const waiting of [...this.#waiting]) waiting();
  }
}

/** Starts a program, whose path begins at the root of its tree: of this one, or of the one in another folder. */
export async function startProgram<Line>(
  runtime: Runtime,
  path: string,
  args: readonly string[],
  root: string = ROOT,
): Promise<Program<Line>> {
  const binary = await runtimeBinary(runtime);
  const words = runtime === "deno" ? ["run", "-A", "--no-check"] : ["run"];
  const child = spawn(binary, [...words, join(root, path), ...args], {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  return new Program<Line>(runtime, child);
}

/** A tree that has test nodes. */
export interface NodeTree {
  readonly root: string;
  /** The path of their program in it. */
  readonly node: string;
}

const OWN_TREE: NodeTree = { root: ROOT, node: "test/processes/test_node.ts" };

/** A test node in a process of its own, see `test_node.ts`. */
export interface NodeProcess {
  readonly id: string;
  readonly program: Program<NodeLine>;
  /** From the call of `catga` to its answer, in ms. */
  readonly took: number;
  /** `<id>.<nonce>`: this process among all that have its id. */
  readonly endpoint: string;
  /** The endpoints of the nodes that it sees, itself included. */
  view(): readonly string[];
  /** When it last saw this node leave, in ms since 1970; `undefined` while it sees it. */
  left(id: string): number | undefined;
}

/** Starts a test node, of this tree or of the one in another folder; resolves when it is one. */
export async function startNode(
  runtime: Runtime,
  url: string,
  id: string,
  options: NodeOptions = {},
  { root, node }: NodeTree = OWN_TREE,
): Promise<NodeProcess> {
  const program = await startProgram<NodeLine>(runtime, node, [url, id, JSON.stringify(options)], root);
  const isReady = (line: NodeLine): line is NodeLine & { event: "ready" } => line.event === "ready";
  try {
    const ready = await program.line(isReady);
    return {
      id,
      program,
      took: ready.took,
      endpoint: ready.self.endpoint,
      view() {
        const seen = new Map(ready.nodes.map(({ id, endpoint }) => [id, endpoint]));
        for (const line of program.lines) {
          if (line.event === "join" || line.event === "update") seen.set(line.node.id, line.node.endpoint);
          if (line.event === "leave") seen.delete(line.node.id);
        }
        return [...seen.values()];
      },
      left(node: string) {
        const about = program.lines.filter((line) => "node" in line && line.node.id === node);
        const last = about.at(-1);
        return last?.event === "leave" ? last.at : undefined;
      },
    };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

const binaries = new Map<Runtime, Promise<string>>();

/** The executable itself, so that its pid is the program's: neither npx nor a script that starts it. */
export function runtimeBinary(runtime: Runtime): Promise<string> {
  let binary = binaries.get(runtime);
  if (binary === undefined) binaries.set(runtime, binary = find(runtime));
  return binary;
}

async function find(runtime: Runtime): Promise<string> {
  if ((runtime === "bun") === ("Bun" in globalThis)) return process.execPath;
  const [version, ask] = runtime === "deno"
    ? [DENO_VERSION, ["eval", "console.log(Deno.execPath(), Deno.version.deno)"]] as const
    : [BUN_VERSION, ["-e", "console.log(process.execPath, Bun.version)"]] as const;
  const onPath = await run(runtime, ask).catch(() => "");
  const answer = onPath.endsWith(` ${version}`) ? onPath : await run("npx", ["-y", `${runtime}@${version}`, ...ask]);
  const binary = answer.slice(0, answer.lastIndexOf(" "));
  if (runtime === "bun" && !existsSync(join(ROOT, "node_modules"))) await run(binary, ["install", "--frozen-lockfile"]);
  return binary;
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...args],
      { cwd: ROOT, timeout: 120_000, env: { ...process.env, NO_COLOR: "1" } },
      (error, out) => {
        if (error) reject(error);
        else resolve(out.trim());
      },
    );
  });
}

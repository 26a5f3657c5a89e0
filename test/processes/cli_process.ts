/**
 * The command line tool as a process of its own, in either runtime.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { runtimeBinary } from "./node_process.ts";

const MAIN = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), "src", "cli", "main.ts");
/** A command that has not ended after this time will not, in ms. */
const LIMIT = 120_000;

/** How the tool is started. */
export interface CliOptions {
  /** Added to the environment, in which there is nothing of NATS. */
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads. */
  readonly input?: string;
}

/** How the tool ended. */
export interface CliEnding {
  readonly code: number | NodeJS.Signals;
  /** What it wrote to standard output. */
  readonly out: string;
  /** What it wrote to standard error. */
  readonly err: string;
}

/** The tool while it runs. */
export class CliProcess {
  /** Resolves when it has ended. */
  readonly ended: Promise<CliEnding>;
  readonly #child: ChildProcess;
  #out = "";
  #err = "";
  #wake: () => void = () => {};

  /** Use {@link startCli}. */
  constructor(child: ChildProcess) {
    this.#child = child;
    const onExit = () => child.kill("SIGKILL");
    process.once("exit", onExit);
    const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT);
    child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.#out += text;
      this.#wake();
    });
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#err += text;
      this.#wake();
    });
    this.ended = new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code, signal) => {
        clearTimeout(limit);
        process.off("exit", onExit);
        resolve({ code: signal ?? code ?? -1, out: this.#out, err: this.#err });
        this.#wake();
      });
    });
  }

  /** Resolves when it has written this, to either channel; rejects when it ends without. */
  async wrote(text: string | RegExp): Promise<void> {
    const there = () => {
      const all = this.#out + this.#err;
      return typeof text === "string" ? all.includes(text) : text.test(all);
    };
    const over = this.ended.then(() => true);
    while (!there()) {
      const more = new Promise<boolean>((resolve) => this.#wake = () => resolve(false));
      if (await Promise.race([over, more]) && !there()) {
        throw new Error(`it ended without ${text}:\n${this.#out}${this.#err}`);
      }
    }
  }

  /** Ctrl-C. */
  interrupt(): void {
    // Deno takes a child that it has sent a signal to for one that died of it
    process.kill(this.#child.pid!, "SIGINT");
  }
}

/** Starts the tool, in the runtime of this process. */
export async function startCli(args: readonly string[], options: CliOptions = {}): Promise<CliProcess> {
  const runtime = "Bun" in globalThis ? "bun" : "deno";
  const words = runtime === "deno" ? ["run", "-A", "--no-check"] : ["run"];
  const clean = Object.entries(process.env).filter(([name]) => !/^NATS_|^FORCE_COLOR$/.test(name));
  const child = spawn(await runtimeBinary(runtime), [...words, MAIN, ...args], {
    env: { ...Object.fromEntries(clean), ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin!.on("error", () => {}); // it may end without having read
  child.stdin!.end(options.input ?? "");
  return new CliProcess(child);
}

/** Runs the tool to its end. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliEnding> {
  return await (await startCli(args, options)).ended;
}

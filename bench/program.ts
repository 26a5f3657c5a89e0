/**
 * A program of the bench in a process of its own, which lives until it is stopped and does what it is asked, one task
 * at a time. Ours and the peers' are alike in this.
 *
 * @module
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { MARK } from "./programs/mark.ts";

/** How programs are started. */
export interface Launch {
  /** The words before the program's file, for programs that need nothing but the library's own packages. */
  readonly own: readonly string[];
  /** The same for those below `peers/`, which need the packages of `bench/package.json`. */
  readonly peers: readonly string[];
}

/** A task may take so long on a slow machine, in ms; a peer that hangs must not hang the bench. */
const LIMIT = 240_000;

/** A running program. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #output = "";
  #rest = "";
  #waiting: { resolve(value: unknown): void; reject(error: Error): void } | undefined;

  /** Starts `file`, a path below `bench/` or an address; resolves when it is ready. */
  static async start(
    launch: Launch,
    file: string,
    args: readonly string[] = [],
    words: readonly string[] = [],
  ): Promise<Program> {
    const [binary, ...rest] = file.startsWith("peers/") ? launch.peers : launch.own;
    const program = new Program(
      file,
      spawn(binary, [...rest, ...words, fileURLToPath(new URL(file, import.meta.url)), ...args], {
        env: { ...process.env, NO_COLOR: "1" },
        stdio: ["pipe", "pipe", "pipe"],
      }),
    );
    try {
      await program.#next();
    } catch (error) {
      await program.stop();
      throw error;
    }
    return program;
  }

  private constructor(readonly file: string, child: ChildProcess) {
    this.#child = child;
    const take = (text: string) => {
      const lines = (this.#rest + text).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) {
        if (line.startsWith(MARK)) this.#answered(JSON.parse(line.slice(MARK.length)));
        else this.#output += `${line}\n`;
      }
    };
    child.stdout!.setEncoding("utf8").on("data", take);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => this.#output += text);
    child.stdin!.on("error", () => {}); // it has ended, which `close` tells
    this.#ended = new Promise((resolve) => {
      child.once("error", (error) => this.#output += `${error}\n`);
      child.once("close", () => {
        this.#answered({ error: `${file} ended\n${this.#output.slice(-4_000)}` });
        resolve();
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Has it do a task; rejects with what went wrong there, or when it takes longer than `limit`, in ms. */
  async ask<Value>(task: string, options?: unknown, limit: number = LIMIT): Promise<Value> {
    const answer = this.#next(limit);
    this.#child.stdin!.write(`${JSON.stringify({ task, options })}\n`);
    // the bench and the program agree on it by the task's name
    return await answer as Value;
  }

  /** How much memory it has, in MB: resident, as the system sees it, so that it need not look itself. */
  megabytes(): Promise<number> {
    return new Promise((resolve, reject) => {
      execFile("ps", ["-o", "rss=", "-p", `${this.pid}`], (error, stdout) => {
        if (error) reject(new Error(`ps does not tell the memory of ${this.file}`, { cause: error }));
        else resolve(Number(stdout) * 1_024 / 1e6);
      });
    });
  }

  /**
   * How much processor all its threads have taken, in ms. Linux alone says so to less than 10 ms: `undefined`
   * elsewhere.
   */
  async processor(): Promise<number | undefined> {
    const tasks = `/proc/${this.pid}/task`;
    const threads = await readdir(tasks).catch(() => []);
    // a thread that has just ended has no file
    const files = await Promise.all(threads.map((id) => readFile(`${tasks}/${id}/schedstat`, "utf8").catch(() => "0")));
    const ns = files.reduce((sum, text) => sum + Number(text.split(" ")[0]), 0);
    return ns === 0 ? undefined : ns / 1e6;
  }

  /** Has it end by itself, as a node does that leaves its cluster; kills it after a while. */
  async leave(): Promise<void> {
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    this.#child.kill("SIGTERM");
    await this.#ended.finally(() => clearTimeout(late));
  }

  /** Kills it. */
  async stop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #next(limit: number = LIMIT): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const timer = setTimeout(
      () => this.#answered({ error: `${this.file}: no answer in ${limit} ms\n${this.#output.slice(-4_000)}` }),
      limit,
    );
    this.#waiting = { resolve, reject };
    return promise.finally(() => clearTimeout(timer));
  }

  #answered(line: { value?: unknown; error?: string }): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (line.error === undefined) waiting?.resolve(line.value);
    else waiting?.reject(new Error(line.error));
  }
}

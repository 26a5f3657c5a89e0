/**
 * Tests of programs under the watchers of Deno and of Bun: they start again at each change, and no node of an earlier
 * start stays.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { catga } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const PROGRAM = new URL("../../test/support/reload_program.ts", import.meta.url);
const MOD = new URL("../../mod.ts", import.meta.url);
const LIMIT = { timeout: 240_000 };
const DENO = "Deno" in globalThis;
const WATCHERS = DENO ? [["run", "-A", "--no-check", "--no-lock", "--watch"]] : [["--hot"], ["--watch"]];

/** A program under a watcher of the runtime that runs this test. It is killed when the test ends. */
class Watched implements AsyncDisposable {
  output = "";
  ended: number | NodeJS.Signals | null | undefined;
  readonly #folder: string;
  readonly #file: string;
  readonly #source: string;
  readonly #child;

  static async start(watcher: readonly string[], args: readonly string[]): Promise<Watched> {
    const folder = await mkdtemp(join(tmpdir(), "catga-reload-"));
    const source = (await readFile(PROGRAM, "utf8")).replace("../../mod.ts", MOD.href.replace("file://", ""));
    const file = join(folder, "program.ts");
    await writeFile(file, source);
    return new Watched({ watcher, args, folder, file, source });
  }

  constructor(
    of: { watcher: readonly string[]; args: readonly string[]; folder: string; file: string; source: string },
  ) {
    this.#folder = of.folder;
    this.#file = of.file;
    this.#source = of.source;
    const config = DENO ? ["--config", new URL("../../deno.json", import.meta.url).pathname] : [];
    this.#child = spawn(process.execPath, [...of.watcher, ...config, of.file, ...of.args], {
      cwd: new URL("../..", import.meta.url).pathname,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => this.output += text);
    }
    this.#child.on("exit", (code, signal) => this.ended = signal ?? code);
  }

  /** Writes a new version of the program with this number, and waits until it runs. */
  async run(generation: number): Promise<void> {
    if (generation > 1) {
      await writeFile(this.#file, this.#source.replace('generation = "1"', `generation = "${generation}"`));
    }
    await eventually(`generation ${generation}`, () => {
      assertEquals(this.ended, undefined, `the watcher has ended; it printed ${this.output}`);
      return this.output.includes(`generation ${generation} runs\n`);
    }).catch((error) => {
      throw new Error(`${this.output}\n${error}`);
    });
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.#child.pid!, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended === undefined) {
      this.kill("SIGKILL");
      await once(this.#child, "exit");
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

const required = await requireNatsServer();

describe("a program under a watcher", { skip: process.platform === "win32" ? "no signals on Windows" : false }, () => {
  for (const watcher of WATCHERS) {
    const flag = watcher.at(-1)!;

    it(`${flag}, in memory: starts again at each change (a drained app ended Deno's watcher)`, LIMIT, async () => {
      await using program = await Watched.start(watcher, []);
      for (let generation = 1; generation <= 4; generation++) await program.run(generation);
      program.kill("SIGINT");
      await eventually("the end of the watcher", () => program.ended !== undefined);
      // the line is not expected in Deno, whose watcher ends half a second after Ctrl-C, whatever its program does
      if (!DENO) assertStringIncludes(program.output, "generation 4 is closed\n");
    });

    it(`${flag}, over NATS: no node of before is left`, { ...LIMIT, ...required }, async () => {
      await using server = await startNatsServer();
      await using observer = await catga({ nats: server.url, service: "observer" });
      const generations = () =>
        observer.nodes().flatMap(({ service, metadata }) => service === "reloaded" ? [metadata.generation] : []);
      await using program = await Watched.start(watcher, [server.url]);
      for (let generation = 1; generation <= 4; generation++) {
        await program.run(generation);
        await eventually(`two nodes of generation ${generation}`, () => {
          const seen = generations();
          return seen.length === 2 && seen.every((each) => each === `${generation}`);
        }).catch((error) => {
          throw new Error(`generations ${generations()}; ${program.output}\n${error}`);
        });
      }
    });
  }
});

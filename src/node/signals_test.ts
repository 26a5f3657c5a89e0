/** Tests of what SIGTERM and SIGINT do to a process whose apps listen to them, in the runtime that runs this test. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { eventually } from "../../test/support/eventually.ts";

const PROGRAM = fileURLToPath(new URL("../../test/support/signals_program.ts", import.meta.url));
const LIMIT = { timeout: 120_000 };
/** By signal: how a process that handles it ends; in Deno SIGTERM becomes an exit code. */
const END = "Deno" in globalThis
  ? { SIGTERM: 143, SIGINT: "SIGINT" } as const
  : { SIGTERM: "SIGTERM", SIGINT: "SIGINT" } as const;

/** A process that runs the test program. It is killed when the test is done with it. */
class Program implements Disposable {
  output = "";
  /** Resolves with the exit code of the process, or with the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  #gone = false;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;

  constructor(mode: string) {
    const words = "Deno" in globalThis ? ["run", "-A", "--no-check", PROGRAM] : [PROGRAM];
    this.#child = spawn(process.execPath, [...words, mode], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout.setEncoding("utf8").on("data", (text: string) => this.output += text);
    this.#child.on("exit", () => this.#gone = true);
    this.ended = new Promise((resolve) => this.#child.on("close", (code, signal) => resolve(signal ?? code)));
  }

  get gone(): boolean {
    return this.#gone;
  }

  async printed(line: string): Promise<void> {
    await eventually(`"${line}" in ${JSON.stringify(this.output)}`, () => this.output.includes(`${line}\n`));
  }

  kill(signal: NodeJS.Signals): void {
    // `child.kill` is not used: in Deno it sends only one signal, and closes the pipes
    try {
      process.kill(this.#child.pid!, signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error; // the process has just ended
    }
  }

  finish(): void {
    this.#child.stdin.write("finish\n");
  }

  [Symbol.dispose](): void {
    if (!this.gone) this.kill("SIGKILL");
  }
}

describe("signals", { skip: process.platform === "win32" ? "there are no signals on Windows" : false }, () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`${signal}: what runs is finished, then the process ends as by that signal`, LIMIT, async () => {
      using program = new Program("one");
      await program.printed("working");
      program.kill(signal);
      program.finish();
      assertEquals(await program.ended, END[signal]);
      assertEquals(program.output, "working\ndone\nclosed\n");
    });
  }

  it("one of the other kind does not end the drain: Deno's watcher sends both at Ctrl-C", LIMIT, async () => {
    using program = new Program("one");
    await program.printed("working");
    program.kill("SIGINT");
    program.kill("SIGTERM");
    program.finish();
    const ended = await program.ended;
    assertEquals([Object.values<unknown>(END).includes(ended), program.output], [true, "working\ndone\nclosed\n"]);
  });

  it("a second one of the same kind ends the process at once", LIMIT, async () => {
    using program = new Program("one");
    await program.printed("working");
    // the signal is repeated until the process ends: two signals at the same time become one, and a third may come when
    // nothing listens any more
    await eventually("the end", () => program.gone || program.kill("SIGTERM"));
    const ended = await program.ended;
    assertEquals([ended === END.SIGTERM || ended === "SIGTERM", program.output], [true, "working\n"]);
  });

  it("one app that has drained does not end the process while another has not", LIMIT, async () => {
    using program = new Program("two");
    await program.printed("working");
    program.kill("SIGTERM");
    program.finish();
    assertEquals([await program.ended, program.output], [END.SIGTERM, "working\ndone\nclosed\n"]);
  });

  it("an app that starts while another drains drains, too, and the process ends", LIMIT, async () => {
    using program = new Program("late");
    await program.printed("working");
    program.kill("SIGTERM");
    await program.printed("late closed");
    program.finish();
    assertEquals([await program.ended, program.output], [END.SIGTERM, "working\nlate\nlate closed\ndone\nclosed\n"]);
  });

  it(
    "an app that others know drains, though its start has not ended (it died at once)",
    LIMIT,
    async () => {
      using program = new Program("starting");
      await program.printed("join");
      program.kill("SIGTERM");
      assertEquals([await program.ended, program.output], [END.SIGTERM, "join\nleave\n"]);
    },
  );

  it("beside a listener of the program's own: the app drains, the program hears the signal once", LIMIT, async () => {
    using program = new Program("own");
    await program.printed("working");
    program.kill("SIGTERM");
    await program.printed("own listener");
    program.finish();
    await program.printed("closed");
    program.kill("SIGKILL");
    await program.ended;
    assertEquals(program.output, "working\nown listener\ndone\nclosed\n");
  });

  it("after the app has drained the signal does what it always does", LIMIT, async () => {
    using program = new Program("drained");
    await program.printed("drained");
    program.kill("SIGTERM");
    assertEquals(await program.ended, "SIGTERM");
  });
});

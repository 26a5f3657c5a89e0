/**
 * Cleans up after this process, however it dies: a shell waits for the end of its input, which this process holds open,
 * then kills the processes of the last line that it read, and deletes the folder.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

/** Kills processes and deletes a folder when this process has died. Does nothing on Windows. */
export class LastWill {
  readonly #shell: ChildProcess | undefined;

  constructor(folder: string) {
    if (process.platform === "win32") return;
    const script = 'trap "" INT TERM HUP; while read -r line; do pids=$line; done; ' +
      '[ -z "$pids" ] || kill -9 $pids 2>/dev/null; rm -rf "$1"';
    this.#shell = spawn("sh", ["-c", script, "sh", folder], { stdio: ["pipe", "ignore", "ignore"], detached: true });
    this.#shell.once("error", () => {}); // no shell: nothing cleans up
    this.#shell.stdin!.once("error", () => {});
    this.#shell.unref();
    // of the pipe's types only a socket has it
    (this.#shell.stdin as unknown as { unref?(): void }).unref?.();
  }

  /** The processes to kill; replaces those of the last call. */
  kill(pids: readonly number[]): void {
    this.#shell?.stdin?.write(`${pids.join(" ")}\n`);
  }

  /** Cleans up now; resolves when that is done. */
  async carryOut(): Promise<void> {
    const shell = this.#shell;
    if (shell === undefined || shell.exitCode !== null || shell.pid === undefined) return;
    shell.ref();
    const ended = new Promise<void>((resolve) => void shell.once("exit", () => resolve()));
    shell.stdin!.end();
    await ended;
  }
}

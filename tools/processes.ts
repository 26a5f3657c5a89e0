/**
 * Child processes that leave nothing behind: each has a process group of its own, which is killed when the child has
 * ended, at its time limit, and when this process gets a signal to end.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import { stripVTControlCharacters } from "node:util";

/** Options of {@link Processes.run}. */
export interface RunOptions {
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Where it runs; the present folder. */
  readonly cwd?: string;
  /** ms after which it is killed. */
  readonly limit: number;
  /** When the child's output is shown: as it comes (default), only if it failed, or never. */
  readonly show?: "always" | "on failure" | "never";
}

/** How a child ended. */
export interface Ended {
  /** Its exit code; 127 when it could not start, 137 when a signal ended it. */
  readonly code: number;
  /** True if it was killed at its time limit. */
  readonly late: boolean;
  /** What it printed on both channels, without colors. */
  readonly output: string;
  /** How long it ran. */
  readonly ms: number;
}

/** Starts children and owns them until they have ended. */
export class Processes implements Disposable {
  readonly #groups = new Set<number>();
  readonly #signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  readonly #onSignal = (): void => {
    this.#killAll();
    process.exit(130);
  };

  /** Listens for the signals that end this process. */
  constructor() {
    for (const signal of this.#signals) process.on(signal, this.#onSignal);
  }

  /** Runs a command to its end, and shows its output unless told otherwise. Never rejects. */
  run(command: readonly string[], options: RunOptions): Promise<Ended> {
    const started = performance.now();
    const { show = "always" } = options;
    const child = spawn(command[0], command.slice(1), {
      cwd: options.cwd,
      detached: true,
      env: { ...environment(), ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const group = child.pid;
    if (group !== undefined) this.#groups.add(group);
    let output = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      kill(group);
    }, options.limit);
    for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]] as const) {
      from.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (show === "always") to.write(text);
      });
    }
    return new Promise((resolve) => {
      const end = (code: number) => {
        clearTimeout(timer);
        if (group !== undefined) this.#groups.delete(group);
        if (show === "on failure" && code !== 0) process.stdout.write(output);
        resolve({ code, late, output: stripVTControlCharacters(output), ms: performance.now() - started });
      };
      child.on("error", (error) => {
        output += `${command[0]}: ${error.message}\n`;
        if (group === undefined) end(127);
      });
      // the processes that it left running hold its pipes open: they would never close
      child.on("exit", () => kill(group));
      child.on("close", (code) => end(code ?? 137));
    });
  }

  /** Kills the children that still run. */
  [Symbol.dispose](): void {
    for (const signal of this.#signals) process.off(signal, this.#onSignal);
    this.#killAll();
  }

  #killAll(): void {
    for (const group of this.#groups) kill(group);
  }
}

function kill(group: number | undefined): void {
  if (group === undefined) return;
  try {
    process.kill(-group, "SIGKILL");
  } catch (error) {
    // ESRCH: no process is left in the group
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Without FORCE_COLOR unless there is a terminal: Deno takes any value of it for a yes. */
function environment(): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, ...rest } = process.env;
  return process.stdout.isTTY && !rest.NO_COLOR ? { ...rest, FORCE_COLOR: "1" } : { ...rest, NO_COLOR: "1" };
}

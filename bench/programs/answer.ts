/**
 * A program of the bench answers the bench: one line of JSON on stdin is a task, one on stdout is what came of it. It
 * ends when its stdin does, so that none outlives the bench.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { MARK } from "./mark.ts";

/** What a program can be asked to do; what comes back must be JSON. */
export type Tasks = Readonly<Record<string, (options: never) => unknown>>;

/** Says that the program is ready, and does what it is asked until stdin ends. */
export function answer(tasks: Tasks): void {
  const reply = (line: unknown) => void process.stdout.write(`${MARK}${JSON.stringify(line)}\n`);
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async (line) => {
    const { task, options } = JSON.parse(line) as { task: string; options: unknown };
    try {
      if (!(task in tasks)) throw new Error(`no task ${task}; there are ${Object.keys(tasks).join(", ")}`);
      // the bench and the program agree on it by the task's name
      reply({ value: await tasks[task](options as never) });
    } catch (error) {
      reply({ error: error instanceof Error ? error.stack : String(error) });
    }
  });
  lines.on("close", () => process.exit(0));
  reply({ value: "ready" });
}

/** The file that the processes of a test append to. */
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { LogLine } from "./log_messages.ts";

/** The path of the file in the folder of a test. */
export function logFile(folder: string): string {
  return join(folder, "lines");
}

/**
 * Opens it for appending. Each line is one write with `O_APPEND`: lines of several processes do not mix, and stand in
 * the order in which they were written. They stay when the process is killed.
 */
export function openLogFile(folder: string): (line: LogLine) => void {
  const file = openSync(logFile(folder), "a");
  return (line) => void writeSync(file, `${JSON.stringify(line)}\n`);
}

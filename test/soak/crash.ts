/**
 * How a process of a soak ends when an error was handled by nobody: at once, and with a code that shows it.
 *
 * @module
 */
import process from "node:process";

const CRASHED = 70;

/** Ends this process when an error reaches nobody. */
export function endOnError(): void {
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (error) => {
      console.error(event, error);
      process.exit(CRASHED);
    });
  }
}

/**
 * Ends a process of a soak at its first unhandled error, with a code that shows it.
 *
 * @module
 */
import process from "node:process";

const CRASHED = 70;

/** Ends this process at the first unhandled error. */
export function endOnError(): void {
  for (const event of ["unhandledRejection", "uncaughtException"]) {
    process.on(event, (error) => {
      console.error(event, error);
      process.exit(CRASHED);
    });
  }
}

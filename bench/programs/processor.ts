/** The processor time that a program of the bench has taken. */
import process from "node:process";

/** Processor time of all threads since the start of the process, user and system, in ms. */
export function processor(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

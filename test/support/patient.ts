/** Waiting for a server on a busy machine. */
import type { CatgaError } from "../../src/error.ts";

/**
 * For requests of plain NATS clients to which the answer is certain: nats.js gives up after 1 s, which a busy machine
 * may take. `patient_jetstream.ts` has clients of JetStream that wait as long.
 */
export const PATIENT = { timeout: 60_000 };

/** Does what such a machine may answer too late, again until it has answered. */
export async function patiently<T>(work: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await work();
    } catch (error) {
      if ((error as Partial<CatgaError>).code !== "UNAVAILABLE") throw error;
    }
  }
}

/** True for a line of a log that says that a store took long, which it may on a busy machine. */
export function isOfLateStore(line: string): boolean {
  return /did not acknowledge a message in time|does not answer: the request to \S+ timed out/.test(line);
}

/**
 * Bugs that can be planted in a test node, which a test has to find.
 *
 * @module
 */
import { Absence } from "../../src/cluster/membership/absence.ts";

/**
 * In one of {@link PLANTED} runs of a handler: it answers and has not run; it has run twice. With `leak` something of
 * every run, and of every answer, is kept for ever.
 */
export type Plant = "lost-acknowledgement" | "double-run" | "leak";

/**
 * Plants a bug into this process: it takes the claim of an idempotent command at the first bounce of a ping to its
 * holder. Call it before `catga`; the function that it returns removes the bug.
 */
export function freeClaimsAtFirstBounce(): () => void {
  const { bounced } = Absence.prototype;
  Absence.prototype.bounced = function (this: Absence, endpoint: string): void {
    this.conclude(endpoint, { gone: true });
  };
  return () => {
    Absence.prototype.bounced = bounced;
  };
}

/** A planted bug occurs once in so many runs. */
export const PLANTED = 20;

/**
 * The consequence of a failed run. Dead letters are also what has no attempt left when it is its turn (`Ledger.begin`),
 * because its leader or node ended, or fewer attempts are deployed; and what nobody can read (`Ledger.bury`).
 */
import type { Retry } from "../../contract/send_options.ts";
import { backoff, jittered, type Random } from "../../ports/clock.ts";
import type { RunFailure } from "../format/run_request.ts";
import type { Item } from "./category.ts";

/**
 * Consequence of a failed attempt: the next one after `pause` ms, until which the message stays in memory, or is
 * parked. `outage`: it is no attempt.
 */
export type AfterFailure =
  | { readonly type: "dead letter" }
  | { readonly type: "waits" | "parked"; readonly pause: number; readonly outage?: true };

/**
 * Decides it. `now`: by the monotonic clock; `lasted`: for how long what its handler calls has been out of reach, in
 * ms, if that is why it failed. No attempt counts until that has lasted for the time that the handler gives it.
 */
export function afterFailure(
  { attempts, place, failedAt = Infinity }: Item,
  { final, outage = 0 }: Pick<RunFailure, "final" | "outage">,
  { attempts: most, delay: [first, longest] }: Retry,
  { now, lasted = Infinity, random }: {
    readonly now: number;
    readonly lasted?: number;
    readonly random: Random;
  },
): AfterFailure {
  const isOutage = !final && lasted < outage;
  if (!isOutage && (final || attempts + 1 >= most)) return { type: "dead letter" };
  // as long as it has lasted: so it doubles, under the next leader, too
  const pause = isOutage
    ? jittered(random, Math.min(longest, Math.max(first, lasted)))
    : backoff(random, Math.min(attempts, 64), first, longest);
  const isShort = now + pause - Math.min(now, failedAt) <= IN_MEMORY;
  return {
    type: place === "open" && isShort ? "waits" : "parked",
    pause,
    ...(isOutage ? { outage: true } : {}),
  };
}

/** How long a message that fails stays in memory, in ms: its key waits for it there; then it is parked. */
const IN_MEMORY = 5_000;

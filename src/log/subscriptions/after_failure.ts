/**
 * Decides what follows a failed run of a message: another attempt, or a dead letter. A message also becomes a dead
 * letter if it has no attempt left when it is about to run (`Ledger.begin`), or if it cannot be read
 * (`Ledger.addUnreadable`).
 */
import type { Retry } from "../../contract/nodes/announcement.ts";
import { backoff, jittered, type Random } from "../../ports/clock.ts";
import type { RunFailure } from "../format/run_request.ts";
import type { Item } from "./category.ts";

/**
 * Consequence of a failed attempt: the next attempt after `pause` ms (until then the message waits in memory, or
 * parked in the store), or a dead letter. `outage`: the failure does not count as an attempt, because a service that
 * the handler calls is unavailable.
 */
export type AfterFailure =
  | { readonly type: "dead letter" }
  | { readonly type: "waits" | "parked"; readonly pause: number; readonly outage?: true };

/**
 * Decides what follows a failed run. `now`: by the monotonic clock. `lasted`: duration so far of the outage of a
 * service that the handler calls, in ms; `undefined`: no outage. While an outage is shorter than the handler's
 * `outage` setting, no attempt counts.
 */
export function afterFailure(
  { attempts, place, failedAt = Infinity }: Item,
  { final, outage = 0, retryAfter }: Pick<RunFailure, "final" | "outage" | "retryAfter">,
  { attempts: most, delay: [first, longest] }: Retry,
  { now, lasted = Infinity, random }: {
    readonly now: number;
    readonly lasted?: number;
    readonly random: Random;
  },
): AfterFailure {
  const isOutage = !final && lasted < outage;
  if (!isOutage && (final || attempts + 1 >= most)) return { type: "dead letter" };
  // during an outage the pause is as long as the outage has lasted, so pauses double, also across a change of leader
  const pause = retryAfter !== undefined
    ? retryAfter
    : isOutage
    ? jittered(random, Math.min(longest, Math.max(first, lasted)))
    : backoff(random, Math.min(attempts, 64), first, longest);
  const isShort = now + pause - Math.min(now, failedAt) <= IN_MEMORY;
  return {
    type: place === "open" && isShort ? "waits" : "parked",
    pause,
    ...(isOutage ? { outage: true } : {}),
  };
}

/** Time for which a failing message stays in memory and blocks its key, in ms; after that it is parked in the store. */
const IN_MEMORY = 5_000;

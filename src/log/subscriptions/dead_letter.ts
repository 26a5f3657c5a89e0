/**
 * When a message becomes a dead letter: when it failed for good, or for the last time. So does one that has no attempt left when it is its
 * turn (`Ledger.begin`), because its leader or node ended, or fewer attempts are deployed; and one that nobody can read (`Ledger.bury`).
 */
import type { Retry } from "../../contract/send_options.ts";
import { backoff, type Random } from "../../ports/clock.ts";
import type { Item } from "./item.ts";
import type { RunFailure } from "./run_outcome.ts";

/** What follows a failed attempt: the next one after `pause` ms, until which the message stays in memory, or is parked. */
export type AfterFailure =
  | { readonly type: "dead letter" }
  | { readonly type: "waits" | "parked"; readonly pause: number };

/** Decides it. `now`: by the monotonic clock; `room`: whether one more message may wait in memory. */
export function afterFailure(
  { attempts, place, failedAt = Infinity }: Item,
  { final }: Pick<RunFailure, "final">,
  { attempts: most, delay: [first, longest] }: Retry,
  { now, room, random }: { readonly now: number; readonly room: boolean; readonly random: Random },
): AfterFailure {
  if (final || attempts + 1 >= most) return { type: "dead letter" };
  const pause = backoff(random, Math.min(attempts, 64), first, longest);
  const isShort = now + pause - Math.min(now, failedAt) <= IN_MEMORY;
  return { type: place === "open" && isShort && room ? "waits" : "parked", pause };
}

/** How long a message that fails stays in memory, in ms: its key waits for it there; then it is parked. */
const IN_MEMORY = 5_000;

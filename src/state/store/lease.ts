/**
 * The lease of an entry that this process has written with a ttl: the time for which the process may rely on the entry.
 * It lasts one margin less than the ttl, counted from before the write was sent, by the wall clock or the monotonic
 * clock, whichever has advanced more. So a lease ends in this process before its entry can expire in the store.
 */
import { between, type Stamp } from "../../ports/clock.ts";

/**
 * Returns the margin: the time before the end of the ttl at which a lease ends, in ms. 1 s, or a third of a ttl below
 * 3 s.
 */
export function margin(ttl: number): number {
  return Math.min(1_000, ttl / 3);
}

/**
 * Returns the remaining time of a lease at `now`, in ms; 0 or less once it has ended. `since`: time at which the
 * entry's write was sent; `ttl`: time to live of the entry, in ms.
 */
export function left(now: Stamp, since: Stamp, ttl: number): number {
  return ttl - margin(ttl) - between(since, now);
}

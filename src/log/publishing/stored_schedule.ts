/** A schedule as it is stored under its subject: when it is due, and whether it is held. */
import { nextOfCron } from "../../data/cron.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";

/**
 * When a schedule is due, by the server's clock; `again` for one that is due again and again, `Infinity` for what is
 * none.
 */
export function dueOf(found: StoredMessage, again: number): number {
  const text = header(found, "Nats-Schedule");
  if (text === undefined) return Infinity;
  const due = text.startsWith("@at ") ? Date.parse(text.slice(4)) : NaN;
  return Number.isNaN(due) ? again : due;
}

/**
 * How long, in ms, until a cron has fired that is due about now; 0: it is not, or is due again at once. The server
 * counts the cron that takes its place from then on: what was due before and has not fired is lost.
 */
export function firesWithin(stream: LogStream, found: StoredMessage): number {
  const cron = header(found, "Nats-Schedule");
  if (cron === undefined || isHeld(found)) return 0;
  const next = (after: number) => nextOfCron(cron, after, header(found, "Nats-Schedule-Time-Zone")) ?? Infinity;
  const due = next(Math.max(found.time, stream.serverTime - MAX_CRON_DELAY));
  if (due > stream.latestServerTime + WRITE_TIME || next(due) <= due + MAX_CRON_DELAY + WRITE_TIME) return 0;
  return due + MAX_CRON_DELAY - stream.serverTime;
}

/** The cron that a message is, or whose firing moves it, because it is held in its place. */
export function cronOf(found: StoredMessage): string | undefined {
  const held = header(found, HELD_HEADER);
  if (held !== undefined) return held === ONCE ? undefined : held;
  return dueOf(found, -Infinity) === -Infinity ? header(found, "Nats-Schedule") : undefined;
}

export function isHeld(found: StoredMessage): boolean {
  return header(found, HELD_HEADER) !== undefined;
}

/** The value of a header. */
export function header({ headers = {} }: StoredMessage, name: string): string | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined;
}

/** Says of a stored message that the server may have had in hand what it replaced: that cron, or what fires once. */
export const HELD_HEADER = "Catga-Held";
export const ONCE = "once";

/** How late a cron fires at most, and how long a write of it takes, in ms. */
const MAX_CRON_DELAY = 1_000;
const WRITE_TIME = 500;

/** Reads messages of schedules: when a schedule is due, and if it is held (see `schedule_write.ts`). */
import { nextOfCron } from "../../data/cron.ts";
import { isNotNegative, isRecord } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import type { LogSchedule, LogStream, StoredMessage } from "../../ports/event_log.ts";

/**
 * Returns the due time of a stored schedule for one time, in ms since 1970 by the server's clock. Returns the given
 * `ofCron` for a cron, and `Infinity` for a message that is no schedule.
 */
export function storedDue(found: StoredMessage, ofCron: number): number {
  const text = header(found, "Nats-Schedule");
  if (text === undefined) return Infinity;
  const due = text.startsWith("@at ") ? Date.parse(text.slice(4)) : NaN;
  return Number.isNaN(due) ? ofCron : due;
}

/**
 * Returns the time until a cron that is due about now has fired, in ms; 0: the cron is not due soon, or is due again
 * within so short a time that a wait would meet its next firing. Wait so long before replacing the cron: the server
 * fires a new cron only at times after its storing, so a firing of the old cron that is due but has not happened would
 * be lost.
 * @decides which firings of a schedule count, and which are skipped
 */
export function firesWithin(stream: LogStream, found: StoredMessage): number {
  const cron = header(found, "Nats-Schedule");
  if (cron === undefined || isHeld(found)) return 0;
  const next = (after: number) => nextOfCron(cron, after, header(found, "Nats-Schedule-Time-Zone")) ?? Infinity;
  const due = next(Math.max(found.time, stream.serverTime - MAX_CRON_DELAY));
  if (due > stream.latestServerTime + WRITE_TIME || next(due) <= due + MAX_CRON_DELAY + WRITE_TIME) return 0;
  return due + MAX_CRON_DELAY - stream.serverTime;
}

/**
 * Returns the cron expression of a message; for a held message, that of the schedule that it has replaced, whose firing
 * may move the message. `undefined`: the schedule is no cron.
 */
export function cronOf(found: StoredMessage): string | undefined {
  const held = header(found, HELD_HEADER);
  if (held !== undefined) return held === ONCE ? undefined : held;
  return storedDue(found, -Infinity) === -Infinity ? header(found, "Nats-Schedule") : undefined;
}

export function isHeld(found: StoredMessage): boolean {
  return header(found, HELD_HEADER) !== undefined;
}

/** A cron that an operator has paused (`paused_schedule.ts`). */
export interface PausedCron {
  /** The schedule that it is again when it is resumed. */
  readonly schedule: Omit<LogSchedule, "at" | "ofProcess"> & { readonly at: string };
  /** Time at which it was paused, in ms since 1970. */
  readonly since: number;
  readonly reason?: string;
  /** Identifies the writer of the pause. */
  readonly by?: string;
}

/** Returns the headers of a paused cron. */
export function pausedHeaders(paused: PausedCron): Readonly<Record<string, string>> {
  // ASCII, as headers of other programs are
  const escaped = (each: string) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return { [PAUSED_HEADER]: JSON.stringify(paused).replace(/[^ -~]/g, escaped) };
}

/** Reads a paused cron; `undefined`: the message is none. */
export function pausedCronOf(message: StoredMessage): PausedCron | undefined {
  const text = header(message, PAUSED_HEADER);
  const value = text === undefined ? undefined : parsedJson(text);
  if (!isRecord(value) || !isRecord(value.schedule) || !isNotNegative(value.since)) return undefined;
  const { since, reason, by, schedule: { at, zone, target, ttl } } = value;
  if (typeof at !== "string" || typeof target !== "string") return undefined;
  return {
    schedule: { at, target, ...(typeof zone === "string" && { zone }), ...(isNotNegative(ttl) && { ttl }) },
    since,
    ...(typeof reason === "string" && { reason }),
    ...(typeof by === "string" && { by }),
  };
}

/** Returns the time by which a stored schedule is due at the latest, in ms since 1970; `Infinity`: there is none. */
export function latestOf(found: StoredMessage): number {
  const latest = Number(header(found, LATEST_HEADER));
  return isNotNegative(latest) && header(found, "Nats-Schedule") !== undefined ? latest : Infinity;
}

/** Returns the value of a message's header; `undefined`: absent. */
export function header({ headers = {} }: StoredMessage, name: string): string | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined;
}

/**
 * Header of a held message, which has replaced a schedule that the server may have been firing. Value: the cron
 * expression of that schedule, or `ONCE`.
 */
export const HELD_HEADER = "Catga-Held";
/** Header of a paused cron (`paused_schedule.ts`): what makes it a schedule again, as JSON. */
export const PAUSED_HEADER = "Catga-Paused";
/**
 * Header of a schedule with a longest wait: the time by which it is due at the latest, in ms since 1970 by the server's
 * clock. What has a longest wait, too, and replaces it, is due by then.
 */
export const LATEST_HEADER = "Catga-Latest";
export const ONCE = "once";

/** Maximum delay with which the server fires a cron, in ms. */
const MAX_CRON_DELAY = 1_000;
/** Assumed duration of a write, in ms. */
const WRITE_TIME = 500;

/** Lists the pending schedules of a namespace, from their messages in the stream. */
import { type LogStream, messagesFrom, type StoredMessage } from "../../ports/event_log.ts";
import { parseLocalCron } from "../../data/cron.ts";
import { countedCron } from "../format/group.ts";
import { readScheduleSubject, schedulePattern } from "../format/names.ts";
import { header, pausedCronOf } from "./stored_schedule.ts";
import { markOf } from "./unschedule.ts";

/** A pending schedule: it has not fired yet, or fires repeatedly. */
export interface PendingSchedule {
  readonly contract: string;
  readonly id: string;
  /** When the schedule fires: an ISO time, or the fields of a cron expression. */
  readonly when: string;
  readonly zone: string | undefined;
  /** Time at which the schedule was stored, as an ISO string. */
  readonly since: string;
  /** Present if an operator has paused it: since when, in ms since 1970, and why. */
  readonly paused?: { readonly since: number; readonly reason?: string };
}

/**
 * Returns the time at which a schedule fires next, in ms since 1970; `undefined` for a cron that only the server can
 * read.
 */
export function nextOf(schedule: Pick<PendingSchedule, "when" | "zone" | "paused">, now: number): number | undefined {
  return nextTimes(schedule, now, 1)[0];
}

/**
 * Returns the next `most` times at which a schedule fires, in ms since 1970; empty for a cron that only the server
 * can read, and for one that is paused.
 */
export function nextTimes(
  { when, zone, paused }: Pick<PendingSchedule, "when" | "zone" | "paused">,
  now: number,
  most: number,
): readonly number[] {
  if (paused !== undefined) return [];
  const at = Date.parse(when);
  if (!Number.isNaN(at) && !/\s/.test(when)) return [at];
  const times: number[] = [];
  try {
    const cron = parseLocalCron(when, zone);
    for (let time = cron.next(now); time !== undefined && times.length < most; time = cron.next(time)) times.push(time);
  } catch {
    return []; // the cron uses an extension of the server, which Catga cannot read
  }
  return times;
}

/** Yields the pending schedules, in the order in which they were stored. */
export async function* pendingSchedules(namespace: string, stream: LogStream): AsyncGenerator<PendingSchedule> {
  for await (const message of messagesFrom(stream, schedulePattern(namespace), 1)) {
    const pending = pendingOf(namespace, message);
    if (pending !== undefined) yield pending;
  }
}

/** Parses a stored schedule; `undefined` if the schedule was taken back, or if the message is no schedule. */
function pendingOf(namespace: string, message: StoredMessage): PendingSchedule | undefined {
  const about = readScheduleSubject(namespace, message.subject);
  const paused = pausedCronOf(message);
  const text = paused?.schedule.at ?? header(message, "Nats-Schedule");
  if (about === undefined || text === undefined || markOf(message) !== undefined) return undefined;
  const when = text.startsWith("@at ") ? text.slice(4) : countedCron(message.data)?.cron ?? text;
  const since = new Date(message.time).toISOString();
  const zone = paused?.schedule.zone ?? header(message, "Nats-Schedule-Time-Zone");
  const own = { contract: about.category, id: about.id, when, zone, since };
  if (paused === undefined) return own;
  return { ...own, paused: { since: paused.since, ...(paused.reason !== undefined && { reason: paused.reason }) } };
}

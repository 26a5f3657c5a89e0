/** Lists the schedules that still fire: the messages under their subjects. */
import { type LogStream, messagesFrom, type StoredMessage } from "../../ports/event_log.ts";
import { nextOfCron } from "../../data/cron.ts";
import { readScheduleSubject, schedulePattern } from "../format/names.ts";
import { header, markOf } from "./schedule_write.ts";

/** A schedule that has not fired, or fires again. */
export interface PendingSchedule {
  readonly contract: string;
  readonly id: string;
  /** A time, or the fields of cron. */
  readonly when: string;
  readonly zone: string | undefined;
  /** When it was made, as an ISO string. */
  readonly since: string;
}

/** The time at which it is due next, in ms since 1970; `undefined` for a cron that only the server can read. */
export function nextOf({ when, zone }: Pick<PendingSchedule, "when" | "zone">, now: number): number | undefined {
  const at = Date.parse(when);
  return !Number.isNaN(at) && !/\s/.test(when) ? at : nextOfCron(when, now, zone);
}

/** Reads them in the order in which they were made. */
export async function* pendingSchedules(namespace: string, stream: LogStream): AsyncGenerator<PendingSchedule> {
  for await (const message of messagesFrom(stream, schedulePattern(namespace), 1)) {
    const pending = pendingOf(namespace, message);
    if (pending !== undefined) yield pending;
  }
}

/** What a message schedules; `undefined` for one that was taken back, and for anything else. */
function pendingOf(namespace: string, message: StoredMessage): PendingSchedule | undefined {
  const about = readScheduleSubject(namespace, message.subject);
  const text = header(message, "Nats-Schedule");
  if (about === undefined || text === undefined || markOf(message) !== undefined) return undefined;
  const when = text.startsWith("@at ") ? text.slice(4) : text;
  const since = new Date(message.time).toISOString();
  return { contract: about.category, id: about.id, when, zone: header(message, "Nats-Schedule-Time-Zone"), since };
}

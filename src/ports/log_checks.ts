/** What every implementation of {@link EventLog} refuses before it asks a server. */
import type { AppendOptions, LogOptions } from "./event_log.ts";
import { checkBucket } from "./key_value_store.ts";
import { checkHeader, checkPattern, checkSubject } from "./transport.ts";

/** The most messages of one `LogStream.read`. */
export const MOST_READ = 1_000;
/** The longest ttl, in ms: a hundred years. nats-server counts in ns, which overflow at 292 years. */
const LONGEST_TTL = 100 * 365 * 86_400_000;
/** The last ms of the year 9999, for which schedules can be written. */
const LATEST = 253_402_300_799_999;

/** Throws for options of `EventLog.open` that are none: a `TypeError`, or a `RangeError` for a number. */
export function checkLog(name: string, { subjects, replicas }: LogOptions): void {
  checkBucket(name, replicas);
  checkPatterns(subjects);
}

/** Throws a `TypeError` unless these are patterns, one at least. */
export function checkPatterns(subjects: readonly string[]): void {
  if (subjects.length === 0) throw new TypeError("one subject is needed at least");
  for (const subject of subjects) checkPattern(subject);
}

/** Throws for arguments of `LogStream.append` that are none: a `TypeError`, or a `RangeError` for a number. */
export function checkAppend(subject: string, { id, ttl, expect, schedule, headers = {} }: AppendOptions): void {
  checkSubject(subject);
  if (id !== undefined) checkHeader("Nats-Msg-Id", id);
  if (id === "") throw new TypeError("an id has one character at least");
  for (const name of Object.keys(headers)) {
    if (/^nats-/i.test(name)) throw new TypeError(`headers whose names begin with Nats- are the server's; got ${name}`);
    checkHeader(name, headers[name]);
  }
  if (ttl !== undefined) ttlSeconds(ttl);
  if (expect !== undefined && !(Number.isSafeInteger(expect) && expect >= 0)) {
    throw new RangeError(`expect is a sequence, or 0; got ${expect}`);
  }
  if (schedule === undefined) return;
  const { at, zone, target } = schedule;
  checkSubject(target);
  if (schedule.ttl !== undefined) ttlSeconds(schedule.ttl);
  if (typeof at === "string") checkHeader("Nats-Schedule", at);
  else if (!(at >= 0 && at <= LATEST)) {
    throw new RangeError(`a schedule is for a time in ms since 1970, before the year 10000; got ${at}`);
  }
  if (zone !== undefined) checkHeader("Nats-Schedule-Time-Zone", zone);
}

/** A ttl of a message in whole seconds, rounded up; throws a `RangeError` if it is none. */
export function ttlSeconds(ttl: number): number {
  if (!(ttl > 0 && ttl <= LONGEST_TTL)) {
    throw new RangeError(`the ttl of a message is a number of ms, above 0, and of 100 years at most; got ${ttl}`);
  }
  return Math.ceil(ttl / 1_000);
}

/** Throws a `RangeError` unless `LogStream.read` can give so many messages. */
export function checkMost(most: number): void {
  if (Number.isInteger(most) && most >= 1 && most <= MOST_READ) return;
  throw new RangeError(`most is from 1 to ${MOST_READ} messages; got ${most}`);
}

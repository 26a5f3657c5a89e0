/**
 * Computes the next times of a cron expression of six fields, in a time zone: the times at which nats-server fires
 * (`server_cron.ts`), and the times that Catga promises, which differ where clocks change. The pattern that the server
 * gets makes it fire at each promised time; readers skip its other firings.
 */
import { type Cron, type CronField, type CronPattern, readPattern, withTimesOfDay } from "./cron_pattern.ts";
import { serverTimes } from "./server_cron.ts";
import { firstAt, type ZoneClock, zoneClock } from "./zone_clock.ts";

/**
 * Returns the next time after `time` at which nats-server fires a cron, in ms since 1970; `undefined`: never within
 * five years, or only the server can read the pattern. `zone`: time zone; default: UTC.
 * @decides when a cron schedule is due
 */
export function nextOfCron(pattern: string, time: number, zone?: string): number | undefined {
  try {
    return parseCron(pattern, zone).next(time);
  } catch {
    return undefined;
  }
}

/**
 * Parses a cron pattern of seconds, minutes, hours, days of the month, months and days of the week (0 is Sunday): `*`,
 * `?`, numbers, names of months and days, ranges, steps, lists; or `@yearly`, `@monthly`, `@weekly`, `@daily`,
 * `@hourly`. A day matches if both of its fields match, or one of them if neither is `*`. Throws a `RangeError` for
 * another pattern, or an unknown time zone. The result has the times at which nats-server fires.
 */
export function parseCron(pattern: string, zone = "UTC"): Cron {
  const [fields, clock] = [readPattern(pattern), zoneClock(zone)];
  return clock === undefined ? wallTimes(fields) : serverTimes(fields, clock);
}

/**
 * Parses a cron pattern like {@link parseCron}, but the result has the times that Catga promises. A schedule at fixed
 * hours (no `*`, `?` or `/` in the field of hours) occurs once for each local time: at the end of the gap if the change
 * of clocks skips that local time, and the first time if it occurs twice. Other schedules (such as every 10 minutes)
 * occur whenever the wall clock shows a time of theirs.
 */
export function parseLocalCron(pattern: string, zone = "UTC"): Cron {
  const [fields, clock] = [readPattern(pattern), zoneClock(zone)];
  return clock === undefined ? wallTimes(fields) : promisedTimes(fields, clock);
}

/** Returns the times of a cron that Catga promises in the zone of `clock` ({@link parseLocalCron}). */
export function promisedTimes(fields: CronPattern, clock: ZoneClock): Cron {
  const walls = wallTimes(fields);
  if (!fields.isFixed) return { next: (time) => shownAfter(walls, clock, time) };
  return {
    next(time) {
      // local times that have occurred already are skipped, also in an hour that occurs twice
      for (let wall = walls.next(time + clock.offset(time)); wall !== undefined; wall = walls.next(wall)) {
        const at = firstAt(clock, wall);
        if (at > time) return at;
      }
      return undefined;
    },
  };
}

/** Returns the first time after `time` at which the clock shows one of these times. */
function shownAfter(walls: Cron, clock: ZoneClock, time: number): number | undefined {
  let from = (Math.floor(time / 1_000) + 1) * 1_000;
  for (;;) {
    const offset = clock.offset(from);
    const wall = walls.next(from + offset - 1_000);
    const at = wall === undefined ? undefined : wall - offset;
    const change = clock.changeAfter(from, at === undefined ? from + YEARS * YEAR : at + 1);
    if (change === undefined) return at;
    from = change;
  }
}

/** Returns the times of a cron on a clock that never changes. */
function wallTimes({ seconds, minutes, hours, months, hasDay }: CronPattern): Cron {
  return {
    next(time) {
      let at = (Math.floor(time / 1_000) + 1) * 1_000;
      const limit = at + YEARS * YEAR;
      while (at <= limit) {
        const wall = new Date(at);
        if (!months.has(wall.getUTCMonth() + 1)) at = Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth() + 1, 1);
        else if (!hasDay(wall)) at += DAY - mod(at, DAY);
        else if (!hours.has(wall.getUTCHours())) at += HOUR - mod(at, HOUR);
        else if (!minutes.has(wall.getUTCMinutes())) at += MINUTE - mod(at, MINUTE);
        else if (!seconds.has(wall.getUTCSeconds())) at += 1_000;
        else return at;
      }
      return undefined;
    },
  };
}

/** Returns the remainder of a division, which is never negative. */
const mod = (value: number, by: number) => ((value % by) + by) % by;

/**
 * Returns a cron pattern with which nats-server fires at each time that Catga promises ({@link parseLocalCron}); it may
 * also fire at other times, which {@link isNeedlessFiring} detects. `undefined`: for `YEARS` years from `now` on, the
 * program's own pattern fires exactly at the promised times. Throws a `RangeError` for an invalid pattern or time zone.
 */
export function serverCron(pattern: string, zone: string | undefined, now: number): string | undefined {
  const [fields, clock] = [readPattern(pattern), zoneClock(zone ?? "UTC")];
  return clock === undefined ? undefined : serverPattern(fields, clock, now);
}

/** Returns the pattern of {@link serverCron} in the zone of `clock`. */
export function serverPattern(fields: CronPattern, clock: ZoneClock, now: number): string | undefined {
  // the server steps through minutes and seconds in real time, so each of them counts whatever the clock shows
  if (fields.hours.any && fields.days.any && fields.months.any && fields.weekdays.any) return undefined;
  const own = differences(fields, fields, clock, now);
  if (own.missed.length === 0 && !own.isNeedless) return undefined;
  const added = withTimesOfDay(fields, own.missed.map((time) => time + clock.offset(time)));
  const [seconds, minutes, hours] = added.split(" ");
  const candidates = [added, `${seconds} ${minutes} ${hours} * * *`];
  const isWhole = (text: string) => differences(fields, readPattern(text), clock, now).missed.length === 0;
  return candidates.find(isWhole) ?? `${seconds} ${minutes} * * * *`;
}

/**
 * Compares the times at which the server fires the pattern `server` with those promised of `own`, around each change of
 * clocks within `YEARS` years from `now`. `missed`: promised times at which it does not fire; `isNeedless`: it also
 * fires at others.
 */
function differences(own: CronPattern, server: CronPattern, clock: ZoneClock, now: number) {
  const [promised, fired] = [own, server].map((pattern) => ({
    ...pattern,
    seconds: thinned(pattern.seconds, own.seconds),
    minutes: thinned(pattern.minutes, own.minutes),
  }));
  const [due, fires] = [promisedTimes(promised, clock), serverTimes(fired, clock)];
  const missed = new Set<number>();
  let isNeedless = false;
  for (let change = now - DAY;;) {
    const next = clock.changeAfter(change, now + YEARS * YEAR);
    if (next === undefined) return { missed: [...missed], isNeedless };
    change = next;
    // what the server passes over may be the first time after the change, weeks later: it goes on from day to day at
    // the hour to which the change has moved midnight
    const from = Math.max(now, lastUpTo(due, change - 2 * DAY) ?? now);
    let later = 0;
    const times = timesUntil(due, from, (time) => time > change + 2 * DAY && ++later > 1);
    const end = times.at(-1) ?? change;
    const firings = new Set(timesUntil(fires, from, (time) => time >= end));
    for (const time of times) if (!firings.delete(time)) missed.add(time);
    isNeedless ||= [...firings].some((time) => time < end);
  }
}

/**
 * Returns the values of a field of seconds or minutes that stand for all others: clocks change at quarters of an hour,
 * and between these the server finds either each value of a field or none.
 */
function thinned({ has }: CronField, own: CronField): CronField {
  const values = Array.from({ length: 60 }, (_, value) => value).filter(own.has);
  const [first, last] = [values[0], values[values.length - 1]];
  return { any: false, has: (value) => (value % 15 === 0 || value === first || value === last) && has(value) };
}

/** Returns the times of a cron after `from`, up to the one that is the last. */
function timesUntil({ next }: Cron, from: number, isLast: (time: number) => boolean): number[] {
  const times: number[] = [];
  for (let time = next(from); time !== undefined; time = next(time)) {
    times.push(time);
    if (isLast(time)) break;
  }
  return times;
}

/** Returns the last time of a cron up to `time`; `undefined`: none within five years. */
function lastUpTo({ next }: Cron, time: number): number | undefined {
  const isAfter = (at: number) => (next(at) ?? Infinity) > time;
  // the span before `time` is doubled until it contains a time of the cron; the last time in the span is the result
  let span = 1_000;
  while (span < YEARS * YEAR && isAfter(time - span)) span *= 2;
  let [before, after] = [time - span, time];
  if (isAfter(before)) return undefined;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (isAfter(middle)) after = middle;
    else before = middle;
  }
  return next(before);
}

/** Returns the offset of a time zone's clock to UTC at a time, in ms. Throws a `RangeError` for an unknown zone. */
export function offsetOf(time: number, zone: string): number {
  return zoneClock(zone)?.offset(time) ?? 0;
}

/** A cron schedule, with the pattern that the program gave, and the pattern that the server got. */
export interface CountedCron {
  readonly cron: string;
  readonly zone: string;
  /** The pattern with which the server fires, made by {@link serverCron}; `undefined`: the program's own pattern. */
  readonly server: string;
}

/**
 * Returns true if a message that nats-server fired at `time` must be skipped, because it was fired for a time within
 * the last 10 s at which Catga promises no message ({@link parseLocalCron}). A message that was fired more than 10 s
 * late, after an outage, is not skipped. The answer is the same in each process and at any time, so skipped firings
 * need not be recorded.
 */
export function isNeedlessFiring({ cron, zone, server }: CountedCron, time: number): boolean {
  const clock = zoneClock(zone);
  return clock !== undefined && isNeedlessOf(readPattern(cron), readPattern(server), clock, time);
}

/** Returns if a firing is needless ({@link isNeedlessFiring}) in the zone of `clock`. */
export function isNeedlessOf(own: CronPattern, server: CronPattern, clock: ZoneClock, time: number): boolean {
  const [promised, { next }] = [promisedTimes(own, clock), serverTimes(server, clock)];
  // the server computes each time from its last one, and it has fired at each promised time
  let at = Math.max(lastUpTo(promised, time - LATEST_FIRING) ?? 0, time - LONGEST_WAY);
  for (let after = next(at); after !== undefined && after <= time; after = next(at)) at = after;
  return at > time - LATEST_FIRING && promised.next(at - 1) !== at;
}

/**
 * Returns the time for which a message that nats-server fired at `time` was scheduled, in ms since 1970: the last
 * promised time ({@link parseLocalCron}) up to `time`; or the second of `time`, if only the server can read the
 * pattern.
 */
export function dueOfFiring(
  { cron, zone }: { readonly cron: string; readonly zone?: string | undefined },
  time: number,
) {
  const second = Math.floor(time / 1_000) * 1_000;
  let times: Cron;
  try {
    times = parseLocalCron(cron, zone);
  } catch {
    return second;
  }
  return lastUpTo(times, time) ?? second;
}

/**
 * Maximum delay of a firing while nats-server runs, in ms: 4.5 s were measured when the leader of three servers was
 * killed.
 */
const LATEST_FIRING = 10_000;
/** Maximum span of time over which the server's times are computed to see if a firing counts, in ms. */
const LONGEST_WAY = 8 * 86_400_000;
/**
 * Number of years for which changes of clocks are considered; the pattern is computed anew when the schedule is written
 * again.
 */
const YEARS = 5;

const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;
const YEAR = 366 * DAY;

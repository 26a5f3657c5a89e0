/**
 * Computes the next times of a cron expression of six fields, in a time zone: the times at which nats-server (2.15)
 * fires, and the times that Catga promises, which differ in the two nights in which clocks change. (nats-server never
 * fires for a local time that the change skips, and fires twice for a local time that occurs twice.)
 */

/** A parsed cron expression. */
export interface Cron {
  /**
   * Returns the first time of the cron after `time` (ms since 1970), in whole seconds; `undefined`: none within five
   * years.
   */
  next(time: number): number | undefined;
}

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
  return serverTimes(readFields(pattern), localTime(zone));
}

/**
 * Parses a cron pattern like {@link parseCron}, but the result has the times that Catga promises. A schedule at fixed
 * hours (no `*`, `?` or `/` in the field of hours) occurs once for each local time: at the end of the gap if the change
 * of clocks skips that local time, and the first time if it occurs twice. Other schedules (such as every 10 minutes)
 * occur at regular intervals of real time, whatever the wall clock shows, as on the server.
 */
export function parseLocalCron(pattern: string, zone = "UTC"): Cron {
  const [fields, local] = [readFields(pattern), localTime(zone)];
  if (zone === "UTC" || !fields.isFixed) return serverTimes(fields, local);
  const walls = serverTimes(fields, localTime("UTC"));
  return {
    next(time) {
      // local times that have occurred already are skipped, also in an hour that occurs twice
      for (let wall = walls.next(local.at(time)); wall !== undefined; wall = walls.next(wall)) {
        const at = local.first(wall);
        if (at > time) return at;
      }
      return undefined;
    },
  };
}

/**
 * Returns a cron pattern with which nats-server fires at each time that Catga promises ({@link parseLocalCron}); it may
 * also fire at other times, which {@link isNeedlessFiring} detects. `undefined`: for `YEARS` years from `now` on, the
 * program's own pattern fires exactly at the promised times. Throws a `RangeError` for an invalid pattern or time zone.
 */
export function serverCron(pattern: string, zone: string | undefined, now: number): string | undefined {
  if (zone === undefined || zone === "UTC") return undefined;
  const fields = readFields(pattern);
  if (!fields.isFixed) return undefined;
  const [walls, local] = [serverTimes(fields, localTime("UTC")), localTime(zone)];
  const isDueIn = (from: number, to: number) => (walls.next(from - 1_000) ?? Infinity) < to;
  const texts = [...fields.texts];
  let differs = false;
  for (const { before, after } of local.changes(now, now + YEARS * 366 * DAY)) {
    if (!isDueIn(Math.min(before, after), Math.max(before, after))) continue;
    differs = true;
    const end = new Date(after);
    if (after < before || new Date(before).getUTCDate() !== end.getUTCDate()) continue;
    for (const [i, value] of [end.getUTCSeconds(), end.getUTCMinutes(), end.getUTCHours()].entries()) {
      if (!parseField(texts[i], FIELDS[i]).has(value)) texts[i] += `,${value}`;
    }
  }
  return differs ? texts.join(" ") : undefined;
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
  const counted = parseCron(server, zone);
  let due: number | undefined;
  for (let at = counted.next(time - LATEST_FIRING); at !== undefined && at <= time; at = counted.next(at)) due = at;
  return due !== undefined && parseLocalCron(cron, zone).next(due - 1) !== due;
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
  const isAfter = (at: number) => (times.next(at) ?? Infinity) > time;
  // the loop doubles the span before `time` until the span contains a time of the cron, and then takes the last time in
  // the span
  let span = 1_000;
  while (span < YEARS * 366 * DAY && isAfter(time - span)) span *= 2;
  let [before, after] = [time - span, time];
  if (isAfter(before)) return second;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (isAfter(middle)) after = middle;
    else before = middle;
  }
  return times.next(before)!; // not undefined: there is a time of the cron up to `time`
}

/**
 * Maximum delay of a firing while nats-server runs, in ms: 4.5 s were measured when the leader of three servers was
 * killed.
 */
const LATEST_FIRING = 10_000;
/**
 * Number of years for which changes of clocks are considered; the pattern is computed anew when the schedule is written
 * again.
 */
const YEARS = 5;

/** The parsed fields of a cron expression. */
interface Fields {
  readonly texts: readonly string[];
  readonly seconds: CronField;
  readonly minutes: CronField;
  readonly hours: CronField;
  readonly days: CronField;
  readonly months: CronField;
  readonly weekdays: CronField;
  /** True if the schedule is at fixed hours: the field of hours has no `*`, `?` or `/`. */
  readonly isFixed: boolean;
}

function readFields(pattern: string): Fields {
  const trimmed = pattern.trim();
  const texts = (NAMED.get(trimmed) ?? trimmed).split(/\s+/);
  if (texts.length !== FIELDS.length) {
    throw new RangeError(`cron has six fields, from seconds to days of the week; got ${JSON.stringify(pattern)}`);
  }
  const [seconds, minutes, hours, days, months, weekdays] = texts.map((text, i) => parseField(text, FIELDS[i]));
  return { texts, seconds, minutes, hours, days, months, weekdays, isFixed: !/[*?/]/.test(texts[2]) };
}

/** Returns the times at which nats-server fires a cron. */
function serverTimes({ seconds, minutes, hours, days, months, weekdays }: Fields, local: LocalTime): Cron {
  const dayFits = (day: Date) => {
    const [byDate, byWeekday] = [days.has(day.getUTCDate()), weekdays.has(day.getUTCDay())];
    return days.any || weekdays.any ? byDate && byWeekday : byDate || byWeekday;
  };
  return {
    next(time) {
      let at = (Math.floor(time / 1_000) + 1) * 1_000;
      const limit = at + 5 * 366 * DAY;
      while (at <= limit) {
        const wall = new Date(local.at(at));
        const midnight = Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth(), wall.getUTCDate());
        if (!months.has(wall.getUTCMonth() + 1)) {
          at = local.instant(Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth() + 1, 1), at);
        } else if (!dayFits(wall)) at = local.instant(midnight + DAY, at);
        else if (!hours.has(wall.getUTCHours())) at += HOUR - (wall.getTime() % HOUR);
        else if (!minutes.has(wall.getUTCMinutes())) at += MINUTE - (wall.getTime() % MINUTE);
        else if (!seconds.has(wall.getUTCSeconds())) at += 1_000;
        else return at;
      }
      return undefined;
    },
  };
}

const NAMED: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 0 1 1 *"],
  ["@annually", "0 0 0 1 1 *"],
  ["@monthly", "0 0 0 1 * *"],
  ["@weekly", "0 0 0 * * 0"],
  ["@daily", "0 0 0 * * *"],
  ["@midnight", "0 0 0 * * *"],
  ["@hourly", "0 0 * * * *"],
]);

const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;

interface FieldRange {
  readonly name: string;
  readonly least: number;
  readonly most: number;
  /** Names of the values of a field, from the value `least` on. */
  readonly names?: readonly string[];
}

const FIELDS: readonly FieldRange[] = [
  { name: "second", least: 0, most: 59 },
  { name: "minute", least: 0, most: 59 },
  { name: "hour", least: 0, most: 23 },
  { name: "day of the month", least: 1, most: 31 },
  {
    name: "month",
    least: 1,
    most: 12,
    names: ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
  },
  { name: "day of the week", least: 0, most: 6, names: ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

interface CronField {
  /** True if the field has a `*` without a step. */
  readonly any: boolean;
  has(value: number): boolean;
}

function parseField(text: string, range: FieldRange): CronField {
  const { name, least, most } = range;
  const values = new Set<number>();
  let any = false;
  for (const part of text.split(",")) {
    const found = /^(?:[*?]|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(part);
    const step = found?.[3] === undefined ? 1 : Number(found[3]);
    const star = found?.[1] === undefined;
    const from = star ? least : valueOf(found[1], range);
    // "5/10" means "from 5 on, every tenth"
    const to = star || (found[2] === undefined && found[3] !== undefined) ? most : valueOf(found[2] ?? found[1], range);
    if (!found || !(from >= least && to <= most && from <= to && step >= 1)) {
      throw new RangeError(
        `cron: the ${name} is from ${least} to ${most}, as 1, 1-5, */2 or a list; got ${JSON.stringify(text)}`,
      );
    }
    any ||= star && step === 1;
    for (let value = from; value <= to; value += step) values.add(value);
  }
  return { any, has: (value) => values.has(value) };
}

function valueOf(text: string, range: FieldRange): number {
  const named = range.names?.indexOf(text.toLowerCase()) ?? -1;
  if (named >= 0) return range.least + named;
  return /^\d+$/.test(text) ? Number(text) : NaN;
}

/** Returns the offset of a time zone's clock to UTC at a time, in ms. Throws a `RangeError` for an unknown zone. */
export function offsetOf(time: number, zone: string): number {
  return localTime(zone).at(Math.floor(time / 1_000) * 1_000) - Math.floor(time / 1_000) * 1_000;
}

/**
 * The wall clock of a time zone. The time that it shows is given in ms since 1970, for use with the UTC methods of
 * `Date`.
 */
interface LocalTime {
  at(time: number): number;
  /**
   * Returns the time after `after` at which the wall clock shows `wall`; if the change of clocks skips `wall`, the time
   * that follows it.
   */
  instant(wall: number, after: number): number;
  /**
   * Returns the first time at which the wall clock shows `wall`; if the change of clocks skips `wall`, the end of the
   * gap.
   */
  first(wall: number): number;
  /**
   * Returns the changes of the clock (daylight saving) between two times. `before`, `after`: the time that the clock
   * shows at the change, by the old offset and by the new one.
   */
  changes(from: number, to: number): Iterable<{ readonly before: number; readonly after: number }>;
}

function localTime(zone: string): LocalTime {
  if (zone === "UTC") {
    return { at: (time) => time, instant: (wall) => wall, first: (wall) => wall, changes: () => [] };
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: zone,
    calendar: "gregory",
    numberingSystem: "latn",
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  // Intl also accepts offsets, and names in upper or lower case
  const { timeZone } = format.resolvedOptions();
  if (/(?:^|\/)[^A-Z]/.test(zone) || (timeZone !== zone && timeZone.toUpperCase() === zone.toUpperCase())) {
    throw new RangeError(`the time zone ${JSON.stringify(zone)} is not the name of one, like "Europe/Berlin"`);
  }
  const at = (time: number) => {
    const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
  };
  const offset = (time: number) => at(time) - time;
  /** Finds the second at which the offset changes, between two times that have different offsets. */
  const change = (from: number, to: number) => {
    const first = offset(from);
    while (to - from > 1_000) {
      const middle = Math.floor((from + to) / 2_000) * 1_000;
      if (offset(middle) === first) from = middle;
      else to = middle;
    }
    return to;
  };
  return {
    at,
    instant(wall, after) {
      // the time zone's offset is that of the day before or that of the day after; if `wall` is in a gap, neither gives
      // a time at which the clock shows `wall`, and the offset of the day before gives a time after the gap
      const [early, late] = [offset(wall - DAY), offset(wall + DAY)];
      const found = [wall - early, wall - late].find((time) => at(time) === wall) ?? wall - early;
      return Math.max(found, after + 1_000);
    },
    first(wall) {
      const [early, late] = [offset(wall - DAY), offset(wall + DAY)];
      const found = [wall - early, wall - late].find((time) => at(time) === wall);
      return found ?? change(wall - late, wall - early);
    },
    *changes(from, to) {
      for (let time = Math.floor(from / 1_000) * 1_000; time < to; time += 7 * DAY) {
        const next = time + 7 * DAY;
        if (offset(time) === offset(next)) continue;
        const moment = change(time, next);
        yield { before: moment + offset(time), after: moment + offset(moment) };
      }
    },
  };
}

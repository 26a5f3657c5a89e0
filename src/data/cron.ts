/** When a schedule of six fields of cron is due next, in a time zone: as nats-server computes it. */

/** A schedule that repeats. */
export interface Cron {
  /** The first time after `time` (ms since 1970), in whole seconds; `undefined`: none within five years. */
  next(time: number): number | undefined;
}

/** When a cron is due next after `time`; `undefined`: never, or only the server can read it. */
export function nextOfCron(pattern: string, time: number, zone?: string): number | undefined {
  try {
    return parseCron(pattern, zone).next(time);
  } catch {
    return undefined;
  }
}

/**
 * Reads seconds, minutes, hours, days of the month, months and days of the week (0 is Sunday): `*`, `?`, numbers, names
 * of months and days, ranges, steps, lists; or `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly`. A day fits when
 * both of its fields do, or one of them if neither is `*`. Throws a `RangeError` for another pattern, or an unknown
 * time zone.
 */
export function parseCron(pattern: string, zone = "UTC"): Cron {
  const trimmed = pattern.trim();
  const fields = (NAMED.get(trimmed) ?? trimmed).split(/\s+/);
  if (fields.length !== FIELDS.length) {
    throw new RangeError(`cron has six fields, from seconds to days of the week; got ${JSON.stringify(pattern)}`);
  }
  const [seconds, minutes, hours, days, months, weekdays] = fields.map((field, i) => parseField(field, FIELDS[i]));
  const local = localTime(zone);
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
  /** Its values from `least` on. */
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

interface Field {
  /** True if it has a `*` without a step. */
  readonly any: boolean;
  has(value: number): boolean;
}

function parseField(text: string, range: FieldRange): Field {
  const { name, least, most } = range;
  const values = new Set<number>();
  let any = false;
  for (const part of text.split(",")) {
    const found = /^(?:[*?]|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(part);
    const step = found?.[3] === undefined ? 1 : Number(found[3]);
    const star = found?.[1] === undefined;
    const from = star ? least : valueOf(found[1], range);
    // "5/10" is "from 5 on, each tenth"
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

/** The wall clock of a time zone, as ms since 1970 that `Date`'s UTC methods read. */
interface LocalTime {
  at(time: number): number;
  /**
   * The time at which the wall clock shows `wall`; behind `after`. Of a wall clock time that is skipped, the one that
   * follows.
   */
  instant(wall: number, after: number): number;
}

function localTime(zone: string): LocalTime {
  if (zone === "UTC") return { at: (time) => time, instant: (wall) => wall };
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
  // Intl takes offsets, and names in any case
  const { timeZone } = format.resolvedOptions();
  if (/(?:^|\/)[^A-Z]/.test(zone) || (timeZone !== zone && timeZone.toUpperCase() === zone.toUpperCase())) {
    throw new RangeError(`the time zone ${JSON.stringify(zone)} is not the name of one, like "Europe/Berlin"`);
  }
  const at = (time: number) => {
    const parts = Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second);
  };
  return {
    at,
    instant(wall, after) {
      // the offset before and after: one of them holds, and in a gap the earlier offset gives the time that follows it
      const [early, late] = [wall - DAY, wall + DAY].map((time) => at(time) - time);
      const found = [wall - early, wall - late].find((time) => at(time) === wall) ?? wall - early;
      return Math.max(found, after + 1_000);
    },
  };
}

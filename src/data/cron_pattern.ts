/**
 * Parses cron expressions of six fields, as nats-server (2.15) reads them.
 *
 * @decides which texts are a cron expression
 */

/** The times of a cron expression. */
export interface Cron {
  /**
   * Returns the first time of the cron after `time` (ms since 1970), in whole seconds; `undefined`: none within five
   * years.
   */
  next(time: number): number | undefined;
}

/** The parsed fields of a cron expression. */
export interface CronPattern {
  /** The text of each field, from seconds to days of the week. */
  readonly texts: readonly string[];
  readonly seconds: CronField;
  readonly minutes: CronField;
  readonly hours: CronField;
  readonly days: CronField;
  readonly months: CronField;
  readonly weekdays: CronField;
  /** True if the schedule is at fixed hours: the field of hours has no `*`, `?` or `/`. */
  readonly isFixed: boolean;
  /** Returns true if a day matches, by both of its fields, or by one of them if neither is `*`. */
  hasDay(day: Date): boolean;
}

/**
 * Parses a cron expression: `*`, `?`, numbers, names of months and days, ranges, steps, lists; or `@yearly`,
 * `@monthly`, `@weekly`, `@daily`, `@hourly`. Throws a `RangeError` for another pattern.
 */
export function readPattern(pattern: string): CronPattern {
  const trimmed = pattern.trim();
  const texts = (NAMED.get(trimmed) ?? trimmed).split(/\s+/);
  if (texts.length !== FIELDS.length) {
    throw new RangeError(`cron has six fields, from seconds to days of the week; got ${JSON.stringify(pattern)}`);
  }
  const [seconds, minutes, hours, days, months, weekdays] = texts.map((text, i) => parseField(text, FIELDS[i]));
  const hasDay = (day: Date) => {
    const [byDate, byWeekday] = [days.has(day.getUTCDate()), weekdays.has(day.getUTCDay())];
    return days.any || weekdays.any ? byDate && byWeekday : byDate || byWeekday;
  };
  return { texts, seconds, minutes, hours, days, months, weekdays, isFixed: !/[*?/]/.test(texts[2]), hasDay };
}

/** Returns a cron expression that also has the second, the minute and the hour of each of these wall clock times. */
export function withTimesOfDay({ texts }: CronPattern, walls: readonly number[]): string {
  const added = [...texts];
  for (const wall of walls) {
    const date = new Date(wall);
    for (const [i, value] of [date.getUTCSeconds(), date.getUTCMinutes(), date.getUTCHours()].entries()) {
      if (!parseField(added[i], FIELDS[i]).has(value)) added[i] += `,${value}`;
    }
  }
  return added.join(" ");
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

/** The values of a field. */
export interface CronField {
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

/**
 * The times at which nats-server (2.14 and 2.15) fires a cron in a time zone. The server searches for the next time
 * field by field. Where a change of clocks skips or repeats a part of its way, it passes over times that match: the
 * other side of a midnight that is skipped, days and weeks after it, and fixed hours after a change by half an hour.
 * Tests compare this model with a real server.
 *
 * @decides when nats-server fires a cron
 */
import type { Cron, CronPattern } from "./cron_pattern.ts";
import type { ZoneClock } from "./zone_clock.ts";

/** A field of a cron, or its days, as the server searches for a value of it. */
interface SearchStage {
  fits(wall: Date): boolean;
  /** Returns the beginning of the present value. */
  begin(wall: Date, at: number): number;
  /** Returns a time with the following value. */
  follow(wall: Date, at: number): number;
  /** Returns true if this value is the first one, so that greater fields have changed, too. */
  isFirst(wall: Date): boolean;
}

/** Returns the times at which nats-server fires a cron in the zone of `clock`. */
export function serverTimes({ seconds, minutes, hours, months, hasDay }: CronPattern, clock: ZoneClock): Cron {
  /**
   * Converts a wall clock time as Go does: with the offset that holds at the time which results from the offset at
   * `wall` in UTC. Of a time that is skipped, a zone west of UTC so gets the hour before the gap.
   */
  const instant = (wall: number) => wall - clock.offset(wall - clock.offset(wall));
  const date = (wall: Date, { month = 0, day = wall.getUTCDate(), time = 0 }) =>
    instant(Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth() + month, day) + time);
  const timeOfDay = (wall: Date) =>
    wall.getTime() - Date.UTC(wall.getUTCFullYear(), wall.getUTCMonth(), wall.getUTCDate());
  const stages: readonly SearchStage[] = [
    {
      fits: (wall) => months.has(wall.getUTCMonth() + 1),
      begin: (wall) => date(wall, { day: 1 }),
      follow: (wall) => date(wall, { month: 1, time: timeOfDay(wall) }),
      isFirst: (wall) => wall.getUTCMonth() === 0,
    },
    {
      fits: hasDay,
      begin: (wall) => date(wall, {}),
      follow: (wall) => date(wall, { day: wall.getUTCDate() + 1, time: timeOfDay(wall) }),
      isFirst: (wall) => wall.getUTCDate() === 1,
    },
    {
      fits: (wall) => hours.has(wall.getUTCHours()),
      begin: (wall) => date(wall, { time: wall.getUTCHours() * HOUR }),
      follow: (_, at) => at + HOUR,
      isFirst: (wall) => wall.getUTCHours() === 0,
    },
    {
      fits: (wall) => minutes.has(wall.getUTCMinutes()),
      begin: (_, at) => at - at % MINUTE,
      follow: (_, at) => at + MINUTE,
      isFirst: (wall) => wall.getUTCMinutes() === 0,
    },
    {
      fits: (wall) => seconds.has(wall.getUTCSeconds()),
      begin: (_, at) => at,
      follow: (_, at) => at + 1_000,
      isFirst: (wall) => wall.getUTCSeconds() === 0,
    },
  ];
  const wallAt = (at: number) => new Date(at + clock.offset(at));
  return {
    next(time) {
      let at = (Math.floor(time / 1_000) + 1) * 1_000;
      let wall = wallAt(at);
      const lastYear = wall.getUTCFullYear() + 5;
      let hasBegun = false; // the server sets only the first value that does not fit to its beginning
      search: while (wall.getUTCFullYear() <= lastYear) {
        for (const { fits, begin, follow, isFirst } of stages) {
          while (!fits(wall)) {
            if (!hasBegun) {
              hasBegun = true;
              at = begin(wall, at);
              wall = wallAt(at);
            }
            at = follow(wall, at);
            wall = wallAt(at);
            if (isFirst(wall)) continue search;
          }
        }
        return at;
      }
      return undefined;
    },
  };
}

const MINUTE = 60_000;
const HOUR = 3_600_000;

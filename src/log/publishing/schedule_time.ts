/** Converts the time of a schedule to its stored form, and says which schedules the server cannot store. */
import type { Schedule } from "../../dispatch/remote.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogAbilities, LogStream } from "../../ports/event_log.ts";

/**
 * Returns the time at which a schedule made now is due, by this process's monotonic clock; a string: a cron
 * expression. A date is converted with this process's wall clock.
 */
export function plannedDue(schedule: Schedule, clock: Clock): number | string {
  if ("cron" in schedule) return schedule.cron.trim();
  // read before the monotonic clock: the process may stand still in between, and must not make the schedule early
  const left = "delay" in schedule ? schedule.delay : schedule.at.getTime() - clock.now();
  return clock.monotonic() + left;
}

/**
 * Returns the time by which a schedule made now is due at the latest, however often it is replaced, by this process's
 * monotonic clock; `undefined`: there is none.
 */
export function latestDue(schedule: Schedule, clock: Clock): number | undefined {
  if (!("delay" in schedule) || schedule.longest === undefined) return undefined;
  return clock.monotonic() + schedule.longest;
}

/**
 * Converts a due time of this process's monotonic clock to the server's time, in ms since 1970. The result is never
 * earlier than the due time, and not before the present time. A cron expression stays unchanged.
 */
export function timeOf(due: number | string, clock: Clock, stream: LogStream): number | string {
  if (typeof due === "string") return due;
  // read before the server's time, as in `plannedDue`
  const left = Math.max(0, due - clock.monotonic());
  return Math.ceil(stream.latestServerTime + left);
}

/** Describes the time that the program has given for a schedule, for an error's text. */
export function textOf(schedule: Schedule): string {
  if ("delay" in schedule) {
    const { delay, longest } = schedule;
    return `delay ${longest === undefined ? delay : `[${delay}, ${longest}]`}`;
  }
  if ("at" in schedule) return `at ${schedule.at.toISOString()}`;
  const { cron, zone } = schedule;
  return `cron ${JSON.stringify(cron)}${zone === undefined ? "" : ` and zone ${JSON.stringify(zone)}`}`;
}

/** Returns why the server cannot store a schedule with this due time; `undefined`: it can, as far as is known. */
export function unsupported(due: number | string, abilities: LogAbilities | undefined): string | undefined {
  if (abilities === undefined) return undefined;
  const { version } = abilities;
  if (typeof due === "string") {
    return abilities.cron ? undefined : `a cron needs nats-server 2.14 or later; this server is ${version}`;
  }
  return abilities.at ? undefined : `a delay, or a time, needs nats-server 2.12 or later; this server is ${version}`;
}

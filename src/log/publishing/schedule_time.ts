/** The time of a schedule as the stream stores it, and the abilities of the server that it needs. */
import type { Schedule } from "../../dispatch/remote.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogAbilities, LogStream } from "../../ports/event_log.ts";

/**
 * Returns the due time of a schedule made now, by this process's monotonic clock; a string: a cron expression. A date
 * is converted with the wall clock of this process.
 */
export function dueOf(schedule: Schedule, clock: Clock): number | string {
  if ("cron" in schedule) return schedule.cron.trim();
  return clock.monotonic() + ("delay" in schedule ? schedule.delay : schedule.at.getTime() - clock.now());
}

/**
 * Converts a due time to the server's time, in ms since 1970: never earlier than meant, and not before now. A cron
 * stays unchanged.
 */
export function timeOf(due: number | string, clock: Clock, { latestServerTime }: LogStream): number | string {
  return typeof due === "string" ? due : Math.ceil(latestServerTime + Math.max(0, due - clock.monotonic()));
}

/** Describes the options of the program, for an error. */
export function textOf(schedule: Schedule): string {
  if ("delay" in schedule) return `delay ${schedule.delay}`;
  if ("at" in schedule) return `at ${schedule.at.toISOString()}`;
  const { cron, zone } = schedule;
  return `cron ${JSON.stringify(cron)}${zone === undefined ? "" : ` and zone ${JSON.stringify(zone)}`}`;
}

/** Returns why the server cannot store such a schedule; `undefined`: it can, as far as is known. */
export function unsupported(due: number | string, abilities: LogAbilities | undefined): string | undefined {
  if (abilities === undefined) return undefined;
  const { version } = abilities;
  if (typeof due === "string") {
    return abilities.cron ? undefined : `a cron needs nats-server 2.14 or later; this server is ${version}`;
  }
  return abilities.at ? undefined : `a delay, or a time, needs nats-server 2.12 or later; this server is ${version}`;
}

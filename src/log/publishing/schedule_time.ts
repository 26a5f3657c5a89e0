/** When a message is to be handled, as the stream has it, and what the server must be able to do for it. */
import type { Schedule } from "../../dispatch/remote.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogAbilities, LogStream } from "../../ports/event_log.ts";

/**
 * When a schedule is due that is made now: a moment of this process's monotonic clock; or cron. A date is meant by its
 * wall clock.
 */
export function dueOf(schedule: Schedule, clock: Clock): number | string {
  if ("cron" in schedule) return schedule.cron.trim();
  return clock.monotonic() + ("delay" in schedule ? schedule.delay : schedule.at.getTime() - clock.now());
}

/** The time of the server in ms since 1970, certainly not before that moment, and now at the earliest; or cron. */
export function timeOf(due: number | string, clock: Clock, { latestServerTime }: LogStream): number | string {
  return typeof due === "string" ? due : Math.ceil(latestServerTime + Math.max(0, due - clock.monotonic()));
}

/** The options that a program gave, for an error. */
export function textOf(schedule: Schedule): string {
  if ("delay" in schedule) return `delay ${schedule.delay}`;
  if ("at" in schedule) return `at ${schedule.at.toISOString()}`;
  const { cron, zone } = schedule;
  return `cron ${JSON.stringify(cron)}${zone === undefined ? "" : ` and zone ${JSON.stringify(zone)}`}`;
}

/** Why the server cannot store such a schedule; `undefined` if it can, as far as is known. */
export function unsupported(due: number | string, abilities: LogAbilities | undefined): string | undefined {
  if (abilities === undefined) return undefined;
  const { version } = abilities;
  if (typeof due === "string") {
    return abilities.cron ? undefined : `a cron needs nats-server 2.14 or later; this server is ${version}`;
  }
  return abilities.at ? undefined : `a delay, or a time, needs nats-server 2.12 or later; this server is ${version}`;
}

/** When a message is to be handled, as the stream has it, and what the server must be able to do for it. */
import type { Schedule } from "../../dispatch/durable_log.ts";
import type { LogAbilities } from "../../ports/event_log.ts";

/** A time of the server, in ms since 1970, now at the earliest; or cron. `now`: the server's time. */
export function timeOf(schedule: Schedule, now: number): number | string {
  if ("cron" in schedule) return schedule.cron.trim();
  const at = "delay" in schedule ? now + schedule.delay : schedule.at.getTime();
  return Math.ceil(Math.max(at, now));
}

/** The options that a program gave, for an error. */
export function textOf(schedule: Schedule): string {
  if ("delay" in schedule) return `delay ${schedule.delay}`;
  if ("at" in schedule) return `at ${schedule.at.toISOString()}`;
  const { cron, zone } = schedule;
  return `cron ${JSON.stringify(cron)}${zone === undefined ? "" : ` and zone ${JSON.stringify(zone)}`}`;
}

/** Why the server cannot store such a schedule; `undefined` if it can, as far as is known. */
export function unsupported(at: number | string, abilities: LogAbilities | undefined): string | undefined {
  if (abilities === undefined) return undefined;
  const { version } = abilities;
  if (typeof at === "string") {
    return abilities.cron ? undefined : `a cron needs nats-server 2.14 or later; this server is ${version}`;
  }
  return abilities.at ? undefined : `a delay, or a time, needs nats-server 2.12 or later; this server is ${version}`;
}

/**
 * Pauses a cron, and has it fire again. A paused cron is a message with the same data under the same subject that is no
 * schedule, so that it does not fire; a header has what makes it one again. It is paused until it is resumed or taken
 * back: a program that schedules it anew, as after a deploy, replaces the paused cron by a paused one.
 */
import type { StoredMessage } from "../../ports/event_log.ts";
import { overwrite, type OverwriteOptions } from "./schedule_write.ts";
import { cronOf, header, isHeld, type PausedCron, pausedCronOf, pausedHeaders } from "./stored_schedule.ts";

/**
 * Pauses the cron under this subject. Resolves with true if it is paused now, with false if no cron is stored there.
 * Rejects with a `CatgaError` if that is not known in time.
 */
export async function pauseSchedule(
  subject: string,
  { since, reason }: Pick<PausedCron, "since" | "reason">,
  options: OverwriteOptions,
): Promise<boolean> {
  const { mark: by } = options;
  let replaced: readonly [data: Uint8Array, headers: Readonly<Record<string, string>>] | undefined;
  let isPaused = false;
  const done = await overwrite(subject, {
    write: () => {
      const [data, headers] = replaced!; // `yieldsTo` is called with what is replaced before
      return { data, options: { headers } };
    },
    isOwn: (found) => pausedCronOf(found)?.by === by,
    yieldsTo: (found) => {
      isPaused = pausedCronOf(found) !== undefined;
      const schedule = scheduleIn(found);
      if (schedule === undefined) return true;
      replaced = [found.data, pausedHeaders({ schedule, since, ...(reason !== undefined && { reason }), by })];
      return false;
    },
    alone: false,
    patient: false,
    done: "paused",
  }, options);
  return done || isPaused;
}

/**
 * Has the paused cron under this subject fire again, from its next time on. Resolves with true if it fires, with false
 * if no cron is stored there. Rejects with a `CatgaError` if that is not known in time.
 */
export async function resumeSchedule(subject: string, options: OverwriteOptions): Promise<boolean> {
  let replaced: { readonly data: Uint8Array; readonly schedule: PausedCron["schedule"] } | undefined;
  let fires = false;
  const done = await overwrite(subject, {
    write: () => ({ data: replaced!.data, options: { schedule: replaced!.schedule } }), // set by `yieldsTo` before
    isOwn: (found) =>
      replaced !== undefined && scheduleIn(found)?.at === replaced.schedule.at && isSame(found.data, replaced.data),
    yieldsTo: (found) => {
      fires = scheduleIn(found) !== undefined;
      const paused = pausedCronOf(found);
      if (paused === undefined) return true;
      replaced = { data: found.data, schedule: paused.schedule };
      return false;
    },
    alone: false,
    patient: false,
    resumes: true,
    done: "resumed",
  }, options);
  return done || fires;
}

/** Returns the schedule of a cron that fires; `undefined`: the message is none. */
function scheduleIn(message: StoredMessage): PausedCron["schedule"] | undefined {
  const at = isHeld(message) || pausedCronOf(message) !== undefined ? undefined : cronOf(message);
  const target = header(message, "Nats-Schedule-Target");
  const zone = header(message, "Nats-Schedule-Time-Zone");
  const [, seconds] = /^(\d+)s$/.exec(header(message, "Nats-Schedule-TTL") ?? "") ?? [];
  if (at === undefined || target === undefined) return undefined;
  return {
    at,
    target,
    ...(zone !== undefined && { zone }),
    ...(seconds !== undefined && { ttl: Number(seconds) * 1_000 }),
  };
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

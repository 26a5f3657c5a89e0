/**
 * Takes back a schedule: puts a mark in its place, so that it is either taken back or has gone, never both. A purge
 * would not do: around the due moment some that were purged fired as well.
 */
import type { StoredMessage } from "../../ports/event_log.ts";
import { overwrite, type OverwriteOptions } from "./schedule_write.ts";

/**
 * Takes back what was scheduled under this subject: `true`, and it does not fire; `false`: it has fired, or there is
 * none. Rejects with a `CatgaError` when neither is known in time. By `mark`, which nobody else writes, the own mark is
 * recognized when its acknowledgement was lost.
 */
export function unschedule(subject: string, options: OverwriteOptions): Promise<boolean> {
  const { mark } = options;
  return overwrite(subject, {
    write: () => ({ data: MARK + mark, options: { ttl: MARK_TTL } }),
    isOwn: (found) => markOf(found) === mark,
    yieldsTo: (found) => markOf(found) !== undefined, // another caller took it back
    alone: false,
    patient: true,
    done: "taken back",
  }, options);
}

/** The mark of a message that stands where a schedule was taken back; `undefined` for a schedule, and anything else. */
export function markOf({ data }: Pick<StoredMessage, "data">): string | undefined {
  if (data.length > MAX_MARK) return undefined;
  const text = new TextDecoder().decode(data);
  return text.startsWith(MARK) ? text.slice(MARK.length) : undefined;
}

/** How the data of a mark begins: that of a schedule is a JSON array. */
const MARK = "unscheduled ";
const MAX_MARK = 512;
/** How long a mark stays, in ms: longer than its writer may ask for it. */
const MARK_TTL = 120_000;

/**
 * Takes back a schedule by storing a mark (a message that never fires) in its place, so that the schedule is either
 * taken back or has fired, never both. (A purge is not enough: some schedules purged around their due time fired as
 * well.)
 */
import type { StoredMessage } from "../../ports/event_log.ts";
import { overwrite, type OverwriteOptions } from "./schedule_write.ts";

/**
 * Takes back the schedule under this subject. Resolves with true if it will not fire; with false if it has fired or
 * never existed. Rejects with a `CatgaError` if that is not known in time. `options.mark`, which no other writer
 * uses, identifies the caller's own mark if the write's acknowledgement was lost.
 */
export function unschedule(subject: string, options: OverwriteOptions): Promise<boolean> {
  const { mark } = options;
  return overwrite(subject, {
    write: () => ({ data: MARK + mark, options: { ttl: MARK_TTL } }),
    isOwn: (found) => markOf(found) === mark,
    yieldsTo: (found) => markOf(found) !== undefined, // another caller has taken the schedule back
    alone: false,
    patient: true,
    done: "taken back",
  }, options);
}

/** Parses the mark of a message that took a schedule back; `undefined` for any other message. */
export function markOf({ data }: Pick<StoredMessage, "data">): string | undefined {
  if (data.length > MAX_MARK) return undefined;
  const text = new TextDecoder().decode(data);
  return text.startsWith(MARK) ? text.slice(MARK.length) : undefined;
}

/** Prefix of the data of a mark, which no schedule has: its data is a JSON array. */
const MARK = "unscheduled ";
const MAX_MARK = 512;
/** Time for which the stream keeps a mark, in ms: longer than the writer of the mark may look for it. */
const MARK_TTL = 120_000;

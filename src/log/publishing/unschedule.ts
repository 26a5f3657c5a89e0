/**
 * Takes back a schedule: overwrites it by compare-and-set, so that it is either taken back or has gone, never both. A purge would not
 * tell: around the due moment some that were purged fired as well. Around that moment a server (2.15) also fires some that it has in
 * hand while it accepts the overwrite; what fires removes what stands under the subject, so the overwrite is then repeated.
 */
import { CatgaError, isCatgaError } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { scheduleIn } from "../format/group.ts";

/** What {@link unschedule} needs. */
export interface UnscheduleOptions {
  readonly clock: Clock;
  /** The stream, opened; `again`: an attempt failed. */
  stream(again: boolean): LogStream | Promise<LogStream>;
  /** What nobody else writes: by it the own mark is recognized when its acknowledgement was lost. */
  readonly mark: string;
  /** How long to try, in ms. */
  readonly timeout: number;
}

/**
 * Takes back what was scheduled under this subject: `true`, and it does not fire; `false`: it has fired, or there is none. Rejects
 * with a `CatgaError` when neither is known in time.
 */
export async function unschedule(
  subject: string,
  { clock, stream, mark, timeout }: UnscheduleOptions,
): Promise<boolean> {
  const until = clock.monotonic() + timeout;
  /** The schedule that a mark, whose outcome is unknown, was to take the place of. */
  let tried: number | undefined;
  let last: CatgaError | undefined;
  /** When the schedule that is taken back is due, by the server's clock. */
  let due: number | undefined;
  /** The own mark has stood past that time. */
  let settled = false;
  for (let attempt = 0;; attempt++) {
    try {
      const opened = await stream(last !== undefined);
      const found = await opened.last(subject, { latest: true });
      if (found === undefined) return false; // it has gone, or fired around the mark, and took it along
      const foreign = markOf(found);
      if (foreign === undefined) {
        due = dueOf(found);
        settled = false;
      } else if (foreign !== mark) return false; // another caller took it back
      const written = await opened.append(subject, markText(mark), {
        timeout: Math.max(1, Math.min(ATTEMPT, until - clock.monotonic())),
        expect: found.sequence,
        rollup: true,
        ttl: MARK_TTL,
      });
      if (written.type === "stored") {
        const near = due !== undefined && due - opened.serverTime < NEAR;
        if (!near || settled) return true;
        // the server may have it in hand: what fires now removes the mark, so that it cannot be overwritten once more
        await delay(clock, Math.max(0, due! - opened.serverTime) + IN_HAND);
        settled = true;
        continue;
      }
      if (written.type === "unknown") tried = found.sequence;
      if (written.type === "not stored" && !written.passing) throw new Refused(written.error);
      // after a conflict it has been replaced, or has fired, or an earlier mark was stored late: what is there now says which
      last = written.type === "conflict" ? undefined : written.error;
      if (written.type === "conflict" && clock.monotonic() < until) continue;
    } catch (error) {
      if (error instanceof Refused) throw error.error;
      if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
      last = error;
    }
    const pause = Math.min(500, 20 * 2 ** attempt);
    if (clock.monotonic() + pause >= until) throw unknown(subject, tried !== undefined, last);
    await delay(clock, pause);
  }
}

/** The mark of a message that stands where a schedule was taken back; `undefined` for a schedule, and anything else. */
export function markOf({ data }: Pick<StoredMessage, "data">): string | undefined {
  if (data.length > MAX_MARK) return undefined;
  const text = new TextDecoder().decode(data);
  return text.startsWith(MARK) ? text.slice(MARK.length) : undefined;
}

function markText(mark: string): string {
  return MARK + mark;
}

/** When a stored schedule is due; `undefined` for one that fires again and again, and for what is no schedule. */
function dueOf({ data }: Pick<StoredMessage, "data">): number | undefined {
  const due = scheduleIn(data)?.due;
  return due === 0 ? undefined : due;
}

/** A refusal that does not pass. */
class Refused extends Error {
  readonly error: CatgaError;

  constructor(error: CatgaError) {
    super(error.message);
    this.error = error;
  }
}

function unknown(subject: string, tried: boolean, cause: CatgaError | undefined): CatgaError {
  const why = cause === undefined ? "" : `: ${cause.message}`;
  return tried
    ? new CatgaError("OUTCOME_UNKNOWN", `schedule ${subject} may have been taken back: no answer in time${why}`, {
      cause,
    })
    : new CatgaError("UNAVAILABLE", `schedule ${subject} was not taken back${why}`, { retryable: true, cause });
}

/** How the data of a mark begins: that of a schedule is a JSON array. */
const MARK = "unscheduled ";
const MAX_MARK = 512;
/** How long a mark stays, in ms: longer than its writer may ask for it. */
const MARK_TTL = 120_000;
/** Closer to its time than this a schedule may be in the server's hand, in ms: as far as the server's clock is known here. */
const NEAR = 1_000;
/** How long after its time the server has it on its way, in ms. */
const IN_HAND = 250;
/** How long an attempt waits for its answer, in ms. */
const ATTEMPT = 2_000;

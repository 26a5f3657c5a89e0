/**
 * Measures how late the messages of one sender arrive. A paused process gets messages seconds late, with their time
 * to live unchanged (docs/internals/measurements.md). The smallest `receivedAt - sentAt` seen is the difference of
 * the two clocks plus the shortest travel time; a message is late by as much as its own difference exceeds the
 * smallest. The lateness is subtracted from the time that its requests have, and requests that have no time left are
 * refused.
 */

/** Refuses a request that has arrived after its deadline (`ttl` of 0 or less). Returns true if it was refused. */
export function refuseLate(
  sender: { refuse(seq: number, index: number, code: "LATE"): void },
  seq: number,
  index: number,
  ttl: number,
): boolean {
  if (ttl > 0) return false;
  sender.refuse(seq, index, "LATE");
  return true;
}

/** The smallest `receivedAt - sentAt` among the messages of a window of 30 s. */
interface LatenessWindow {
  /** Time at which the window's first message arrived. */
  readonly begun: number;
  /** The smallest `receivedAt - sentAt` of the window, in ms. */
  least: number;
  /** Time at which the message with the smallest difference arrived. */
  at: number;
}

/**
 * The lateness of one sender's messages. It is measured against the smallest `receivedAt - sentAt` in the current and
 * the previous window (of 30 s each): a sender whose clock stood still (its machine was suspended) or was wrong is
 * measured correctly again after one to two windows. A window ends only when a message arrives, so that the first
 * messages after a long pause are measured against the messages before the pause.
 */
export class Lateness {
  #last: LatenessWindow | undefined;
  #now: LatenessWindow | undefined;

  /**
   * Records a message and returns its lateness, in ms; 0 for the first message. `sentAt` and `receivedAt` must be of
   * clocks that do not jump.
   */
  note(sentAt: number, receivedAt: number): number {
    const difference = receivedAt - sentAt;
    const now = this.#now;
    if (now === undefined || receivedAt - now.begun >= WINDOW_LENGTH) {
      this.#last = now;
      this.#now = { begun: receivedAt, least: difference, at: receivedAt };
    } else if (difference <= now.least + (receivedAt - now.at) * DRIFT) {
      now.least = difference;
      now.at = receivedAt;
    }
    return Math.max(
      0,
      this.#beyond(this.#last, difference, receivedAt),
      this.#beyond(this.#now, difference, receivedAt),
    );
  }

  #beyond(window: LatenessWindow | undefined, difference: number, receivedAt: number): number {
    return window === undefined ? 0 : difference - window.least - (receivedAt - window.at) * DRIFT;
  }
}

const WINDOW_LENGTH = 30_000; // ms
/** Maximum drift of two clocks, in ms for each ms: twice the rate at which NTP lets a clock slew (500 ppm). */
const DRIFT = 0.001;

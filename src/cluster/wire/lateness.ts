/**
 * How late the messages of one sender are. A paused process gets messages seconds late, with their time to live
 * unchanged (docs/internals/measurements.md). The smallest difference of the two clocks that was seen is the clocks'
 * own difference plus the shortest way; a message is late by the rest. Its lateness is taken off the time of its
 * requests, and requests that have none left are refused.
 */

/** Refuses a request that has come after its deadline, `ttl` ms before it, and returns whether it did. */
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

/** The smallest difference among the messages of 30 s. */
interface LatenessWindow {
  /** When its first message arrived. */
  readonly begun: number;
  least: number;
  /** When that one arrived. */
  at: number;
}

/**
 * The lateness of one sender's messages. The smallest difference counts for one to two windows of messages: a sender
 * whose clock stood still (its machine was suspended) or lied is believed again after that. Windows change when a
 * message arrives and not with time, so that the first messages after a long pause are still measured by those before
 * it.
 */
export class Lateness {
  #last: LatenessWindow | undefined;
  #now: LatenessWindow | undefined;

  /** Notes a message and returns how late it is, in ms; 0 for the first one. Both times by clocks that do not jump. */
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
/** Two clocks may drift apart by 1 ms a second: twice what NTP lets a clock slew (500 ppm). */
const DRIFT = 0.001;

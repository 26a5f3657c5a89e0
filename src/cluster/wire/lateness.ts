/**
 * Measures how late the messages of one sender are. A paused process gets messages seconds late, with their time to
 * live unchanged (docs/internals/measurements.md). The smallest seen `receivedAt - sentAt` is the difference of the two
 * clocks plus the shortest way; a message is late by the rest of its own difference. Its lateness is subtracted from
 * the time of its requests, and requests that have no time left are refused.
 */

/** Refuses a request that came after its deadline (`ttl` of 0 or less), and returns true if it did. */
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

/** The smallest `receivedAt - sentAt` among the messages of 30 s. */
interface LatenessWindow {
  /** Arrival of the window's first message. */
  readonly begun: number;
  /** The smallest `receivedAt - sentAt`, in ms. */
  least: number;
  /** Arrival of the message with the smallest difference. */
  at: number;
}

/**
 * The lateness of one sender's messages. The base is the smallest `receivedAt - sentAt` of the current and the last
 * window: a sender whose clock stood still (its machine was suspended) or was wrong is believed again after one to two
 * windows. Windows change when a message arrives and not with time, so that the first messages after a long pause are
 * still measured by the messages before it.
 */
export class Lateness {
  #last: LatenessWindow | undefined;
  #now: LatenessWindow | undefined;

  /**
   * Notes a message and returns its lateness, in ms; 0 for the first message. Both times are of clocks that do not
   * jump.
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

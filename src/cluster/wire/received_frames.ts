/**
 * Records which numbered frames of one sender have arrived, which are missing, and how late they arrive. The sender can
 * rely on a report: a frame that was once reported missing is refused for ever, even if it arrives after a reconnect.
 */

/** The received frames of one sender, of which at most {@link MAX_GAPS} gaps are kept. */
export class ReceivedFrames {
  /** The highest frame number received. */
  #upTo = 0;
  /** Gaps whose frames may still arrive: `[from, to]`, both included, ascending. */
  #missing: [from: number, to: number][] = [];
  /** Gaps that were reported to the sender as missing: their frames are refused. */
  #refused: [from: number, to: number][] = [];
  /** Number of the last ping that listed gaps, and the highest frame number received when it was sent. */
  #asked: { readonly ping: number; readonly upTo: number } = { ping: 0, upTo: 0 };
  /**
   * Frame number up to which the sender knows all gaps (numbers of missing frames): it has sent the answers that were
   * in them again, as far as it still had them.
   */
  #settled = 0;
  /**
   * True if frames of the sender may have arrived before, and it was forgotten: the numbers before its next frame are
   * unknown.
   */
  #unknown: boolean;

  constructor(options: { forgotten?: boolean } = {}) {
    this.#unknown = options.forgotten ?? false;
  }

  /** The highest frame number received. */
  get upTo(): number {
    return this.#upTo;
  }

  /**
   * Records that a frame has arrived. Returns false if its requests must not run, because the frame has come before,
   * or was reported missing.
   * @decides a frame is taken once, though it comes twice
   */
  take(seq: number): boolean {
    if (this.#unknown) {
      this.#unknown = false;
      this.#upTo = seq - 1;
    }
    if (seq > this.#upTo) {
      if (seq > this.#upTo + 1) this.#missing.push([this.#upTo + 1, seq - 1]);
      this.#upTo = seq;
      this.#bound();
      return true;
    }
    const index = this.#missing.findIndex(([from, to]) => seq >= from && seq <= to);
    if (index < 0) return false;
    const [from, to] = this.#missing[index];
    const rest: [number, number][] = [];
    if (from < seq) rest.push([from, seq - 1]);
    if (seq < to) rest.push([seq + 1, to]);
    this.#missing.splice(index, 1, ...rest);
    this.#bound();
    return true;
  }

  /** Reports the gaps, as `[from, to, from, to, …]`. From now on their frames are refused. */
  report(): number[] {
    this.#refused.push(...this.#missing);
    this.#missing = [];
    this.#refused.splice(0, this.#refused.length - MAX_GAPS); // a negative number removes none
    return this.#refused.flat();
  }

  /**
   * Returns the gaps (numbers of missing frames) that the sender does not know yet, as `[from, to, from, to, …]`, to be
   * listed in the ping of this number. Their frames may still arrive.
   */
  ask(ping: number): number[] {
    const gaps = this.#unsettled;
    if (gaps.length > 0) this.#asked = { ping, upTo: this.#upTo };
    return gaps.flat();
  }

  /**
   * Records that the sender has answered ping number `ping`, and so knows the gaps that the ping listed. Returns true
   * if there is no other gap now.
   */
  settle(ping: number): boolean {
    if (ping >= this.#asked.ping) this.#settled = this.#asked.upTo;
    return this.#unsettled.length === 0;
  }

  get #unsettled(): [from: number, to: number][] {
    return [...this.#refused, ...this.#missing].filter(([, to]) => to > this.#settled);
  }

  /**
   * Forgets the oldest gap, whose frames are refused then, if there are more than {@link MAX_GAPS}; each frame adds one
   * gap at most.
   */
  #bound(): void {
    if (this.#missing.length > MAX_GAPS) this.#missing.shift();
  }
}

/** Returns true if a frame's number is in one of these ranges, `[from, to, from, to, …]`. */
export function isWithin(seq: number, ranges: readonly number[]): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (seq >= ranges[i] && seq <= ranges[i + 1]) return true;
  return false;
}

/** Maximum number of gaps in the received frames that are kept for one sender. */
export const MAX_GAPS = 64;

/**
 * Refuses a request that has arrived after its deadline (`ttl` of 0 or less). Returns true if it was refused.
 * @decides a message comes too late to be run
 */
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
 * The lateness of one sender's messages. A paused process gets messages seconds late, with their time to live unchanged
 * (docs/internals/measurements.md), so the lateness is subtracted from the time that its requests have. The smallest
 * `receivedAt - sentAt` seen is the difference of the two clocks plus the shortest travel time; a message is late by as
 * much as its own difference exceeds the smallest. It is measured against the smallest difference in the current and
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

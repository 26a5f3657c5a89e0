/**
 * Numbers of the frames of one sender that have arrived. The sender can rely on a report: a frame that was once
 * reported missing is refused for ever, even when it arrives late, after a reconnect.
 */

/** The received frames of one sender: at most {@link MAX_GAPS} gaps are kept. */
export class ReceivedFrames {
  /** The highest number so far. */
  #upTo = 0;
  /** Gaps that may still arrive: `[from, to]`, ascending. */
  #missing: [from: number, to: number][] = [];
  /** Gaps that were reported: they are refused. */
  #refused: [from: number, to: number][] = [];
  /** Frames up to here are refused: their gaps are forgotten. */
  #forgotten = 0;
  /** The last ping that listed gaps, and the highest number when it was sent. */
  #asked: { readonly ping: number; readonly upTo: number } = { ping: 0, upTo: 0 };
  /** For gaps up to here the sender has sent its answers again, if it had them. */
  #settled = 0;
  /** The sender was known before, and forgotten: which frames came before the next one is not known. */
  #unknown: boolean;

  constructor(options: { forgotten?: boolean } = {}) {
    this.#unknown = options.forgotten ?? false;
  }

  /** The highest number so far. */
  get upTo(): number {
    return this.#upTo;
  }

  /** Notes a frame. `false`: its requests must not run, because it came before, or was reported missing. */
  take(seq: number): boolean {
    if (this.#unknown) {
      this.#unknown = false;
      this.#upTo = this.#forgotten = seq - 1;
    }
    if (seq > this.#upTo) {
      if (seq > this.#upTo + 1) this.#missing.push([this.#upTo + 1, seq - 1]);
      this.#upTo = seq;
      this.#bound();
      return true;
    }
    if (seq <= this.#forgotten) return false;
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

  /** The gaps, flat: `[from, to, from, to, …]`. From now on they are refused. */
  report(): number[] {
    this.#refused.push(...this.#missing);
    this.#missing = [];
    if (this.#refused.length > MAX_GAPS) {
      for (const [, to] of this.#refused.splice(0, this.#refused.length - MAX_GAPS)) {
        this.#forgotten = Math.max(this.#forgotten, to);
      }
    }
    return this.#refused.flat();
  }

  /** The gaps that the sender has not answered for yet, flat, for the ping of this number. They may still arrive. */
  ask(ping: number): number[] {
    const gaps = this.#unsettled;
    if (gaps.length > 0) this.#asked = { ping, upTo: this.#upTo };
    return gaps.flat();
  }

  /**
   * The sender has answered for the gaps in the ping of this number. Returns whether it has for all that there are by
   * now.
   */
  settle(ping: number): boolean {
    if (ping >= this.#asked.ping) this.#settled = this.#asked.upTo;
    return this.#unsettled.length === 0;
  }

  get #unsettled(): [from: number, to: number][] {
    return [...this.#refused, ...this.#missing].filter(([, to]) => to > this.#settled);
  }

  /** Forgets the oldest gap when there are too many: a frame adds one at most. */
  #bound(): void {
    if (this.#missing.length > MAX_GAPS) this.#forgotten = this.#missing.shift()![1];
  }
}

/** Returns `true` for a number in one of these ranges, `[from, to, from, to, …]`. */
export function isWithin(seq: number, ranges: readonly number[]): boolean {
  for (let i = 0; i < ranges.length; i += 2) if (seq >= ranges[i] && seq <= ranges[i + 1]) return true;
  return false;
}

/** Gaps kept for one sender. */
export const MAX_GAPS = 64;

/**
 * Which frames of one sender have arrived here, told so that the sender can trust it: a frame that was once reported
 * missing is refused for ever, because an old one can overtake after a reconnect.
 */

/** What has been heard of one sender. The state is bounded: at most {@link MAX_GAPS} gaps. */
export class ReceivedFrames {
  /** The highest number so far. */
  #upTo = 0;
  /** Gaps that may still arrive: `[from, to]`, ascending. */
  #missing: [from: number, to: number][] = [];
  /** Gaps that were reported: they are refused. */
  #refused: [from: number, to: number][] = [];
  /** Everything up to here is old news, arrived or not: too many gaps were forgotten to say. */
  #forgotten = 0;
  /** What came before the first frame cannot be told: this sender was known here before, and forgotten. */
  #blank: boolean;

  constructor(options: { forgotten?: boolean } = {}) {
    this.#blank = options.forgotten ?? false;
  }

  /** The highest number so far. */
  get upTo(): number {
    return this.#upTo;
  }

  /** Notes a frame. `false` when its requests must not run: it came before, or was reported missing. */
  take(seq: number): boolean {
    if (this.#blank) {
      this.#blank = false;
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

  /** One more gap at most: a frame that arrives may split one, too. */
  #bound(): void {
    if (this.#missing.length > MAX_GAPS) this.#forgotten = this.#missing.shift()![1];
  }
}

/** Gaps kept for one sender. */
export const MAX_GAPS = 64;

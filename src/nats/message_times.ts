/** Parses the times of messages as JetStream writes them. */

/**
 * Parses the times of messages fast: most messages were stored in the same second as the one before. `Date.parse`
 * would take most of the time of reading a message, because the server writes nanoseconds:
 * `2026-11-22T05:08:29.050123456Z`.
 */
export class MessageTimes {
  /** Text of the last parsed time up to its second, such as `2026-11-22T05:08:29.`. */
  #second = "?";
  /** Time of that second, in ms since 1970. */
  #time = NaN;

  /** Parses a time like `Date.parse`, in whole ms since 1970. */
  read(text: string): number {
    if (text.startsWith(this.#second)) {
      const zone = text.length - 1;
      let ms = 0;
      // the server leaves out zeros at the end of the fraction
      for (let at = 20; at < 23; at++) ms = ms * 10 + (at < zone ? text.charCodeAt(at) - 48 : 0);
      if (zone > 20 && text.charCodeAt(zone) === Z && /^\d+$/.test(text.slice(20, zone))) return this.#time + ms;
    }
    const time = Date.parse(text);
    if (text.charCodeAt(19) === DOT) {
      this.#second = text.slice(0, 20);
      this.#time = Math.floor(time / 1_000) * 1_000;
    }
    return time;
  }
}

const Z = 90;
const DOT = 46;

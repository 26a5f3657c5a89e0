/**
 * How late messages of one sender are. Messages reach a paused process seconds late, with their time to live unchanged
 * (measured, FACTS 14). The smallest difference between two clocks that was seen is the clocks' own difference plus the
 * shortest way; what a message exceeds it by is how late it is.
 */

/** The lateness of one sender's messages. */
export class Lateness {
  #least = Infinity;
  #at = 0;

  /**
   * Notes a message, and gives how late it is, in ms; 0 for the first one. Both times by clocks that do not jump.
   * The allowance for two clocks that drift apart, 1 ms a second, is twice what NTP lets a clock slew (500 ppm).
   */
  note(sentAt: number, receivedAt: number): number {
    const difference = receivedAt - sentAt;
    const late = difference - this.#least - (receivedAt - this.#at) * DRIFT;
    if (late > 0) return late;
    this.#least = difference;
    this.#at = receivedAt;
    return 0;
  }
}

const DRIFT = 0.001;

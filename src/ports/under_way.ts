/** Counts operations in progress, so that a caller can wait until there is none. */
import { type Clock, within } from "./clock.ts";

/** A count of operations in progress, for which a drain waits. */
export class UnderWay {
  #count = 0;
  #ended: (() => void) | undefined;

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#count++;
  }

  end(): void {
    if (--this.#count === 0) this.#ended?.();
  }

  /** Resolves when no operation is in progress, or at the time `until`, by the monotonic clock. */
  async none(clock: Clock, until: number): Promise<void> {
    // the count is checked in a loop, because a caller may begin its next operation as soon as its last one has ended
    while (this.#count > 0 && clock.monotonic() < until) {
      await within(clock, until - clock.monotonic(), new Promise<void>((resolve) => this.#ended = resolve));
    }
    this.#ended = undefined;
  }
}

/** Counts running operations, to wait until there is none. */
import { type Clock, within } from "./clock.ts";

/** A count of running operations, for which a drain waits. */
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

  /** Resolves when no operation runs any more, or at `until`, by the monotonic clock. */
  async none(clock: Clock, until: number): Promise<void> {
    // in a loop: a caller may begin the next operation as soon as its last one has ended
    while (this.#count > 0 && clock.monotonic() < until) {
      await within(clock, until - clock.monotonic(), new Promise<void>((resolve) => this.#ended = resolve));
    }
    this.#ended = undefined;
  }
}

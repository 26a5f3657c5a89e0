/** A count of operations under way, for whoever waits until none is. */
import { type Clock, within } from "./clock.ts";

/** A count of what is under way, which a drain waits for. */
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

  /** Resolves when nothing is under way any more, or at `until`, by the monotonic clock. */
  async none(clock: Clock, until: number): Promise<void> {
    // again when a caller begins the next as soon as its last one has ended
    while (this.#count > 0 && clock.monotonic() < until) {
      await within(clock, until - clock.monotonic(), new Promise<void>((resolve) => this.#ended = resolve));
    }
    this.#ended = undefined;
  }
}

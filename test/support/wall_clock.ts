/** How often the clocks are compared, in ms. */
const EVERY = 20;

/**
 * How far the wall clock has moved against the monotonic clock while it was watched. A machine that corrects its clock,
 * at once or slowly, lets a message seem to come too early: a schedule is counted from a server's clock that was read
 * some time ago.
 */
export class WallClockWatch {
  #least = Infinity;
  #most = -Infinity;
  readonly #timer = setInterval(() => this.#compare(), EVERY);

  constructor() {
    this.#compare();
  }

  /** The distance between its extremes, in ms. */
  get moved(): number {
    this.#compare();
    return this.#most - this.#least;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #compare(): void {
    const offset = Date.now() - performance.now();
    this.#least = Math.min(this.#least, offset);
    this.#most = Math.max(this.#most, offset);
  }
}

/**
 * The grace: the time after this node's own reconnect in which bounces (no responders) and silence of other nodes prove
 * nothing. An outage of the server cuts off every node, and the others may still be reconnecting.
 */
import type { Clock } from "../../ports/clock.ts";

/**
 * Knows for one node if it reconnected so recently that bounces (no responders) of the frames that it sends prove
 * nothing.
 */
export class ReconnectGrace {
  readonly #clock: Pick<Clock, "monotonic">;
  #begunAt = -Infinity;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Begins the grace (in which bounces prove nothing) anew. Called when the connection is back. */
  begin(): void {
    this.#begunAt = this.#clock.monotonic();
  }

  /** True while other nodes may still be reconnecting. */
  get running(): boolean {
    return this.#clock.monotonic() - this.#begunAt < RECONNECT_GRACE;
  }
}

/**
 * Duration of the grace, in ms: all live processes reconnect to a single server within it. They took up to 1.7 s
 * (docs/internals/measurements.md).
 */
export const RECONNECT_GRACE = 2_500;

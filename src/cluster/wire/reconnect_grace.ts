/**
 * The time after this node's own reconnect in which bounces and silence prove nothing: an outage of the server cuts off
 * every node, and the others may still be on their way back.
 */
import type { Clock } from "../../ports/clock.ts";

/** The grace of one node, for all parts that draw conclusions from bounces. */
export class ReconnectGrace {
  readonly #clock: Pick<Clock, "monotonic">;
  #begunAt = -Infinity;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Called when the connection is back: the grace begins anew. */
  begin(): void {
    this.#begunAt = this.#clock.monotonic();
  }

  /** True if other nodes may still be on their way back. */
  get running(): boolean {
    return this.#clock.monotonic() - this.#begunAt < RECONNECT_GRACE;
  }
}

/**
 * Time in ms in which all live processes come back to one server. It took up to 1.7 s (docs/internals/measurements.md).
 */
export const RECONNECT_GRACE = 2_500;

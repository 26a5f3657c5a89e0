/**
 * A circuit breaker (Nygard, Release It!) for one process: after some failures in a row no request is sent to the
 * process for a while (open); after the cooldown the breaker is half-open: one request, the trial, is sent to the
 * process, and its result closes or opens the breaker again.
 */
import type { Clock } from "../../ports/clock.ts";

/** Conditions under which a breaker opens, and how long it stays open. */
export interface BreakerOptions {
  /** Number of failed deliveries in a row that open the breaker, 1 or more. Default: 5. */
  readonly failures: number;
  /** Time for which the breaker stays open before a trial request is sent, in ms. Default: 5,000. */
  readonly cooldown: number;
}

/**
 * State of a circuit breaker. `closed`: requests are sent; `open`: none is; `half-open`: one trial request is sent,
 * and its result closes or opens the breaker.
 */
export type BreakerState = "closed" | "open" | "half-open";

/** The circuit breaker of one process: after too many failures in a row, no request is sent to it for a while. */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #onChange: (state: BreakerState) => void;
  #state: BreakerState = "closed";
  /** Number of failed deliveries in a row, while the breaker is closed. */
  #failures = 0;
  /** Time at which the breaker opened, by the monotonic clock. */
  #openedAt = 0;
  /** Time at which the trial request was sent, by the monotonic clock; -1: none was. */
  #trialAt = -1;

  constructor(options: BreakerOptions, clock: Clock, onChange: (state: BreakerState) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** The breaker's present state. An open breaker becomes half-open when its cooldown has ended. */
  get state(): BreakerState {
    if (this.#state === "open" && this.#clock.monotonic() - this.#openedAt >= this.#options.cooldown) {
      this.#move("half-open");
    }
    return this.#state;
  }

  /** True if a request may be sent to the process now. */
  get allows(): boolean {
    if (this.#state === "closed") return true;
    if (this.state !== "half-open") return false;
    // a trial whose end is never reported must not block the process for ever: after a cooldown another trial may be
    // sent
    return this.#trialAt < 0 || this.#clock.monotonic() - this.#trialAt >= this.#options.cooldown;
  }

  /** Makes a request the trial if the breaker is half-open. Called when the request is sent. */
  sent(): void {
    if (this.#state === "half-open") this.#trialAt = this.#clock.monotonic();
  }

  /** Closes the breaker. Called when the process has answered, even with an error. */
  succeeded(): void {
    this.#failures = 0;
    if (this.#state !== "closed") this.#move("closed");
  }

  /** Counts a failed delivery. After enough failures in a row, or in the half-open state, the breaker opens. */
  failed(): void {
    this.#failures++;
    if (this.state === "half-open" || (this.#state === "closed" && this.#failures >= this.#options.failures)) {
      this.#move("open");
    }
  }

  /** Changes the state; every transition goes through this function. */
  #move(state: BreakerState): void {
    this.#state = state;
    this.#trialAt = -1;
    this.#failures = 0;
    if (state === "open") this.#openedAt = this.#clock.monotonic();
    this.#onChange(state);
  }
}

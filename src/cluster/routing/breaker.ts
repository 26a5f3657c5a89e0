/**
 * A circuit breaker (Nygard, Release It!) for one process: after some failures in a row no request is sent to the
 * process for a while (open); after the cooldown the breaker is half-open: one request is sent, the trial, and its
 * result closes or opens the breaker again.
 */
import type { Clock } from "../../ports/clock.ts";

/** Conditions under which a breaker opens, and how long it stays open. */
export interface BreakerOptions {
  /** Number of failed deliveries in a row that open the breaker, 1 or more. Default: 5. */
  readonly failures: number;
  /** Time that the breaker stays open before a trial, in ms. Default: 5,000. */
  readonly cooldown: number;
}

/** `half-open`: one trial is sent, and its result closes or opens the breaker. */
export type BreakerState = "closed" | "open" | "half-open";

/** The breaker of one process. */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #onChange: (state: BreakerState) => void;
  #state: BreakerState = "closed";
  /** Number of failures in a row, while the breaker is closed. */
  #failures = 0;
  /** Time at which the breaker opened, by the monotonic clock. */
  #openedAt = 0;
  /** Time at which the trial was sent, by the monotonic clock; -1: none. */
  #trialAt = -1;

  constructor(options: BreakerOptions, clock: Clock, onChange: (state: BreakerState) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** The breaker's present state; the end of the cooldown makes it half-open. */
  get state(): BreakerState {
    if (this.#state === "open" && this.#clock.monotonic() - this.#openedAt >= this.#options.cooldown) {
      this.#move("half-open");
    }
    return this.#state;
  }

  /** True if a request may be sent now. */
  get allows(): boolean {
    if (this.#state === "closed") return true;
    if (this.state !== "half-open") return false;
    // a trial whose end is not reported must not block the process for ever
    return this.#trialAt < 0 || this.#clock.monotonic() - this.#trialAt >= this.#options.cooldown;
  }

  /** Called when a request is sent: in the half-open state it is the trial. */
  sent(): void {
    if (this.#state === "half-open") this.#trialAt = this.#clock.monotonic();
  }

  /** Called when the process answered, even with an error: closes the breaker. */
  succeeded(): void {
    this.#failures = 0;
    if (this.#state !== "closed") this.#move("closed");
  }

  /** Counts a failed delivery: after enough of them in a row, or in the half-open state, the breaker opens. */
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

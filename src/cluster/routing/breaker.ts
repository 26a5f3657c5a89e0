/**
 * A circuit breaker (Nygard, Release It!) for one process: after some failures in a row nothing is sent to it for a
 * while (open); after the cooldown it is half-open: one request is sent, the trial, and its result closes or opens it
 * again.
 */
import type { Clock } from "../../ports/clock.ts";

/** When a breaker opens and for how long. */
export interface BreakerOptions {
  /** Failed deliveries in a row that open it, 1 or more; 5. */
  readonly failures: number;
  /** How long it stays open before a trial, in ms; 5,000. */
  readonly cooldown: number;
}

/** `half-open`: one trial is sent, and decides. */
export type BreakerState = "closed" | "open" | "half-open";

/** The breaker of one process. */
export class Breaker {
  readonly #options: BreakerOptions;
  readonly #clock: Clock;
  readonly #onChange: (state: BreakerState) => void;
  #state: BreakerState = "closed";
  /** In a row, while closed. */
  #failures = 0;
  /** When it opened, by the monotonic clock. */
  #openedAt = 0;
  /** When the trial was sent; -1 for none. */
  #trialAt = -1;

  constructor(options: BreakerOptions, clock: Clock, onChange: (state: BreakerState) => void) {
    this.#options = options;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Its state now; the end of the cooldown makes it half-open. */
  get state(): BreakerState {
    if (this.#state === "open" && this.#clock.monotonic() - this.#openedAt >= this.#options.cooldown) {
      this.#move("half-open");
    }
    return this.#state;
  }

  /** True if something may be sent now. */
  get allows(): boolean {
    if (this.#state === "closed") return true;
    if (this.state !== "half-open") return false;
    // a trial whose end is not reported must not block the process for ever
    return this.#trialAt < 0 || this.#clock.monotonic() - this.#trialAt >= this.#options.cooldown;
  }

  /** A request is sent: in the half-open state it is the trial. */
  sent(): void {
    if (this.#state === "half-open") this.#trialAt = this.#clock.monotonic();
  }

  /** The process answered, with whatever result. */
  succeeded(): void {
    this.#failures = 0;
    if (this.#state !== "closed") this.#move("closed");
  }

  /** A delivery failed. */
  failed(): void {
    this.#failures++;
    if (this.state === "half-open" || (this.#state === "closed" && this.#failures >= this.#options.failures)) {
      this.#move("open");
    }
  }

  /** The one place where the state changes. */
  #move(state: BreakerState): void {
    this.#state = state;
    this.#trialAt = -1;
    this.#failures = 0;
    if (state === "open") this.#openedAt = this.#clock.monotonic();
    this.#onChange(state);
  }
}

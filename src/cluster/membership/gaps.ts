/**
 * Gaps: contracts that a member handled in the last 5 minutes and that no member handles now, as while the only replica
 * of a service restarts. A send of such a contract waits for a node until its deadline; a send of another contract
 * without a handler fails after 500 ms.
 */
import type { Clock } from "../../ports/clock.ts";

/** The contracts without a handler that one node remembers, each for 5 minutes; at most the last 4,096. */
export class Gaps {
  readonly #clock: Clock;
  /**
   * Time at which each contract will be forgotten, by the monotonic clock; in the order in which the contracts were
   * added.
   */
  readonly #until: Map<string, number> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Remembers a contract whose last handling member has left, or no longer handles it. */
  open(name: string): void {
    this.learn(name, REMEMBERED);
  }

  /** Remembers a contract that another node will remember for `left` ms more. */
  learn(name: string, left: number): void {
    const until = this.#clock.monotonic() + Math.min(left, REMEMBERED);
    this.#until.delete(name);
    this.#until.set(name, until);
    if (this.#until.size > MAX_GAPS) this.#until.delete(this.#until.keys().next().value!);
  }

  /** Returns how long this contract will still be remembered, in ms; 0 if it is not remembered. */
  left(name: string): number {
    const until = this.#until.get(name);
    if (until === undefined) return 0;
    const left = until - this.#clock.monotonic();
    if (left > 0) return left;
    this.#until.delete(name);
    return 0;
  }
}

/**
 * Time for which a contract that no node handles any more is remembered, in ms: longer than a process takes to restart.
 */
export const REMEMBERED = 300_000;
/** Maximum number of remembered contracts. Limited because anybody who may write records chooses their names. */
export const MAX_GAPS = 4_096;

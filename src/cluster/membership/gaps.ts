/**
 * The contracts that a member handled lately and that none handles now, as while the only replica of a service
 * restarts. A send of one of these waits for a node until its deadline; one of a contract that nobody ever handled
 * fails soon.
 */
import type { Clock } from "../../ports/clock.ts";

/** The gaps that one node remembers: each for 5 minutes, and the last 4,096. */
export class Gaps {
  readonly #clock: Clock;
  /** When each is forgotten, by the monotonic clock; in the order in which they were noted. */
  readonly #until: Map<string, number> = new Map();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The last member that handled this contract has left, or handles it no longer. */
  open(name: string): void {
    this.learn(name, REMEMBERED);
  }

  /** Another node reports a gap that it will remember for `left` ms more. */
  learn(name: string, left: number): void {
    const until = this.#clock.monotonic() + Math.min(left, REMEMBERED);
    this.#until.delete(name);
    this.#until.set(name, until);
    if (this.#until.size > MOST) this.#until.delete(this.#until.keys().next().value!);
  }

  /** How long this contract is still remembered, in ms; 0 if it is not. */
  left(name: string): number {
    const until = this.#until.get(name);
    if (until === undefined) return 0;
    const left = until - this.#clock.monotonic();
    if (left > 0) return left;
    this.#until.delete(name);
    return 0;
  }
}

/** How long a contract that nobody handles any more is waited for, in ms: longer than a process takes to restart. */
export const REMEMBERED = 300_000;
/** Names that are remembered: anybody who may write records chooses names. */
export const MOST = 4_096;

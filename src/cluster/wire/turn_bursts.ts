/**
 * Limits the bursts of stream items (groups of items sent together) that one process sends in one turn of the event
 * loop.
 */
import type { Bursts } from "../../dispatch/item_ports.ts";
import { Fifo } from "../../data/fifo.ts";
import type { Clock } from "../../ports/clock.ts";

/**
 * Limits how many bursts of items the streams of one process send in each turn of the event loop: first come, first
 * served.
 */
export class TurnBursts implements Bursts {
  readonly #clock: Clock;
  readonly #sends: { readonly number: number };
  readonly #waiting: Fifo<() => void> = new Fifo();
  #left = MAX_BURSTS;
  /** Number of the turn of the event loop in which `#left` more bursts may be sent. */
  #turn = 0;
  #resumes = false;

  /** `sends.number`: a number that grows when the frames of a turn have been sent. */
  constructor(clock: Clock, sends: { readonly number: number }) {
    this.#clock = clock;
    this.#sends = sends;
  }

  take(): boolean {
    if (this.#turn !== this.#sends.number) this.#begin();
    if (this.#left === 0 || this.#waiting.size > 0) return false;
    this.#left--;
    return true;
  }

  wait(go: () => void): void {
    this.#waiting.push(go);
    this.#resume();
  }

  #resume(): void {
    if (this.#resumes) return;
    this.#resumes = true;
    this.#clock.soon(() => {
      this.#resumes = false;
      this.#begin();
      while (this.#left > 0 && this.#waiting.size > 0) {
        this.#left--;
        this.#waiting.shift()!();
      }
      if (this.#waiting.size > 0) this.#resume();
    });
  }

  #begin(): void {
    this.#turn = this.#sends.number;
    this.#left = MAX_BURSTS;
  }
}

const MAX_BURSTS = 16; // bursts in a turn of the event loop: with 128 items of 100 bytes each, 200 KB

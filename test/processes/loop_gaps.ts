/**
 * The gaps of an event loop, as its own process sees them: times in which it did nothing, because the process was
 * paused or starved, or because something kept its only thread busy.
 *
 * @module
 */
import process from "node:process";
import { trueNow } from "./skewed_clock.ts";

/** A stretch of time, in ms since 1970. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** A time in which an event loop stood still. */
export interface LoopGap extends Span {
  /** How long the process computed meanwhile, in ms: about 0 when it was paused or starved. */
  readonly busy: number;
}

const BEAT = 10; // ms

/** Shorter gaps are not noted, in ms: a timer of two busy cores is late by as much. */
export const LEAST_GAP = 50;

/** Watches the loop of this process. */
export class LoopGaps implements Disposable {
  readonly #onGap: (gap: LoopGap) => void;
  readonly #timer: ReturnType<typeof setInterval>;
  #last = trueNow();
  #cpu = process.cpuUsage();

  /** `onGap` is called with each gap, once, as soon as anything runs after it that calls {@link beat}. */
  constructor(onGap: (gap: LoopGap) => void) {
    this.#onGap = onGap;
    this.#timer = setInterval(() => {
      this.beat();
      this.#cpu = process.cpuUsage();
    }, BEAT);
    this.#timer.unref();
  }

  /** Looks whether there was a gap just now. To be called before a time is judged, as the timer may run later. */
  beat(): void {
    const from = this.#last;
    // one reading of one clock ends a gap and begins the next: between two, a starved process stands still as well
    const to = this.#last = trueNow();
    if (to - from < LEAST_GAP) return;
    const { user, system } = process.cpuUsage(this.#cpu);
    this.#onGap({ from, to, busy: (user + system) / 1_000 });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** How much of a stretch of time lies in gaps, in ms; what lies in several counts once. */
export function gapWithin(gaps: readonly Span[], from: number, to: number): number {
  let sum = 0;
  let until = from;
  for (const gap of gaps.filter((gap) => gap.to > from && gap.from < to).sort((a, b) => a.from - b.from)) {
    const end = Math.min(gap.to, to);
    sum += Math.max(0, end - Math.max(gap.from, until));
    until = Math.max(until, end);
  }
  return sum;
}
